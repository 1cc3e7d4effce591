r"""Bounds of the gap from infinite-width quantities (chapter 5).

Gronwall's bound: the velocity of m neurons is a gradient, of which no derivative has an eigenvalue above
μ, and the limit misses its equation by a sampling error √g'(1) ‖ū_t‖ at most.
"""

from fractions import Fraction
from math import ceil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, Values, check_times, require
from .fluctuation import FluctuationLaw
from .gap import check_coupling, function_gap, limit_speed, meridian, to_meridians
from .hermite import differentiate, polynomial
from .hessian import BLOCK
from .integrate import integrate
from .moment_path import MomentPath, limit_path
from .problem import SingleIndex, check_single_index


class Bound(eqx.Module):
    r"""An upper bound of the gap (½-loss clock).

    **Attributes:** `times` (T,); `displacement` (T,), for $(\frac1m Σ_i ‖Δ_i‖^2)^{1/2}$; `function`
    (T,), for $‖u_t‖$ (not squared). Infinite where they exceed the largest number.
    """

    times: Float[Array, " T"]
    displacement: Float[Array, " T"]
    function: Float[Array, " T"]


def growth_rate(problem: SingleIndex) -> float:
    r"""μ: no local Hessian D(w, ρ), of any particle beside any law ρ, has an eigenvalue above it.

        μ = max_α [F''(α)_+ (1−α²) − α F'(α)] + max_s [(−g''(s))_+ (1−s²) + s g'(s)]

    on [−1, 1]: the maxima of two piecewise polynomials, taken over their ends and critical points.
    """
    check_single_index(problem)
    pull = np.asarray(problem.target_coefficients, float)
    kernel = np.asarray(problem.kernel_coefficients, float)
    return _largest_curvature(pull) + _largest_curvature(-kernel)


def _largest_curvature(coefficients: np.ndarray) -> float:
    """max over [−1, 1] of q''(s)_+ (1−s²) − s q'(s) for the polynomial q."""
    q = np.polynomial.Polynomial(coefficients)
    s = np.polynomial.Polynomial([0.0, 1.0])
    inward = -s * q.deriv()
    full = inward + q.deriv(2) * (1 - s**2)
    candidates = [np.array([-1.0, 1.0])]
    for piece in (inward.deriv(), full.deriv(), q.deriv(2)):
        roots = piece.roots()
        candidates.append(roots.real[abs(roots.imag) < 1e-6])
    at = np.clip(np.concatenate(candidates), -1, 1)
    return float(np.max(np.maximum(inward(at), full(at))))


class _Gronwall(eqx.Module):
    """State: latitudes and z = e^{−μt} y, which stays finite where y does not."""

    problem: SingleIndex
    path: MomentPath
    azimuths: Float[Array, "m e"]
    rate: Float[Array, ""]
    stretch: Float[Array, ""]
    block: int = eqx.field(static=True)

    def __call__(self, t, state):
        latitudes, _ = state
        noise = self._noise(t, latitudes)
        return limit_speed(self.path, t, latitudes), self.stretch * noise * jnp.exp(-self.rate * t)

    def _noise(self, t, latitudes):
        limit = meridian(latitudes, self.azimuths)
        squared = function_gap(self.problem, self.path, t, limit, self.block)
        # Rounding may leave a square just below zero.
        return jnp.sqrt(jnp.maximum(squared, 0.0))


def gronwall_bound(
    problem: SingleIndex,
    times: Values,
    particles: Values | None = None,
    *,
    path: MomentPath | None = None,
    block: int = BLOCK,
) -> Bound:
    r"""Gronwall's bound of the gap, all constants computed (chapter 5).

        y(t) = √g'(1) ∫_0^t e^{μ(t−s)} ‖ū_s‖ ds,   ‖u_t‖ ≤ ‖ū_t‖ + √g'(1) y(t),

    with $ū_t = \frac1m Σ_j Φ(ξ_t(w_j)) − f_t$ and μ from `growth_rate`. It bounds the gap of the
    network with the given `particles` for every m, not only to first order. With `particles=None` it is
    the bound of $\sqrt{m}\,(E\,·^2)^{1/2}$ over uniform starts, for which
    $m E‖ū_t‖^2 = g(1) − Σ a_k p_k^2$ needs no sampling.

    **Raises** `ValueError` for bad arguments and `SolverError` if the solve does not complete.
    """
    rate = growth_rate(problem)
    times = check_times(times)
    if particles is None:
        return _expected_bound(problem, limit_path(problem, times, path), times, rate)
    particles, times, path = check_coupling(problem, particles, times, path, 1e-5, block)
    latitudes, azimuths = to_meridians(particles)
    slope = polynomial(differentiate(problem.kernel_coefficients), jnp.ones(()))
    stretch = jnp.sqrt(slope).astype(times.dtype)
    field = _Gronwall(problem, path, azimuths, jnp.asarray(rate, times.dtype), stretch, block)
    latitudes, scaled = integrate(
        field,
        (latitudes, jnp.zeros((), times.dtype)),
        times,
        rtol=1e-5,
        atol=1e-8,
        context={"m": particles.shape[0], "d": particles.shape[1]},
    ).states
    noise = _noises(field, times, latitudes)
    displacement = scaled * jnp.exp(rate * times)
    return Bound(times, displacement, noise + stretch * displacement)


@eqx.filter_jit
def _noises(field, times, latitudes):
    return jax.lax.map(lambda pair: field._noise(*pair), (times, latitudes))


def _expected_bound(problem, path, times, rate) -> Bound:
    kernel = np.asarray(problem.kernel_coefficients, float)
    stretch = float(np.sqrt(np.arange(kernel.size) @ kernel))
    # ∫_0^t e^{−μs} (m E‖ū_s‖²)^{1/2} ds by Gauss–Legendre, in pieces of length 1/μ at most that end at
    # every saved time.
    saved = np.asarray(times, float)
    steps = np.linspace(0, saved[-1], 2 + int(rate * saved[-1]))
    edges = np.union1d(np.concatenate([[0.0], steps]), saved)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    s = edges[:-1, None] + half * (nodes + 1)
    moments = path.table(jnp.asarray(np.concatenate([s.ravel(), saved]), times.dtype))
    squared = kernel.sum() - np.asarray(moments, float) ** 2 @ np.asarray(path.repulsion, float)
    noise = np.sqrt(np.maximum(squared, 0.0))
    pieces = (noise[: s.size].reshape(s.shape) * np.exp(-rate * s) * half) @ weights
    total = np.concatenate([[0.0], np.cumsum(pieces)])[np.searchsorted(edges, saved)]
    with np.errstate(over="ignore"):
        displacement = stretch * total * np.exp(rate * saved)
    function = noise[s.size :] + stretch * displacement
    dtype = times.dtype
    return Bound(times, jnp.asarray(displacement, dtype), jnp.asarray(function, dtype))


def required_width(gap: Bound | FluctuationLaw, tolerance: Scalar) -> int:
    r"""The smallest m with $\sup_t E‖u_t‖^2 ≤$ `tolerance`² according to `gap`, over its times (chapter 9).

    `gap`: a bound or law for uniform starts, which says $m E‖u_t‖^2 ≤ C(t)$, or $= C(t)$ to leading
    order; so m = ⌈sup C / tolerance²⌉, exact however large.

    **Raises** `ValueError` unless `tolerance` > 0 and the bound is finite.
    """
    require(tolerance > 0, "tolerance", "a positive number", tolerance)
    function = np.asarray(gap.function, float)
    largest = Fraction(float(np.max(function))) if np.all(np.isfinite(function)) else None
    require(largest is not None, "gap", "finite at all of its times", "infinity")
    power = 2 if isinstance(gap, Bound) else 1
    return max(1, ceil(largest**power / Fraction(float(tolerance)) ** 2))
