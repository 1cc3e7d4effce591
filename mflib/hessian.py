r"""How a particle's velocity changes with its position (chapter 6).

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
from .hermite import differentiate, polynomial
from .mean_field import MeanField
from .mesh import map_rows
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
    require(float(jnp.max(jnp.abs(where), initial=0.0)) <= 1, "overlaps", "in [−1, 1]", "larger")
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
    require(isinstance(block, int | np.integer) and block >= 1, "block", "an integer ≥ 1", block)
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

    return tangent(particles, map_rows(rows_of, particles, block, None))


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
    total = map_rows(rows_of, jnp.concatenate([particles, vectors], axis=1), block, None)
    return tangent(particles, total.at[:, 0].add(pulled)) - radial[:, None] * vectors
