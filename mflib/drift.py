r"""The velocity of m neurons: the hot loop (chapter 1).

    ν_i = P_{w_i} [ F'(w_i·w*) w* − (1/m) Σ_j g'(w_i·w_j) w_j ] = −m P_{w_i} ∇_{w_i} L_m

and Σ_n a_n F'(w_i·v_n) v_n in place of F'(w_i·w*) w* where the target has several directions.

Two forms of the same sum: dense (an m×m buffer, the reference) and row-blocked (blocks of rows, never
more than `block`×m numbers at once).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ._check import Values, require
from .hermite import differentiate, polynomial
from .problem import Problem, check_particles
from .sharded import sharded_drift, sharded_loss
from .sphere import tangent

# Above this width the dense form's m×m buffer (128 MB in float64 at 4096) costs more than it saves.
_DENSE_UP_TO = 4096
_BLOCK = 1024


def velocity(
    problem: Problem, particles: Values, *, block: int | None = None
) -> Float[Array, "m d"]:
    r"""Mean-field velocity of every particle, ½-loss clock: rows $ν_i$, each tangent at $w_i$.

    `block`: rows handled at once; `block` ≥ m is the dense form. `None`: dense up to m = 4096, else
    blocks of 1024 rows. Both forms ask for full matrix-product precision (a GPU would otherwise use
    TF32 for float32).

    **Raises** `ValueError` for particles not of shape (m, d) or off the sphere, or `block` < 1.
    """
    particles = check_particles(problem, particles)
    require(block is None or block >= 1, "block", "at least 1", block)
    return _velocity(problem, particles, block)


@eqx.filter_jit
def _velocity(problem, particles, block):
    return drift(problem, particles, block)


def drift(
    problem: Problem,
    particles: Float[Array, "m d"],
    block: int | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, "m d"]:
    """`velocity` without its checks, for use inside a compiled solve; `mesh`: where the particles are."""
    if mesh is not None:
        return sharded_drift(problem, particles, block, mesh)
    m = particles.shape[0]
    slope = differentiate(problem.kernel_coefficients).astype(particles.dtype)

    def interaction(rows: Float[Array, "b d"]) -> Float[Array, "b d"]:
        overlaps = jnp.matmul(rows, particles.T, precision="highest")
        return jnp.matmul(polynomial(slope, overlaps), particles, precision="highest") / m

    if block is None:
        block = m if m <= _DENSE_UP_TO else _BLOCK
    total = -by_rows(interaction, particles, block)
    return tangent(particles, total.at[:, : problem.r].add(problem.inner_pull(particles)))


def by_rows(fn, rows: Float[Array, "m d"], block: int) -> Float[Array, "m ..."]:
    """fn on `rows`, at most `block` rows at a time (one call if `block` ≥ m)."""
    m = rows.shape[0]
    if block >= m:
        return fn(rows)
    whole = m // block * block
    head = jax.lax.map(fn, rows[:whole].reshape(m // block, block, -1))
    head = head.reshape(whole, *head.shape[2:])
    return jnp.concatenate([head, fn(rows[whole:])]) if whole < m else head


def loss(
    problem: Problem,
    particles: Float[Array, "m d"],
    block: int | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    r"""Population loss $L_m = ½[‖f^*‖^2 − \frac2m Σ_i E f^* σ(w_i·x) + \frac1{m^2} Σ_{ij} g(w_i·w_j)]$."""
    if mesh is not None:
        return sharded_loss(problem, particles, block, mesh)
    m = particles.shape[0]
    kernel = problem.kernel_coefficients.astype(particles.dtype)

    def row_sums(rows: Float[Array, "b d"]) -> Float[Array, " b"]:
        overlaps = jnp.matmul(rows, particles.T, precision="highest")
        return jnp.mean(polynomial(kernel, overlaps), axis=1)

    if block is None:
        block = m if m <= _DENSE_UP_TO else _BLOCK
    own = jnp.mean(by_rows(row_sums, particles, block))
    pull = jnp.mean(problem.potential(particles))
    return 0.5 * (problem.target_power.astype(particles.dtype) - 2 * pull + own)
