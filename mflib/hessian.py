r"""How a particle's velocity changes with its position (chapters 6 and 7).

With Φ(w) = σ(w·) and ⟨Φ(w), Φ(w')⟩ = g(w·w'), the velocity is ν(w, ρ) = −DΦ(w)*(f_ρ − f*), and its
derivatives, all tangent maps, are

    D(w, ρ) = ∇_w ν(w, ρ)                                                    local Hessian,
    H(w, w') = P_w [ g''(w·w') w' wᵀ + g'(w·w') I ] P_w' = DΦ(w)* DΦ(w')     interaction Hessian.

At infinite width D has two eigenvalues, with V = V_t and α = cos θ the overlap:

    λ∥ = ∂θ̇/∂θ = (1−α²) V''(α) − α V'(α)  (along the motion),     λ⊥ = −α V'(α)  (d−2 times).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, Values, require
from .drift import by_rows
from .hermite import differentiate, polynomial
from .integrate import integrate
from .mean_field import MeanField
from .moment_path import MomentPath, moment_path
from .problem import SingleIndex, check_particles
from .sphere import legendre_derivative, tangent

# Rows of an m×m product formed at once: 256 rows of 4096 fit a core's cache, and cost less than one
# m×m buffer does.
BLOCK = 256


def curvature(
    overlaps: Float[Array, "*n"], potential: Float[Array, " k"], dim: Scalar
) -> tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]:
    """(V'(α), λ∥, λ⊥) at `overlaps`, from the coefficients of V on the Legendre polynomials."""
    degree = potential.size - 1
    slope = jnp.tensordot(potential, legendre_derivative(overlaps, degree, dim), 1)
    second = jnp.tensordot(potential, legendre_derivative(overlaps, degree, dim, order=2), 1)
    across = -overlaps * slope
    return slope, (1 - overlaps**2) * second + across, across


class LocalHessian(eqx.Module):
    """Eigenvalues of D_t at `overlaps` (T, N): `parallel` λ∥ (T, N), `perpendicular` λ⊥ (T, N).

    `relative_speed` (T, N): d(log |α|)/dt = (1−α²) V'(α)/α, what self-concordance compares with.
    All on the ½-loss clock.
    """

    times: Float[Array, " T"]
    overlaps: Float[Array, "T N"]
    parallel: Float[Array, "T N"]
    perpendicular: Float[Array, "T N"]
    relative_speed: Float[Array, "T N"]


def local_hessian(
    problem: SingleIndex, mean_field: MeanField, overlaps: Values | None = None
) -> LocalHessian:
    r"""Local Hessian of every particle of the limit (chapter 7): both eigenvalues, in closed form.

    `overlaps` (T, N): where to evaluate it; `None`: at `mean_field.overlaps`.

    **Raises** `ValueError` if `problem` is not the one solved, or for overlaps of another shape or
    outside [−1, 1].
    """
    require(
        eqx.tree_equal(problem, mean_field.problem),
        "problem",
        "the problem of `mean_field`",
        "another one",
    )
    where = mean_field.overlaps if overlaps is None else jnp.asarray(overlaps)
    T = mean_field.times.size
    require(where.ndim == 2 and where.shape[0] == T, "overlaps", f"of shape ({T}, N)", where.shape)
    require(float(jnp.max(jnp.abs(where))) <= 1, "overlaps", "in [−1, 1]", "larger")
    potentials, dim = _potentials(mean_field)
    slope, parallel, perpendicular = _curvatures(where, potentials, dim)
    # V'(α)/α at the equator is V''(0) for even problems, and undefined (infinite) otherwise.
    safe = jnp.where(where == 0, 1.0, where)
    at_equator = parallel if problem.even else jnp.sign(slope) * jnp.inf
    relative = jnp.where(where == 0, at_equator, (1 - where**2) * slope / safe)
    return LocalHessian(mean_field.times, where, parallel, perpendicular, relative)


@eqx.filter_jit
def _curvatures(overlaps: Float[Array, "T N"], potentials: Float[Array, "T k"], dim):
    return jax.vmap(curvature, (0, 0, None))(overlaps, potentials, dim)


def _potentials(mean_field: MeanField):
    """Coefficients of V_t at the saved times (T, K+1), and d."""
    repulsion, attraction = mean_field.problem.harmonics()
    dtype = mean_field.moments.dtype
    potentials = attraction.astype(dtype) - repulsion.astype(dtype) * mean_field.moments
    return potentials, jnp.asarray(mean_field.problem.dim, dtype)


def apply_local_hessian(
    problem: SingleIndex, particles: Values, vectors: Values, *, block: int = BLOCK
) -> Float[Array, "m d"]:
    r"""Rows $D(w_i, ρ_m) v_i$ for the m `particles` of a finite network and tangent `vectors`.

        D(w, ρ) v = P_w[F''(w·w*)(w*·v) w* − ∫ g''(w·w')(w'·v) w' ρ(dw')]
                    − [F'(w·w*) w·w* − ∫ g'(w·w') w·w' ρ(dw')] v

    `block` rows at a time, no m×m buffer. Components of `vectors` along `particles` are dropped.

    **Raises** `ValueError` for bad shapes or particles off the sphere.
    """
    particles, vectors = _check_pair(problem, particles, vectors, block)
    return _apply_local(problem, particles, vectors, block)


def interaction_hessian(
    problem: SingleIndex, particles: Values, vectors: Values, *, block: int = BLOCK
) -> Float[Array, "m d"]:
    r"""Rows $\frac1m Σ_j H(w_i, w_j) v_j$ for `particles` and tangent `vectors` (m, d).

    `block` rows at a time, no m×m buffer and no (md)×(md) matrix. Components of `vectors` along
    `particles` are dropped. As an operator on (m, d) arrays it is symmetric and positive semidefinite.

    **Raises** `ValueError` for bad shapes or particles off the sphere.
    """
    particles, vectors = _check_pair(problem, particles, vectors, block)
    return _apply_interaction(problem, particles, vectors, block)


def _check_pair(problem, particles, vectors, block):
    particles = check_particles(problem, particles)
    vectors = jnp.asarray(vectors, particles.dtype)
    require(
        vectors.shape == particles.shape,
        "vectors",
        f"of the shape of `particles`, {particles.shape}",
        f"shape {vectors.shape}",
    )
    require(isinstance(block, int) and block >= 1, "block", "an integer ≥ 1", block)
    return particles, tangent(particles, vectors)


@eqx.filter_jit
def _apply_interaction(problem, particles, vectors, block):
    return response(problem, particles, vectors, 0.0, block)


def response(
    problem: SingleIndex,
    particles: Float[Array, "m d"],
    vectors: Float[Array, "m d"],
    base: Scalar,
    block: int,
) -> Float[Array, "m d"]:
    """Rows DΦ(w_i)* (1/m) Σ_j [base·Φ(w_j) + DΦ(w_j) v_j], for tangent `vectors`, unchecked.

    `base` = 1 is minus the force of a network whose particles are displaced by v, to first order.
    """
    m = particles.shape[0]
    slope = differentiate(problem.kernel_coefficients).astype(particles.dtype)
    second = differentiate(slope)
    moved = base * particles + vectors

    def rows_of(rows: Float[Array, "b d"]) -> Float[Array, "b d"]:
        s = jnp.matmul(rows, particles.T, precision="highest")
        along = polynomial(second, s) * jnp.matmul(rows, vectors.T, precision="highest")
        direct = jnp.matmul(polynomial(slope, s), moved, precision="highest")
        return (direct + jnp.matmul(along, particles, precision="highest")) / m

    return tangent(particles, by_rows(rows_of, particles, block))


@eqx.filter_jit
def _apply_local(problem, particles, vectors, block):
    m, d = particles.shape
    slope = differentiate(problem.kernel_coefficients).astype(particles.dtype)
    second = differentiate(slope)

    def rows_of(pair: Float[Array, "b two_d"]) -> Float[Array, "b d"]:
        rows, moved = pair[:, :d], pair[:, d:]
        s = jnp.matmul(rows, particles.T, precision="highest")
        along = polynomial(second, s) * jnp.matmul(moved, particles.T, precision="highest")
        drawn = jnp.matmul(along, particles, precision="highest") / m
        radial = jnp.mean(polynomial(slope, s) * s, axis=1)
        return radial[:, None] * moved - drawn

    alpha = particles[:, 0]
    pulled = problem.target_kernel(alpha, derivative=2).astype(particles.dtype) * vectors[:, 0]
    radial = problem.target_kernel(alpha, derivative=1).astype(particles.dtype) * alpha
    total = by_rows(rows_of, jnp.concatenate([particles, vectors], axis=1), block)
    return tangent(particles, total.at[:, 0].add(pulled)) - radial[:, None] * vectors


class Stability(eqx.Module):
    r"""Stability matrix $J_{t,0}$ of particles of the limit: $∂_t J = D_t J$, $J_{0,0} = I$.

    **Attributes:** `times` (T,); `overlaps` (T, N); `parallel` (T, N), $J_∥ = ∂θ_t/∂θ_0$;
    `perpendicular` (T, N), $J_⊥ = \sin θ_t/\sin θ_0$; and, over *all* particles, not only the N
    followed (if the problem is not even: all but some $10^{-9}$ nearest to the poles at time 0), `largest` (T,), the supremum of $J_∥$, with `largest_from`, `largest_at` (T,), the overlaps
    at time 0 and t of the particle that attains it. A particle with 1 − α_t² < 1.5e-8
    is too near to a pole for the label map: its entries, which are below $10^{-4} |α_0|^{1−k^*}$ there,
    come out too small.
    """

    times: Float[Array, " T"]
    overlaps: Float[Array, "T N"]
    parallel: Float[Array, "T N"]
    perpendicular: Float[Array, "T N"]
    largest: Float[Array, " T"]
    largest_from: Float[Array, " T"]
    largest_at: Float[Array, " T"]


def stability(mean_field: MeanField, overlaps0: Values | None = None) -> Stability:
    r"""Stability matrices $J_{t,0}$ along the infinite-width trajectories (chapter 7).

    `overlaps0` (n,): initial overlaps of the particles to follow; `None`: the nodes of `mean_field`.

    With a label map Y, $J_∥$ is its inverse slope, at no further solve and for all particles at once.
    Without one, $∂_t \log J_∥ = λ_∥$ is integrated beside the particles, and, for `largest`, backwards in
    time from 400 positions.

    **Raises** `ValueError` unless `overlaps0` is a 1-d array in [−1, 1].
    """
    start = mean_field.initial_overlaps if overlaps0 is None else jnp.asarray(overlaps0)
    start = start.astype(mean_field.times.dtype)
    require(start.ndim == 1 and start.size > 0, "overlaps0", "a non-empty 1-d array", start.shape)
    worst = float(jnp.max(jnp.abs(start)))
    require(worst <= 1, "overlaps0", "overlaps in [−1, 1]", worst)
    labels = mean_field.labels
    if labels is not None:
        overlaps, parallel = labels.follow(start)
        froms, nows, stretch = labels.stretch()
    else:
        path = moment_path(mean_field.problem, mean_field.times[-1], tol=mean_field.rtol / 0.03)
        overlaps, parallel = _follow(path, start, mean_field.times, 1e-8)
        rows = [trace_back(path, t, 1e-6) for t in mean_field.times]
        froms, nows, stretch = (jnp.stack(column) for column in zip(*rows, strict=True))
    best = jnp.argmax(stretch, axis=1)[:, None]
    largest, first, last = (
        jnp.take_along_axis(table, best, axis=1)[:, 0] for table in (stretch, froms, nows)
    )
    # A particle at the pole stays there; its ratio of sines is that of its neighbours, J∥ itself.
    pole = jnp.abs(start) == 1
    ratio = jnp.sqrt((1 - overlaps**2) / jnp.where(pole, 1.0, 1 - start**2))
    perpendicular = jnp.where(pole, parallel, ratio)
    return Stability(mean_field.times, overlaps, parallel, perpendicular, largest, first, last)


class _Stretched(eqx.Module):
    """Latitudes, and log J∥ beside them."""

    path: MomentPath

    def __call__(self, t, state):
        latitudes, _ = state
        slope, parallel, _ = curvature(jnp.sin(latitudes), self.path.potential(t), self.path.dim)
        return jnp.cos(latitudes) * slope, parallel


def _follow(path: MomentPath, overlaps0, times, rtol):
    start = (jnp.arcsin(overlaps0), jnp.zeros_like(overlaps0))
    solved = integrate(
        _Stretched(path),
        start,
        times,
        rtol=rtol,
        atol=0.01 * rtol / float(np.sqrt(path.dim)),
        context={"m": "∞", "d": path.dim, "tracers": overlaps0.size, "rtol": rtol},
    ).states
    return jnp.sin(solved[0]), jnp.exp(solved[1])


class _Backwards(eqx.Module):
    """Latitudes at time `now` − s, and log J∥ of what follows, as functions of s."""

    path: MomentPath
    now: Float[Array, ""]

    def __call__(self, s, state):
        speed, parallel = _Stretched(self.path)(self.now - s, state)
        return -speed, parallel


def trace_back(path: MomentPath, now: Float[Array, ""], rtol: float, points: int = 400):
    """(α_0, α_t, J∥) of the particles that are at `points` latitudes at time `now`.

    Where particles come from is smooth in where they are; the flow map, its inverse, has a front.
    """
    latitudes = jnp.pi * ((jnp.arange(points, dtype=now.dtype) + 0.5) / points - 0.5)
    start = (latitudes, jnp.zeros_like(latitudes))
    if now > 0:
        solved = integrate(
            _Backwards(path, now),
            start,
            now[None],
            rtol=rtol,
            atol=rtol / float(np.sqrt(path.dim)),
            context={"m": "∞", "d": path.dim, "backwards from t": now, "rtol": rtol},
        ).states
        first, stretch = jax.tree.map(lambda state: state[0], solved)
    else:
        first, stretch = start
    # An odd problem's pole −w* repels, and stretches without bound what starts so near it that the
    # uniform law has a relative density below e^{−20} there: no particle does.
    rare = 0.5 * (path.dim - 1) * jnp.log(jnp.cos(first) ** 2) < -20
    return jnp.sin(first), jnp.sin(latitudes), jnp.where(rare, 0.0, jnp.exp(stretch))


class SelfConcordance(eqx.Module):
    r"""The local Hessian against the relative speed, over all overlaps and the times of a solve.

    **Attributes**

    - `times` (T,).
    - `constant`: the supremum over particles and times of $λ_{\max}(D_t)/|d(\log α)/dt|$, taken
      where $λ_{\max}$ exceeds `resolution`; infinite where such a particle stands still.
    - `resolution`: what the error of the solve leaves undecided of a Hessian. A smaller `tol` of the
      solve makes it smaller.
    - `time`, `overlap`: where it is attained.
    - `exponent`: the constant C asked for in what follows.
    - `slack` (T,): the least $κ_t ≥ 0$ with $λ_{\max}(D_t) ≤ C\,d(\log α)/dt + κ_t$ for every
      particle, so that $‖J_{t,s}‖ ≤ (α_t/α_s)^C \exp ∫_s^t κ$.
    """

    times: Float[Array, " T"]
    constant: float
    resolution: float
    time: float
    overlap: float
    exponent: float
    slack: Float[Array, " T"]


def self_concordance(
    mean_field: MeanField, *, exponent: Scalar | None = None, points: int = 4000
) -> SelfConcordance:
    r"""The self-concordance constant of a solved limit (chapter 7), and what a given one leaves over.

    Every overlap is occupied at every time, so the supremum is taken over all of (0, 1) (of (−1, 1)
    if the problem is not even), on `points` overlaps equally spaced in $\log\tan φ$ from
    $10^{-6}/√d$; a change of sign of the speed between two of them, where the Hessian is positive,
    makes the constant infinite. `exponent`: C; `None`: $k^*−1$, the value for large d.

    **Raises** `ValueError` unless `exponent` > 0 and `points` ≥ 100.
    """
    problem = mean_field.problem
    exponent = problem.information_exponent - 1 if exponent is None else exponent
    require(exponent > 0, "exponent", "positive", exponent)
    require(points >= 100, "points", "at least 100", points)
    # From z = 1e-6 to 1 − α² = 1e-8.
    x = np.linspace(np.log(1e-6 / np.sqrt(float(problem.dim))), 9.0, points)
    alpha = jnp.exp(-0.5 * jnp.logaddexp(0.0, -2 * jnp.asarray(x, mean_field.times.dtype)))
    if not problem.even:
        alpha = jnp.concatenate([-alpha[::-1], alpha])
    where = jnp.broadcast_to(alpha, (mean_field.times.size, alpha.size))
    found = local_hessian(problem, mean_field, where)
    largest = jnp.maximum(found.parallel, found.perpendicular)
    relative = found.relative_speed
    slack = jnp.max(jnp.maximum(largest - exponent * relative, 0.0), axis=1)
    repulsion, _ = problem.harmonics()
    steepest = legendre_derivative(1.0, repulsion.size - 1, float(problem.dim), order=2)
    # 1e5 spacings: where Hessian and speed are both nearly zero, rounding must not make their ratio.
    rounding = 1e5 * float(jnp.finfo(repulsion.dtype).eps)
    unsure = max(10 * float(mean_field.error), rounding)
    resolution = unsure * float(repulsion @ steepest)
    growing = largest > resolution
    ratio = jnp.where(growing, largest / jnp.abs(relative), 0.0)
    # The speed passes through zero between two points of one side, both with a positive Hessian.
    same_side = alpha[1:] * alpha[:-1] > 0
    stands = (relative[:, 1:] * relative[:, :-1] <= 0) & growing[:, 1:] & growing[:, :-1]
    ratio = ratio.at[:, 1:].set(jnp.where(stands & same_side, jnp.inf, ratio[:, 1:]))
    row, column = np.unravel_index(int(jnp.argmax(ratio)), ratio.shape)
    return SelfConcordance(
        times=mean_field.times,
        constant=float(ratio[row, column]),
        resolution=resolution,
        time=float(mean_field.times[row]),
        overlap=float(alpha[column]),
        exponent=float(exponent),
        slack=slack,
    )
