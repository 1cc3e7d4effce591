r"""Volterra equations along the limit, on a grid of times (chapter 8).

    u_t = ū_t − ∫_0^t Γ_{t,s} u_s ds.

Γ has features of two sizes: it follows training, over all of t, and it forgets within a time of order 1
what happens at the pole. So the grid is as coarse as u allows, u is linear between its points, and the
integral of Γ against each hat function uses nodes of its own, dense near the diagonal.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Nodes s = t (1 − r²), Gauss–Legendre in r.
LAGS = 40


class Rule(NamedTuple):
    """`lags` (R,), as fractions of t, and `weights` (R,): ∫_0^t f ds ≈ t Σ_r weights_r f(t (1 − lags_r))."""

    lags: Float[np.ndarray, " R"]
    weights: Float[np.ndarray, " R"]


def lag_rule() -> Rule:
    """The nodes and weights of the integral over the past."""
    r, weights = np.polynomial.legendre.leggauss(LAGS)
    return Rule(((r + 1) / 2) ** 2, weights * (r + 1) / 2)


def time_grid(times: Float[np.ndarray, " T"], points: int) -> Float[np.ndarray, " n"]:
    """0, the positive `times`, and `points` equal steps to the last of them."""
    until = float(times[-1])
    even = np.linspace(0, until, points + 1)
    # A point next to one asked for adds nothing.
    far = np.min(np.abs(even[:, None] - times), axis=1) > 0.1 * until / points
    return np.union1d(np.concatenate([[0.0], even[far]]), times)


def hats(rule: Rule, grid: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n R n"]:
    """t_i weights_r h_j(t_i (1 − lags_r)): row i, node r, hat function h_j of the grid."""
    if grid.size == 1:  # the start alone
        return np.zeros((1, rule.lags.size, 1))
    at = grid[:, None] * (1 - rule.lags)
    cell = np.clip(np.searchsorted(grid, at, side="right") - 1, 0, grid.size - 2)
    share = (at - grid[cell]) / np.diff(grid)[cell]
    table = np.zeros((grid.size, rule.lags.size, grid.size))
    row, node = np.indices(cell.shape)
    table[row, node, cell] += 1 - share
    table[row, node, cell + 1] += share
    return table * (grid[:, None] * rule.weights)[:, :, None]


def lags_of(
    grid: Float[np.ndarray, " n"], i: int, rule: Rule
) -> tuple[Float[np.ndarray, " S"], np.ndarray, np.ndarray]:
    """Increasing lags from grid time i: to all of the grid up to i, and to the nodes of the rule.

    With the places of either among them, in order of increasing time for the grid and of increasing lag
    for the rule. The number S = n + R is the same for every i: what is missing lies beyond `grid[0]`.
    """
    now, size = grid[i], grid.size + rule.lags.size
    if now == 0:
        return np.arange(size) * grid[-1], np.zeros(1, int), np.zeros(rule.lags.size, int)
    beyond = now + grid[-1] * np.arange(1, grid.size - i)
    lags = np.concatenate([now - grid[: i + 1], now * rule.lags, beyond])
    order = np.argsort(lags)
    place = np.empty(size, int)
    place[order] = np.arange(size)
    return lags[order], place[: i + 1], place[i + 1 : i + 1 + rule.lags.size]
