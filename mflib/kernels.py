r"""Sums over all pairs of neurons, without a matrix of all pairs (chapter 14).

    Σ_j g'(w_i·w_j) w_j        and        Σ_ij g(w_i·w_j).

W Wᵀ is symmetric, so with the rows of W cut into tiles W_I only the tiles I ≤ J of A = g'(W Wᵀ) are
needed: A_IJ W_J is part of the rows I, A_IJᵀ W_I of the rows J, kept transposed as W_Iᵀ A_IJ (products with
a transposed left factor are slow on a CPU). Counted in products of matrices that is 3m²d flops (one
quarter of the 4m²d of the plain form is saved), and no more than a tile of A exists at once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .hermite import polynomial


def interaction(
    slope: Float[Array, " k"],
    rows: Float[Array, "b d"],
    columns: Float[Array, "n d"],
    precision: str = "highest",
) -> Float[Array, "b d"]:
    """Σ_j g'(w_i·v_j) v_j for rows w_i and columns v_j; `slope`: the monomial coefficients of g'."""
    overlaps = jnp.matmul(rows, columns.T, precision=precision)
    return jnp.matmul(polynomial(slope, overlaps), columns, precision=precision)


def tile_size(m: int, largest: int) -> int:
    """Rows of a tile, at most `largest`: tiles as equal as may be, so that padding costs next to nothing."""
    count = -(-m // largest)
    even = -(-m // count)
    return min(largest, -(-even // 16) * 16)  # 16 float32 fill a vector register


def tiled(
    slope: Float[Array, " k"], particles: Float[Array, "m d"], largest: int, precision: str
) -> Float[Array, "m d"]:
    """Σ_j g'(w_i·w_j) w_j by tiles of at most `largest` rows."""
    tiles, upper = _tiles(particles, largest)
    columns = tiles.mT

    def add(sums, pair):
        (i, j), (by_row, by_column) = pair, sums
        weights = polynomial(slope, jnp.matmul(tiles[i], tiles[j].T, precision=precision))
        by_row = by_row.at[i].add(jnp.matmul(weights, tiles[j], precision=precision))
        return (
            by_row,
            by_column.at[j].add(jnp.matmul(columns[i], weights, precision=precision)),
        ), None

    own = jax.lax.map(lambda tile: interaction(slope, tile, tile, precision), tiles)
    by_row, by_column = jax.lax.scan(add, (own, jnp.zeros_like(columns)), upper)[0]
    return (by_row + by_column.mT).reshape(-1, particles.shape[1])[: particles.shape[0]]


def tiled_sum(
    kernel: Float[Array, " k"], particles: Float[Array, "m d"], largest: int, precision: str
) -> Float[Array, ""]:
    """Σ_ij g(w_i·w_j) / m² by the same tiles; `kernel`: the monomial coefficients of g."""
    tiles, upper = _tiles(particles, largest)
    varying = kernel.at[0].set(0)  # vanishes at the zero rows that fill up the last tile

    def row_sums(left, right):
        overlaps = jnp.matmul(left, right.T, precision=precision)
        return jnp.sum(polynomial(varying, overlaps), axis=1)

    def add(sums, pair):
        return sums + row_sums(tiles[pair[0]], tiles[pair[1]]), None

    own = jnp.sum(jax.lax.map(lambda tile: row_sums(tile, tile), tiles), axis=0)
    sums = own + 2 * jax.lax.scan(add, jnp.zeros_like(own), upper)[0]
    return kernel[0] + jnp.sum(sums) / particles.shape[0] ** 2


def _tiles(particles: Float[Array, "m d"], largest: int):
    """The particles in tiles (n, rows, d), the last filled up with zeros, which add w_j = 0 to a sum; the pairs I < J."""
    m, d = particles.shape
    rows = tile_size(m, largest)
    count = -(-m // rows)
    tiles = jnp.pad(particles, ((0, count * rows - m), (0, 0))).reshape(count, rows, d)
    return tiles, tuple(jnp.asarray(index) for index in np.triu_indices(count, 1))
