"""One network of m neurons against its limit (chapter 5)."""

from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ipywidgets import VBox
from jaxtyping import Array, Float

from .._check import require
from ..drift import drift
from ..gap import function_gap, limit_speed, meridian, to_meridians
from ..hermite import Activation
from ..integrate import integrate
from ..moment_path import MomentPath
from ..problem import SingleIndex
from ..sphere import legendre_coefficients, normalise
from ..spline import Spline
from .limits import check_activation, check_dims, horizon, solve_limit
from .live import live
from .scene import Curve, Panel, Scene, Slider

# As many knots as a `moment_path` has: the chapter compiles one solve for both.
_FRAMES, _KNOTS, _RTOL = 13, 257, 1e-4


class _Pair(eqx.Module):
    """Free vectors of the network beside latitudes of the limit, as in `mflib.gap`."""

    problem: SingleIndex
    path: MomentPath

    def __call__(self, t, state):
        w, latitudes = state
        length = jnp.linalg.norm(w, axis=-1, keepdims=True)
        velocity = length * drift(self.problem, w / length, None)
        return velocity, limit_speed(self.path, t, latitudes)


class Run(eqx.Module):
    """‖u_t‖² and both sides' overlaps at `times`; `displacement`: the mean of ‖Δ_i‖²."""

    times: Float[Array, " T"]
    function: Float[Array, " T"]
    displacement: Float[Array, " T"]
    network: Float[Array, "T m"]
    limit: Float[Array, "T m"]


class Coupled:
    """Networks of different m and d as one shape, so that all of them share what is compiled.

    Coordinates that are zero stay zero, and a network in which every neuron occurs r times is the same
    function as with each once: so every network is `widest` neurons in `highest` dimensions.
    """

    def __init__(self, activation: Activation, widest: int, highest: int):
        self.activation, self.widest, self.highest = activation, widest, highest
        self.problem = SingleIndex(jnp.asarray(float(highest)), activation)

    @lru_cache(maxsize=16)  # noqa: B019
    def path(self, dim: int) -> MomentPath:
        """The limit in dimension `dim`, on the axis of time of `horizon`."""
        until = horizon(self.activation, dim)
        knots = until * np.linspace(0, 1, _KNOTS) ** 2
        solved = solve_limit(self.activation, dim, knots)
        d = jnp.asarray(float(dim), solved.moments.dtype)
        a = _harmonics(self.activation.coefficients**2, d)
        spline = Spline(knots, solved.moments)
        return MomentPath(a, a, d, jnp.asarray(until, a.dtype), spline, spline.error)

    @lru_cache(maxsize=256)  # noqa: B019
    def run(self, m: int, dim: int, seed: int) -> Run:
        """Train m neurons from the uniform start drawn with `seed`, beside their limit."""
        draws = np.random.default_rng(seed).normal(size=(self.widest, self.highest))
        draws[:, dim:] = 0
        start = jnp.asarray(draws[np.arange(self.widest) % m], self.activation.coefficients.dtype)
        path = self.path(dim)
        times = float(path.until) * jnp.linspace(0, 1, 4 * _FRAMES - 3)
        w, latitudes, azimuths = _split(start)
        states = integrate(
            _Pair(self.problem, path),
            (w, latitudes),
            times,
            rtol=_RTOL,
            atol=_RTOL / np.sqrt(self.highest),
            context={"m": m, "d": dim},
        ).states
        return _compare(self.problem, path, times, *states, azimuths)


@eqx.filter_jit
def _harmonics(kernel, dim):
    return legendre_coefficients(kernel, dim)


@eqx.filter_jit
def _split(start):
    w = normalise(start)
    return w, *to_meridians(w)


@eqx.filter_jit
def _compare(problem, path, times, networks, latitudes, azimuths) -> Run:
    networks, limit = normalise(networks), meridian(latitudes, azimuths)
    gap = jax.lax.map(
        lambda pair: function_gap(problem, path, *pair, networks.shape[1]), (times, networks)
    )
    moved = jnp.mean(jnp.sum((networks - limit) ** 2, axis=-1), axis=-1)
    return Run(times, jnp.maximum(gap, 0.0), moved, networks[..., 0], limit[..., 0])


def check_widths(widths, most: int = 512) -> list[int]:
    """Return `widths` as a sorted list; each must divide the largest."""
    values = sorted({int(m) for m in np.ravel(widths)})
    fits = len(values) >= 2 and values[0] >= 1 and values[-1] <= most
    fits = fits and all(values[-1] % m == 0 for m in values)
    require(fits, "widths", f"at least two divisors of the largest, itself at most {most}", widths)
    return values


class Gap:
    r"""m neurons beside their infinite-width paths: sliders for m, d, time and the seed of the start.

    **Arguments:** `widths`, each a divisor of the largest (512 at most); `dims`, integers from 3 to
    128; `activation`, σ = φ ($h_4$ if `None`); `seeds`, how many starts to choose from.

    A network is trained when m, d or the seed changes; time only redraws. **Raises** `ValueError` for
    bad arguments.
    """

    call = "gap"

    def __init__(
        self,
        widths: Sequence[int] = (8, 16, 32, 64, 128),
        dims: Sequence[int] = (8, 16, 32),
        activation: Activation | None = None,
        seeds: int = 5,
    ):
        sigma = Activation.hermite(4) if activation is None else check_activation(activation)
        widths, dims = check_widths(widths), check_dims(dims, 128)
        require(isinstance(seeds, int) and seeds >= 1, "seeds", "an integer ≥ 1", seeds)
        self.coupled = Coupled(sigma, widths[-1], dims[-1])
        for dim in dims:
            self.coupled.path(dim)
        shares = np.linspace(0, 1, _FRAMES).round(4).tolist()
        self.sliders = [
            Slider("width m", widths, len(widths) // 2),
            Slider("dimension d", dims, len(dims) // 2),
            Slider("time, share of the axis", shares, 5, "{:.2f}"),
        ]
        if seeds > 1:
            self.sliders.append(Slider("seed", list(range(seeds)), 0))

    def scene(self, m: int, dim: int, share: int | float, seed: int = 0) -> Scene:
        """‖u_t‖² and the mean of ‖Δ_i‖² over time, and every neuron beside its partner."""
        run = self.coupled.run(m, dim, seed)
        times, function, moved = (
            np.asarray(x) for x in (run.times, run.function, run.displacement)
        )
        i = round(share * (times.size - 1))
        mine, partner = np.asarray(run.network)[i, :m], np.asarray(run.limit)[i, :m]
        at = Curve("", [times[i]] * 2, [function[i], moved[i]], "dots", "target")
        text = (
            f"m = {m}, d = {dim}, t = {times[i]:.3g}: the squared function gap is {function[i]:.2g}, "
            f"the mean squared displacement {moved[i]:.2g}."
        )
        return Scene(
            [
                Panel(
                    "t",
                    "squared gap",
                    (0.0, float(times[-1])),
                    (1e-5, 10.0),
                    [
                        Curve("function, ‖u‖²", times, function, "line", "finite"),
                        Curve("neurons, mean ‖Δ‖²", times[1:], moved[1:], "dashed", "other"),
                        at,
                    ],
                    "y",
                ),
                Panel(
                    "overlap in the limit",
                    "overlap in the network",
                    (-1.05, 1.05),
                    (-1.05, 1.05),
                    [
                        Curve("", [-1.0, 1.0], [-1.0, 1.0], "line", "faint"),
                        Curve("", partner, mine, "dots", "finite"),
                    ],
                ),
            ],
            text,
        )


def gap(
    widths: Sequence[int] = (8, 16, 32, 64, 128),
    dims: Sequence[int] = (8, 16, 32),
    activation: Activation | None = None,
    seeds: int = 5,
) -> VBox:
    """A network against its limit, trained live; needs a kernel. Arguments: `Gap`."""
    return live(Gap(widths, dims, activation, seeds))
