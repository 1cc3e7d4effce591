r"""Sums over all pairs of neurons, without a matrix of all pairs (chapter 14).

    Σ_j g'(w_i·w_j) w_j        and        Σ_ij g(w_i·w_j).

W Wᵀ is symmetric, so with the rows of W cut into tiles W_I only the tiles I ≤ J of A = g'(W Wᵀ) are
needed: A_IJ W_J is part of the rows I, A_IJᵀ W_I of the rows J, kept transposed as W_Iᵀ A_IJ (products with
a transposed left factor are slow on a CPU). Counted in products of matrices that is 3m²d flops (one
quarter of the 4m²d of the plain form is saved), and no more than a tile of A exists at once.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

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
    tiles = _tiles(particles, largest)
    columns = tiles.mT

    def add(n, sums):
        by_row, by_column = sums
        i, j = _pair(n, tiles.shape[0])
        weights = polynomial(slope, jnp.matmul(tiles[i], tiles[j].T, precision=precision))
        by_row = by_row.at[i].add(jnp.matmul(weights, tiles[j], precision=precision))
        by_column = by_column.at[j].add(jnp.matmul(columns[i], weights, precision=precision))
        return by_row, by_column

    own = jax.lax.map(lambda tile: interaction(slope, tile, tile, precision), tiles)
    start = own, jnp.zeros_like(columns)
    by_row, by_column = jax.lax.fori_loop(0, _pairs(tiles.shape[0]), add, start)
    return (by_row + by_column.mT).reshape(-1, particles.shape[1])[: particles.shape[0]]


def tiled_sum(
    kernel: Float[Array, " k"], particles: Float[Array, "m d"], largest: int, precision: str
) -> Float[Array, ""]:
    """Σ_ij g(w_i·w_j) / m² by the same tiles; `kernel`: the monomial coefficients of g."""
    tiles = _tiles(particles, largest)
    varying = kernel.at[0].set(0)  # vanishes at the zero rows that fill up the last tile

    def row_sums(left, right):
        overlaps = jnp.matmul(left, right.T, precision=precision)
        return jnp.sum(polynomial(varying, overlaps), axis=1)

    def add(n, sums):
        i, j = _pair(n, tiles.shape[0])
        return sums + row_sums(tiles[i], tiles[j])

    own = jnp.sum(jax.lax.map(lambda tile: row_sums(tile, tile), tiles), axis=0)
    others = jax.lax.fori_loop(0, _pairs(tiles.shape[0]), add, jnp.zeros_like(own))
    return kernel[0] + jnp.sum(own + 2 * others) / particles.shape[0] ** 2


def _tiles(particles: Float[Array, "m d"], largest: int) -> Float[Array, "n rows d"]:
    """The particles in tiles, the last filled up with zeros, which add w_j = 0 to a sum."""
    m, d = particles.shape
    rows = tile_size(m, largest)
    count = -(-m // rows)
    return jnp.pad(particles, ((0, count * rows - m), (0, 0))).reshape(count, rows, d)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _pair(n: Int[Array, ""], count: int):
    """The n-th pair of different tiles: those that are 1 apart on a circle of all tiles, then 2, and so on.

    At the distance count/2, if that is an integer, only the first half of the circle is reached.
    """
    i = n % count
    return i, (i + n // count + 1) % count
