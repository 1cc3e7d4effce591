r"""The velocity and the loss of m neurons that are spread over the devices of a mesh (chapter 14).

The sum over j is cut into blocks with rows of every device. Of one block at a time a copy goes to all
devices, which add its part to their own rows:

    ν_i = P_{w_i} [ F'(w_i·w*) w* − (1/m) Σ_blocks Σ_{j in block} g'(w_i·w_j) w_j ],

so that a device holds O(m/D) particles, `block` others, and `block`×`block` overlaps.
"""

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .hermite import differentiate, polynomial
from .mesh import AXIS, keep, map_rows, sum_over_rows
from .problem import Problem
from .sphere import tangent

_BLOCK = 1024


def sharded_drift(
    problem: Problem, particles: Float[Array, "m d"], block: int | None, mesh: Mesh
) -> Float[Array, "m d"]:
    """What `mflib.drift.drift` is on one device."""
    slope = differentiate(problem.kernel_coefficients).astype(particles.dtype)

    def pair(rows: Float[Array, "b d"], others: Float[Array, "n d"]) -> Float[Array, "b d"]:
        overlaps = jnp.matmul(rows, others.T, precision="highest")
        return jnp.matmul(polynomial(slope, overlaps), others, precision="highest")

    total = -_sum_over_pairs(pair, particles, block, mesh) / particles.shape[0]
    return tangent(particles, total.at[:, : problem.r].add(problem.inner_pull(particles)))


def sharded_loss(
    problem: Problem, particles: Float[Array, "m d"], block: int | None, mesh: Mesh
) -> Float[Array, ""]:
    """What `mflib.drift.loss` is on one device."""
    kernel = problem.kernel_coefficients.astype(particles.dtype)

    def pair(rows: Float[Array, "b d"], others: Float[Array, "n d"]) -> Float[Array, " b"]:
        overlaps = jnp.matmul(rows, others.T, precision="highest")
        return jnp.sum(polynomial(kernel, overlaps), axis=1)

    own = jnp.mean(_sum_over_pairs(pair, particles, block, mesh)) / particles.shape[0]
    pull = jnp.mean(problem.potential(particles))
    return 0.5 * (problem.target_power.astype(particles.dtype) - 2 * pull + own)


def _sum_over_pairs(pair, particles: Float[Array, "m d"], block: int | None, mesh: Mesh):
    """Σ_blocks pair(rows, block of all rows): for each of the rows, of which a device takes `block` at once."""
    block = block or _BLOCK

    def with_all(others: Float[Array, "n d"]):
        others = keep(others, mesh, None)
        return map_rows(lambda rows: pair(rows, others), particles, block, mesh)

    return sum_over_rows(with_all, particles, max(1, block // mesh.shape[AXIS]), mesh)
