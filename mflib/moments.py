r"""The interaction through moments of the particles, in a time proportional to m (chapter 14).

With x^α the monomials of degree p in the coordinates of x, and μ_α = p!/Π α_k! how often each occurs,

    (w·v)^p = Σ_α μ_α w^α v^α,

one monomial for each of the C(d+p−1, p) multisets of p coordinates. Hence, with n + 1 = p + q,

    C = Σ_j w_j^{(p)} ⊗ w_j^{(q)},        y_β(w) = Σ_α μ_α w^α C_αβ = Σ_j (w·w_j)^p w_j^β,
    Σ_j (w·w_j)^n w_j = (1/q) ∇_w' Σ_β μ_β y_β(w) w'^β   at w' = w,

whose coordinate k is Σ_γ μ_γ w^γ y_{γ+k}, γ over the multisets of q − 1. The mean of (w_i·w_j)^{n+1} over all pairs is
Σ μ_α μ_β C_αβ² / m². Only the degrees that g' has cost anything.
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


def moments(
    degrees: tuple[int, ...], rows: Float[Array, "b d"], precision: str = "highest"
) -> tuple[Float[Array, "_ _"], ...]:
    """For each degree n of g': C summed over the rows. To be added up over blocks of rows."""
    monomials = _monomials(rows, max(map(split, degrees))[0])
    return tuple(
        jnp.matmul(monomials[p], monomials[q].T, precision=precision)
        for p, q in map(split, degrees)
    )


def weighted(
    degrees: tuple[int, ...],
    slope: Float[Array, " k"],
    sums: tuple[Float[Array, "_ _"], ...],
    dim: int,
) -> tuple[Float[Array, "_ _"], ...]:
    """For each degree n of g': (g'_n μ_α C_αβ)ᵀ, which is the same for all rows; `slope`: coefficients of g'."""
    weights = [jnp.asarray(_table(dim, split(n)[0]).weight, slope.dtype) for n in degrees]
    return tuple(
        (slope[n] * weight[:, None] * total).T
        for n, weight, total in zip(degrees, weights, sums, strict=True)
    )


def from_moments(
    degrees: tuple[int, ...],
    rows: Float[Array, "b d"],
    matrices: tuple[Float[Array, "_ _"], ...],
    precision: str = "highest",
) -> Float[Array, "b d"]:
    """Σ_j g'(w_i·w_j) w_j for rows w_i; `matrices`: the moments of all w_j, `weighted`."""
    monomials = _monomials(rows, max(map(split, degrees))[0])
    parts = {}
    for n, matrix in zip(degrees, matrices, strict=True):
        p, q = split(n)
        y = jnp.matmul(matrix, monomials[p], precision=precision)
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
        left, right = (jnp.asarray(_table(dim, p).weight, moment.dtype) for p in split(n))
        total = total + kernel[n + 1] * (left @ (moment / m) ** 2 @ right)
    return total


def _monomials(rows: Float[Array, "b d"], largest: int) -> list[Float[Array, "D b"]]:
    """w^α of every row, a list by degree 0, …, `largest`; rows are the last axis, so that gathers are copies."""
    x = rows.T
    found = [jnp.ones_like(x[:1]), x]
    for p in range(2, largest + 1):
        table = _table(x.shape[0], p)
        found.append(found[p - 1][table.left] * x[table.right])
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
    """The multisets of p of d coordinates in lexicographic order: x^α = x^{left} · x_{right}, and μ_α."""

    members: np.ndarray
    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray


@lru_cache(maxsize=64)
def _table(dim: int, p: int) -> _Table:
    if p == 0:
        return _Table(np.zeros((1, 0), int), np.zeros(0, int), np.zeros(0, int), np.ones(1))
    below = _table(dim, p - 1)
    first = below.members[:, -1] if p > 1 else np.zeros(1, int)
    left = np.repeat(np.arange(len(first)), dim - first)
    right = np.concatenate([np.arange(start, dim) for start in first])
    members = np.column_stack([below.members[left], right])
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
