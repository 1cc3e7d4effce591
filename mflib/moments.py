r"""The interaction through moments of the particles, in a time proportional to m (chapter 14).

With x^α the monomials of degree p in the coordinates of x, and μ_α = p!/Π α_k! how often each occurs,

    (w·v)^p = Σ_α μ_α w^α v^α,

one monomial for each of the C(d+p−1, p) multisets of p coordinates. Hence, with n + 1 = p + q,

    C = Σ_j w_j^{(p)} ⊗ w_j^{(q)},        y_β(w) = Σ_α μ_α w^α C_αβ = Σ_j (w·w_j)^p w_j^β,
    Σ_j (w·w_j)^n w_j = (1/q) ∇_w' Σ_β μ_β y_β(w) w'^β   at w' = w,

whose coordinate k is Σ_γ μ_γ w^γ y_{γ+k}, γ over the multisets of q − 1. The mean of (w_i·w_j)^{n+1} over all pairs is
Σ μ_α μ_β C_αβ² / m². Only the degrees that g' has cost anything.

C_αβ depends on the union δ of α and β only, so that for p = q the same numbers stand in many places. Cut the
coordinates into two halves, and call a multiset pure if it lies in one of them. Every δ of 2p coordinates, of which
s ≥ p are in a half (as those of one of the halves are), is the union of a multiset α of p of these and a β of which
s − p are; of the C(2p, s) places that those s can take among the 2p factors of a monomial, C(p, s−p) have that form. So

    Σ_δ μ_δ C_δ w^δ = Σ_{α pure, β pure} f μ_α μ_β C_αβ w^α w^β + 2 Σ_{α pure, β mixed} f μ_α μ_β C_αβ w^α w^β,
    f = C(2p, p+t) / C(p, t), halved unless t = p,      t: how many of β are in the half of α,

a form whose gradient is what is wanted: of C the rows of pure α are enough, about half of them for p = 2, and of the
products with C the mixed block of the mixed is not there.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .problem import Problem


def interaction_degrees(problem: Problem) -> tuple[int, ...]:
    """The degrees n of g', from the degrees of σ that are `present`: what that leaves out is c_k² ≤ eps ‖c‖²."""
    return tuple(sorted(k - 1 for k in problem.activation.present if k >= 1))


def split(n: int) -> tuple[int, int]:
    """(p, q) with p + q = n + 1 and q ≥ 1, as equal as may be: the fewest monomials of each particle."""
    q = max(1, (n + 1) // 2)
    return n + 1 - q, q


def count(dim: int, p: int) -> int:
    """C(d+p−1, p), the number of monomials of degree p."""
    return math.comb(dim + p - 1, p)


def shared(p: int, q: int) -> bool:
    """Whether rows of pure multisets are enough. Not from p = 17 on: f μ_α grows like (4d)^p, and float32 ends."""
    return p == q and p <= 16


def kept(dim: int, n: int) -> tuple[int, int]:
    """The shape of the part of C that is kept for the degree n of g'."""
    p, q = split(n)
    return (pure(dim, p) if shared(p, q) else count(dim, p)), count(dim, q)


def multiplications(dim: int, n: int) -> int:
    """Of one row in the products of matrices for the degree n of g': once for C, once with it."""
    rows, columns = kept(dim, n)
    again = 2 * columns - rows if shared(*split(n)) else columns
    return rows * (columns + again)


def pure(dim: int, p: int) -> int:
    """How many monomials of degree p have all their coordinates in one half of them."""
    half = _half(dim)
    return count(half, p) + (count(dim - half, p) if dim > half else 0)


def _half(dim: int) -> int:
    """How many coordinates the first half has."""
    return (dim + 1) // 2


def moments(
    degrees: tuple[int, ...], rows: Float[Array, "b d"], precision: str = "highest"
) -> tuple[Float[Array, "_ _"], ...]:
    """For each degree n of g': C, or its `kept` rows, summed over `rows`. To be added up over blocks of rows."""
    monomials = _monomials(rows, max(map(split, degrees))[0])
    found = []
    for n in degrees:
        p, q = split(n)
        few = kept(rows.shape[1], n)[0]
        found.append(jnp.matmul(monomials[p][:few], monomials[q].T, precision=precision))
    return tuple(found)


class Weighted(NamedTuple):
    """For one degree n of g': y_β = Σ_α `all`_βα w^α, and for the last β, the mixed ones, over pure α: `mixed`.

    Where p ≠ q, or all multisets are pure, `mixed` has no rows.
    """

    all: Float[Array, "_ _"]
    mixed: Float[Array, "_ _"]


def weighted(
    degrees: tuple[int, ...],
    slope: Float[Array, " k"],
    sums: tuple[Float[Array, "_ _"], ...],
    dim: int,
) -> tuple[Weighted, ...]:
    """The moments times g'_n and the weights: the same for all rows; `slope`: coefficients of g'."""
    found = []
    for n, total in zip(degrees, sums, strict=True):
        p, q = split(n)
        weight = jnp.asarray(_table(dim, p).weight, slope.dtype)[:, None]
        if shared(p, q):
            few = total.shape[0]
            total = slope[n] * _repeated(total, dim, p)
            one = Weighted(weight.T * total, (weight[:few] * total[:, few:]).T)
        else:
            one = Weighted((slope[n] * weight * total).T, jnp.zeros((0, 0), slope.dtype))
        found.append(one)
    return tuple(found)


def from_moments(
    degrees: tuple[int, ...],
    rows: Float[Array, "b d"],
    matrices: tuple[Weighted, ...],
    precision: str = "highest",
) -> Float[Array, "b d"]:
    """Σ_j g'(w_i·w_j) w_j for rows w_i; `matrices`: the moments of all w_j, `weighted`."""
    monomials = _monomials(rows, max(map(split, degrees))[0])
    parts = {}
    for n, matrix in zip(degrees, matrices, strict=True):
        p, q = split(n)
        few = monomials[p][: matrix.mixed.shape[1]]
        y = jnp.concatenate(
            [
                jnp.matmul(matrix.all, monomials[p], precision=precision),
                jnp.matmul(matrix.mixed, few, precision=precision),
            ]
        )
        parts[q] = parts.get(q, 0) + y
    return sum(_contract(y, monomials[q - 1], rows.shape[1], q) for q, y in parts.items()).T


def mean_kernel(
    degrees: tuple[int, ...],
    kernel: Float[Array, " k"],
    sums: tuple[Float[Array, "_ _"], ...],
    dim: int,
    m: int,
) -> Float[Array, ""]:
    """Σ_ij g(w_i·w_j) / m² from the same moments; `kernel`: coefficients of g."""
    total = kernel[0]
    for n, moment in zip(degrees, sums, strict=True):
        p, q = split(n)
        left, right = (jnp.asarray(_table(dim, k).weight, moment.dtype) for k in (p, q))
        squares = (moment / m) ** 2
        if shared(p, q):
            few = len(moment)
            squares = _repeated(squares, dim, p).at[:, few:].multiply(2)
            left = left[:few]
        total = total + kernel[n + 1] * (left @ squares @ right)
    return total


def _repeated(rows: Float[Array, "K D"], dim: int, p: int) -> Float[Array, "K D"]:
    """f times the rows of pure α, which are in the order of their halves."""
    half = _half(dim)
    inside = np.sum(_table(dim, p).members < half, axis=1)
    factor = np.array(
        [math.comb(2 * p, p + t) / math.comb(p, t) / (1 if t == p else 2) for t in range(p + 1)]
    )
    first = count(half, p)
    parts = [
        part * jnp.asarray(factor[t], rows.dtype)
        for part, t in ((rows[:first], inside), (rows[first:], p - inside))
    ]
    return jnp.concatenate(parts)


def _monomials(rows: Float[Array, "b d"], largest: int) -> list[Float[Array, "D b"]]:
    """w^α of every row, a list by degree 0, …, `largest`; rows are the last axis, so that gathers are copies."""
    x = rows.T
    found = [jnp.ones_like(x[:1]), x]
    for p in range(2, largest + 1):
        table = _table(x.shape[0], p)
        # Copies of whole rows: fused with the product they would be read one number at a time.
        below, last = jax.lax.optimization_barrier((found[p - 1][table.left], x[table.right]))
        found.append(below * last)
    return found


def _contract(y: Float[Array, "Q b"], below: Float[Array, "G b"], dim: int, q: int):
    """Σ_γ μ_γ w^γ y_{γ+k} for each coordinate k."""
    if q == 1:
        return y
    weights = jnp.asarray(_table(dim, q - 1).weight, y.dtype)[:, None] * below
    raised = jnp.asarray(_raised(dim, q).T)

    def add(sums, one):
        weight, rows = one
        return sums + weight * y[rows], None

    # One γ at a time: all at once would copy y d times, and one k at a time read all weights d times.
    return jax.lax.scan(add, jnp.zeros((dim, y.shape[1]), y.dtype), (weights, raised))[0]


class _Table(NamedTuple):
    """The multisets of p of d coordinates: x^α = x^{left} · x_{right}, and μ_α.

    First those of one half of the coordinates, then those of the other, then the mixed ones.
    """

    members: np.ndarray
    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray


@lru_cache(maxsize=64)
def _table(dim: int, p: int) -> _Table:
    if p == 0:
        return _Table(np.zeros((1, 0), int), np.zeros(0, int), np.zeros(0, int), np.ones(1))
    below, half = _table(dim, p - 1), _half(dim)
    first = below.members[:, -1] if p > 1 else np.zeros(1, int)
    left = np.repeat(np.arange(len(first)), dim - first)
    right = np.concatenate([np.arange(start, dim) for start in first])
    members = np.column_stack([below.members[left], right])
    mixed = (members[:, 0] < half) & (right >= half)
    order = np.lexsort([members[:, 0], mixed])
    left, right, members = left[order], right[order], members[order]
    # One more factor in p! and in that of the last coordinate; 21! would be no 64-bit integer.
    repeats = (members == members[:, -1:]).sum(axis=1)
    return _Table(members, left, right, below.weight[left] * p / repeats)


@lru_cache(maxsize=64)
def _raised(dim: int, q: int) -> np.ndarray:
    """(d, G): where γ + k is among the multisets of q, for each k and each multiset γ of q − 1."""
    below, members = _table(dim, q - 1).members, _table(dim, q).members
    places = {row.tobytes(): place for place, row in enumerate(members)}
    joined = np.empty((dim, len(below), q), members.dtype)
    joined[:, :, :-1], joined[:, :, -1] = below, np.arange(dim)[:, None]
    return np.array([[places[row.tobytes()] for row in rows] for rows in np.sort(joined, axis=2)])
