r"""Sums over all pairs of m neurons that are spread over the devices of a mesh (chapter 14).

The sum over j is cut into blocks with rows of every device. Of one block at a time a copy goes to all
devices, which add its part to their own rows:

    Σ_j g'(w_i·w_j) w_j = Σ_blocks Σ_{j in block} g'(w_i·w_j) w_j,

so that a device holds O(m/D) particles, `block` others, and `block`×`block` overlaps.
"""

import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .hermite import polynomial
from .kernels import interaction
from .mesh import AXIS, keep, map_rows, sum_over_rows

# A block is on every device: more rows than these at once, as the dense form would take, are not worth their memory.
_LARGEST = 1024


def sharded_interaction(
    slope: Float[Array, " k"],
    particles: Float[Array, "m d"],
    block: int,
    precision: str,
    mesh: Mesh,
) -> Float[Array, "m d"]:
    """Σ_j g'(w_i·w_j) w_j; `slope`: the monomial coefficients of g'."""

    def pair(rows: Float[Array, "b d"], others: Float[Array, "n d"]) -> Float[Array, "b d"]:
        return interaction(slope, rows, others, precision)

    return _sum_over_pairs(pair, particles, block, mesh)


def sharded_sum(
    kernel: Float[Array, " k"],
    particles: Float[Array, "m d"],
    block: int,
    precision: str,
    mesh: Mesh,
) -> Float[Array, ""]:
    """Σ_ij g(w_i·w_j) / m²; `kernel`: the monomial coefficients of g."""

    def pair(rows: Float[Array, "b d"], others: Float[Array, "n d"]) -> Float[Array, " b"]:
        overlaps = jnp.matmul(rows, others.T, precision=precision)
        return jnp.sum(polynomial(kernel, overlaps), axis=1)

    return jnp.mean(_sum_over_pairs(pair, particles, block, mesh)) / particles.shape[0]


def _sum_over_pairs(pair, particles: Float[Array, "m d"], block: int, mesh: Mesh):
    """Σ_blocks pair(rows, block of all rows): for each of the rows, of which a device takes `block` at once."""
    block = min(block, _LARGEST)

    def with_all(others: Float[Array, "n d"]):
        others = keep(others, mesh, None)
        return map_rows(lambda rows: pair(rows, others), particles, block, mesh)

    return sum_over_rows(with_all, particles, max(1, block // mesh.shape[AXIS]), mesh)
