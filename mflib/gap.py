r"""The gap: m neurons beside the infinite-width trajectories of the same starts (chapter 5).

    Δ_i(t) = ŵ_i(t) − ξ_t(w_i),        u_t = f_{m,t} − f_t,
    ‖u_t‖² = (1/m²) Σ_ij g(ŵ_i·ŵ_j) − (2/m) Σ_i Σ_k a_k p_k P_k(ŵ_i·w*) + Σ_k a_k p_k².

Both sides are solved as one system on one step grid, so that their errors do not add up to a gap of
their own; the limit enters through its moments, so no wide network stands in for it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, check_times, check_tolerance, require
from .disk_path import DiskPath, disk_limit_path
from .hermite import polynomial
from .hessian import BLOCK
from .integrate import integrate
from .mesh import map_rows
from .moment_path import MomentPath, limit_path
from .multi_index import MultiIndex
from .network import Flow
from .problem import Problem, SingleIndex, check_particles
from .sphere import legendre, legendre_derivative, normalise


class Gap(eqx.Module):
    r"""m neurons against infinite width from the same start (½-loss clock).

    **Attributes**

    - `times` (T,); `function` (T,), $‖u_t‖^2 = ‖f_{m,t} − f_t‖^2$.
    - `vectors` (T, m, d): $Δ_i$. `displacement` (T, m): $‖Δ_i‖$.
    - `limit` (T, m, d): $ξ_t(w_i)$, the infinite-width trajectories.
    - `speed` (T, m): their speed towards w*, $\dot φ_i = \cos φ_i\,V_t'(\sin φ_i)$; or |ν_i|, if the
      target has several directions.
    - `error`: estimated error of the limit behind (`MomentPath.error`, `DiskPath.error`).
    - `heading` (T, m, d): unit vectors ν_i/|ν_i| along their motion, if the target has several
      directions; else None, and the motion is along meridians.
    """

    times: Float[Array, " T"]
    function: Float[Array, " T"]
    vectors: Float[Array, "T m d"]
    limit: Float[Array, "T m d"]
    speed: Float[Array, "T m"]
    error: Float[Array, ""]
    heading: Float[Array, "T m d"] | None = None

    @property
    def displacement(self) -> Float[Array, "T m"]:
        """‖Δ_i‖."""
        return jnp.linalg.norm(self.vectors, axis=-1)

    @property
    def parallel(self) -> Float[Array, "T m"]:
        """Component of Δ_i along the meridian, towards w*; along `heading`, if there is one."""
        if self.heading is not None:
            return jnp.sum(self.vectors * self.heading, axis=-1)
        # Azimuths never change: the first is the one farthest from rounding at a pole.
        _, azimuths = to_meridians(self.limit[0])
        cosine = jnp.linalg.norm(self.limit[..., 1:], axis=-1)
        outward = jnp.sum(self.vectors[..., 1:] * azimuths, axis=-1)
        return cosine * self.vectors[..., 0] - self.limit[..., 0] * outward

    @property
    def delay(self) -> Float[Array, "T m"]:
        r"""$τ_i = −Δ_{i∥}/\dot φ_i$: how late neuron i is on its infinite-width path, to first order.

        Positive: late. A particle that stands still has no delay (infinite or undefined).
        """
        return -self.parallel / self.speed


def meridian(
    latitudes: Float[Array, "*T m"], azimuths: Float[Array, "m e"]
) -> Float[Array, "*T m d"]:
    """ξ = sin φ w* + cos φ ω, from latitudes φ and unit azimuths ω (m, d−1)."""
    first = jnp.sin(latitudes)[..., None]
    return jnp.concatenate([first, jnp.cos(latitudes)[..., None] * azimuths], axis=-1)


class _Coupled(eqx.Module):
    """(free vectors of the network, what moves of the particles of the limit)."""

    flow: Flow
    limit: "_Meridians | DiskPath"

    def __call__(self, t, state):
        w, moving = state
        return self.flow(t, w), self.limit.rate(t, moving)


class _Meridians(eqx.Module):
    """The limit of a single-index problem beside particles: `DiskPath` is that of a `MultiIndex`."""

    path: MomentPath

    def split(self, particles):
        """(what moves, what does not): latitudes and azimuths."""
        return to_meridians(particles)

    def rate(self, t, latitudes):
        """How fast the former moves."""
        return limit_speed(self.path, t, latitudes)

    def place(self, latitudes, azimuths):
        """Particles (T, m, d) from both."""
        return meridian(latitudes, azimuths)

    def motion(self, times, latitudes, azimuths):
        """(`Gap.speed`, `Gap.heading`)."""
        return limit_speeds(self.path, times, latitudes), None

    def against(self, t, particles):
        """(E f_m f_t, E f_t²)."""
        limit = self.path.repulsion * self.path.moments(t)
        harmonics = legendre(particles[:, 0], limit.size - 1, self.path.dim)
        return jnp.mean(limit @ harmonics), limit @ self.path.moments(t)


def _beside(path: MomentPath | DiskPath) -> _Meridians | DiskPath:
    return path if isinstance(path, DiskPath) else _Meridians(path)


def limit_speed(
    path: MomentPath, t: Float[Array, ""], latitudes: Float[Array, " m"]
) -> Float[Array, " m"]:
    """φ̇ = cos φ V_t'(sin φ)."""
    potential = path.potential(t)
    slopes = legendre_derivative(jnp.sin(latitudes), potential.size - 1, path.dim)
    return jnp.cos(latitudes) * (potential @ slopes)


def measure_gap(
    problem: SingleIndex | MultiIndex,
    particles: Values,
    times: Values,
    *,
    path: MomentPath | DiskPath | None = None,
    rtol: float = 1e-7,
    block: int = BLOCK,
    max_steps: int = 100_000,
    progress: bool = False,
) -> Gap:
    r"""Train m neurons and follow the infinite-width trajectories of the same starting points.

    **Arguments**

    - `particles` (m, d), unit vectors; the limit starts from the uniform law, of which they should be
      a sample. `times` (T,), strictly increasing, ≥ 0 (½-loss clock).
    - `path`: the limit, from `mflib.moment_path.moment_path` (`mflib.disk_path.disk_path` if r = 2), to
      be shared between runs; `None`: solved here.
    - `rtol`: relative local error of both sides (absolute: times 1/√d). `block`: rows of an m×m
      product formed at once.

    **Raises** `ValueError` for bad arguments (a `path` that is too short or of another dimension or
    degree included) and `SolverError` if a solve does not complete.
    """
    if isinstance(problem, MultiIndex) and problem.r == 1:
        problem = problem.single_index()
    particles, times, path = check_coupling(problem, particles, times, path, rtol, block)
    m, d = particles.shape
    limit = _beside(path)
    moving, still = limit.split(particles)
    network, moving = integrate(
        _Coupled(Flow(problem, block), limit),
        (particles, moving),
        times,
        rtol=rtol,
        atol=rtol / np.sqrt(d),
        context={"m": m, "d": d, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    ).states
    network, places = normalise(network), limit.place(moving, still)
    speed, heading = limit.motion(times, moving, still)
    return Gap(
        times=times,
        function=_function_gaps(problem, path, times, network, block),
        vectors=network - places,
        limit=places,
        speed=speed,
        error=path.error,
        heading=heading,
    )


def check_coupling(problem, particles, times, path, rtol, block):
    """Checked (particles, times, path) of a coupled solve, the limit solved if it was not given."""
    particles = check_particles(problem, particles)
    times = check_times(times).astype(particles.dtype)
    fits = isinstance(block, int | np.integer) and block >= 1
    require(fits, "block", "an integer ≥ 1", block)
    several = isinstance(problem, MultiIndex)
    kind, solve = (DiskPath, disk_limit_path) if several else (MomentPath, limit_path)
    require(path is None or isinstance(path, kind), "path", kind.__name__, type(path).__name__)
    path = solve(problem, times, path)
    # The gap is a small difference: in the precision of the more exact of the two.
    dtype = np.promote_types(particles.dtype, path.until.dtype)
    if dtype != particles.dtype:
        particles = normalise(particles.astype(dtype))
    check_tolerance(rtol, "rtol", 10 * float(jnp.finfo(dtype).eps), dtype)
    return particles, times.astype(dtype), path


def to_meridians(
    particles: Float[Array, "m d"],
) -> tuple[Float[Array, " m"], Float[Array, "m e"]]:
    """Latitudes φ and unit azimuths ω of particles (any direction for one at a pole)."""
    across = particles[:, 1:]
    size = jnp.linalg.norm(across, axis=1)
    latitudes = jnp.arctan2(particles[:, 0], size)
    pole = (size == 0)[:, None]
    first = jnp.zeros_like(across).at[:, 0].set(1.0)
    return latitudes, jnp.where(pole, first, across / jnp.where(pole, 1.0, size[:, None]))


@eqx.filter_jit
def limit_speeds(path: MomentPath, times, latitudes: Float[Array, "T m"]) -> Float[Array, "T m"]:
    """`limit_speed` at every saved time."""
    return jax.lax.map(lambda pair: limit_speed(path, *pair), (times, latitudes))


def function_gap(
    problem: Problem,
    path: MomentPath | DiskPath,
    t: Float[Array, ""],
    particles: Float[Array, "m d"],
    block: int,
) -> Float[Array, ""]:
    """‖f_m − f_t‖² for the network with `particles` and the limit at time t."""
    kernel = problem.kernel_coefficients.astype(particles.dtype)

    def row_means(rows: Float[Array, "b d"]) -> Float[Array, " b"]:
        overlaps = jnp.matmul(rows, particles.T, precision="highest")
        return jnp.mean(polynomial(kernel, overlaps), axis=1)

    own = jnp.mean(map_rows(row_means, particles, block, None))
    cross, power = _beside(path).against(t, particles)
    return own - 2 * cross + power


@eqx.filter_jit
def _function_gaps(problem, path, times, particles, block):
    return jax.lax.map(
        lambda pair: function_gap(problem, path, pair[0], pair[1], block), (times, particles)
    )
