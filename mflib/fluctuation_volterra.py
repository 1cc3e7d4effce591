r"""The exact 1/m law by its Volterra equation, for every parity and dimension (chapter 8).

In block ℓ, u^ℓ = ū^ℓ − ∫ Γ^ℓ u^ℓ ds is linear, and the covariance of the sampling noise is known:

    m E ū^ℓ_k(t) ū^ℓ_j(s) = E φ_kℓ(θ_t) φ_jℓ(θ_s) − [ℓ=0] √(a_k a_j) p_k(t) p_j(s)  =: C^ℓ(t, s).

On a grid of times (`mflib.volterra`) the equation reads (1 + V) u = ū. So U = (1+V)^{−1} C (1+V)^{−T} is
the covariance of u, its trace at (t, t) the function law, and with Δ_t = −∫ J_{t,s} DΦ(ξ_s)* u_s ds

    lim m E‖Δ_t‖² = Σ_ℓ ∫∫ tr[ (J_{t,s} DΦ_ℓ(ξ_s)*)* J_{t,r} DΦ_ℓ(ξ_r)* U^ℓ(r, s) ] ds dr.

The error is of second order in the steps of the grid.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from .integrate import SolverError
from .moment_path import MomentPath
from .problem import SingleIndex
from .responses import positions
from .volterra import Rule, hats, lag_rule, lags_of, time_grid


class _Tables(NamedTuple):
    """What the limit alone determines, on the grid of n times; blocks first, then times."""

    grid: Float[np.ndarray, " n"]
    rule: Rule
    covariance: Float[np.ndarray, "l n n k k"]
    response: Float[np.ndarray, "l n R k k"]
    moves: dict[float, Float[np.ndarray, "l a a"]]


def by_volterra(
    problem: SingleIndex,
    path: MomentPath,
    times: np.ndarray,
    points: int,
    *,
    progress: bool = False,
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Both laws at `times`, (T, L) each, on grids of `points` and of about half as many steps.

    Returns the coarse pair, the fine pair, and the largest error of a moment of the limit that the
    quadrature over particles makes.
    """
    tables, missed = _tabulate(problem, path, times, points, progress)
    half = np.isin(tables.grid, time_grid(times, points // 2))
    coarse = tables._replace(
        grid=tables.grid[half],
        covariance=tables.covariance[:, half][:, :, half],
        response=tables.response[:, half],
    )
    return _solve(coarse, times), _solve(tables, times), missed


def _tabulate(problem, path, times, points, progress) -> tuple[_Tables, float]:
    grid, rule = time_grid(times, points), lag_rule()
    particles = positions(problem, path)
    kept = np.array(particles.degrees)
    own = np.sqrt(np.asarray(path.repulsion, float)[kept])
    exact = np.asarray(path.table(jnp.asarray(grid, path.repulsion.dtype)))[:, kept]
    covariance, response, moves, means = [], [], {}, []
    for i, now in enumerate(tqdm(grid, disable=not progress, leave=False)):
        lags, at_grid, at_rule = lags_of(grid, i, rule)
        found = particles.histories(now, lags)
        if not particles.folded and found.law[0] > 1e-4:
            raise SolverError(
                f"particles gather at −w* (d = {float(path.dim):g}, t = {now:g}), which this method "
                'does not follow: use method="particles".'
            )
        mean = np.asarray(found.now.value)[0] @ np.asarray(found.law)
        means.append(mean)
        row = np.zeros((found.counts.size, grid.size, kept.size, kept.size))
        row[:, : i + 1] = np.asarray(found.covariance())[at_grid].swapaxes(0, 1)
        # E φ_k0(θ_t) φ_j0(θ_s) − mean mean, the first without its value at the pole so far.
        row[0, : i + 1] += (own - mean)[:, None] * np.array(means)[:, None]
        covariance.append(row)
        response.append(np.asarray(found.response())[at_rule].swapaxes(0, 1))
        if now in times:
            moves[now] = np.asarray(found.moves_between(jnp.asarray(at_rule)))
    lower = np.stack(covariance, axis=1)
    # Filled below the diagonal; C(s, t) = C(t, s)ᵀ.
    upper = np.triu(np.ones((grid.size, grid.size)), 1)[:, :, None, None]
    full = lower + upper * np.transpose(lower, (0, 2, 1, 4, 3))
    missed = float(np.max(np.abs(np.array(means) / own - exact)))
    return _Tables(grid, rule, full, np.stack(response, axis=1), moves), missed


def _solve(tables: _Tables, times) -> list[np.ndarray]:
    """[function, displacement], (T, L) each."""
    grid = tables.grid
    n, k = grid.size, tables.covariance.shape[-1]
    weights = hats(tables.rule, grid)
    function, displacement = [], []
    for block, covariance in enumerate(tables.covariance):
        volterra = np.einsum("irkj,irn->iknj", tables.response[block], weights, optimize=True)
        system = np.eye(n * k) + volterra.reshape(n * k, n * k)
        noise = np.swapaxes(covariance, 1, 2).reshape(n * k, n * k)
        solved = np.linalg.solve(system, np.linalg.solve(system, noise).T)
        function.append(np.diag(solved).reshape(n, k).sum(axis=1))
        solved = solved.reshape(n, k, n, k)
        column = []
        for now in times:
            row = weights[np.searchsorted(grid, now)]
            past = np.einsum("rn,nkmj,sm->rksj", row, solved, row, optimize=True)
            gram = tables.moves[now][block]
            column.append(np.sum(gram * past.reshape(gram.shape)))
        displacement.append(column)
    at = np.searchsorted(grid, times)
    return [np.array(function).T[at], np.array(displacement).T]
