r"""Which form of the sum over all pairs of neurons is fastest: a cost model (chapter 14).

Costs are in flops of a large matrix product, so that only ratios of rates enter:

    dense    m² (4d + PAIR)
    tiled    N T² (4d + PAIR) + ½ N(N−1) T² (6d + PAIR) + ½ N(N+1) CALL,      N = m/T tiles
    moments  Σ_n m [2 M_n + GATHER (2 D_p + D_q + d D_{q−1})] + N (8 + Σ_q D_{q−1}) CALL,   N = m/T blocks,

with D_p = C(d+p−1, p), p + q = n + 1, n the degrees of g', each q once in Σ_q, and M_n = 2 D_p D_q, or
K (3D − K) where p = q, with D = D_p and K of them in one half of the coordinates (`mflib.moments`).
`python -m benchmarks --only constants` measures them.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._check import require
from .kernels import tile_size
from .moments import count, interaction_degrees, kept, multiplications, split
from .problem import Problem

KERNELS = ("dense", "tiled", "moments")
PRECISIONS = ("highest", "high", "default")

# Flops of a large float32 product in the time of one pair's polynomial, one monomial, one small operation:
# measured on two quiet cores of a CPU with 512-bit vectors (290 Gflop/s together) for h_4, and used for all
# degrees. Not measured on a GPU.
PAIR, GATHER, CALL = 150.0, 180.0, 5.5e5
# Rows of a block of moments.
_BLOCK = 2048
# A millisecond: below that the dense form is taken, which compiles in the shortest time.
_SMALL = 3e8
# Moments are all kept: at most 2^26 numbers (half a gigabyte in float64) unless asked for, then 2^28.
_CHOSEN_MOMENTS, _MOST_MOMENTS = 2**26, 2**28


@dataclass(frozen=True)
class Form:
    """How the sum is done: `kernel`, rows at once (`block`), and the precision of matrix products."""

    kernel: str
    block: int
    precision: str = "highest"

    def __post_init__(self):
        """Raises `ValueError` for a `kernel` or `precision` that there is not."""
        require(self.kernel in KERNELS, "kernel", f"one of {KERNELS}", self.kernel)
        require(self.precision in PRECISIONS, "precision", f"one of {PRECISIONS}", self.precision)


def costs(problem: Problem, m: int, dim: int, block: int | None = None) -> dict[str, float]:
    """The cost of each kernel in flops of a large matrix product; infinite for moments that `choose` refuses."""
    rows = tile_size(m, block or _tile(m))
    tiles = -(-m // rows)
    off = tiles * (tiles - 1) / 2
    moments, calls = np.inf, 8
    if moment_numbers(problem, dim) <= _MOST_MOMENTS:
        moments, below = 0.0, {}
        for n in interaction_degrees(problem):
            p, q = split(n)
            below[q] = count(dim, q - 1)
            gathered = 2 * count(dim, p) + count(dim, q) + dim * below[q]
            moments += 2 * multiplications(dim, n) + GATHER * gathered
        calls += sum(below.values())
    return {
        "dense": m**2 * (4 * dim + PAIR),
        "tiled": rows**2 * (tiles * (4 * dim + PAIR) + off * (6 * dim + PAIR))
        + (tiles + off) * CALL,
        "moments": m * moments + -(-m // (block or _BLOCK)) * calls * CALL,
    }


def moment_numbers(problem: Problem, dim: int) -> int:
    """How many numbers the moment form keeps, over all degrees of g'."""
    return sum(math.prod(kept(dim, n)) for n in interaction_degrees(problem))


def choose(
    problem: Problem,
    m: int,
    dim: int,
    *,
    kernel: str | None = None,
    block: int | None = None,
    precision: str = "highest",
) -> Form:
    """The cheapest form for m particles in dimension `dim` by `costs` (dense below 3e8), or the one asked for.

    `block` alone asks for tiles of so many rows (for the dense form, if that is all).

    **Raises** `ValueError` for an unknown `kernel` or `precision`, `block` < 1, `block` < m with
    `kernel="dense"`, and moments of more than 2^28 numbers.
    """
    require(kernel is None or kernel in KERNELS, "kernel", f"one of {KERNELS} or None", kernel)
    check_block(block)
    require(precision in PRECISIONS, "precision", f"one of {PRECISIONS}", precision)
    require(
        kernel != "dense" or block is None or block >= m,
        "block",
        "None or at least m with kernel='dense', which takes all rows at once",
        block,
    )
    if kernel is None and block is not None:
        kernel = "tiled" if block < m else "dense"
    if kernel is None:
        cost = costs(problem, m, dim)
        if moment_numbers(problem, dim) > _CHOSEN_MOMENTS:
            del cost["moments"]
        kernel = "dense" if cost["dense"] <= _SMALL else min(cost, key=cost.get)
    if kernel == "moments":
        size = moment_numbers(problem, dim)
        require(
            size <= _MOST_MOMENTS,
            "kernel",
            f"'tiled' or 'dense' where the moments are more than {_MOST_MOMENTS} numbers",
            f"'moments', which are {size} for d = {dim} and degrees {interaction_degrees(problem)} of g'",
        )
    rows = {"dense": m, "tiled": block or _tile(m), "moments": block or _BLOCK}[kernel]
    return Form(kernel, int(rows), precision)


def _tile(m: int) -> int:
    """Rows of a tile: a quarter of m, from 1024 (smaller products are slow) to 2048 (larger ones save nothing).

    On two cores at m = 16384, d = 128 tiles of 512, 1024, 2048, 4096 rows had 1.05, 1.18, 1.21, 1.07 of the
    rate of matrix products, counted at 4m²d flops; at m = 4096 those of 512, 1024, 2048 rows 0.75, 1.04, 0.74.
    """
    return min(2048, max(1024, m // 4))


def check_block(block: Any) -> None:
    """`block` is None or an integer ≥ 1."""
    fits = block is None or (isinstance(block, int | np.integer) and block >= 1)
    require(fits, "block", "an integer, at least 1, or None", block)
