r"""Bounds of the gap that follow the particles, by norms or by degrees (chapter 9).

To first order in 1/m, with ū the sampling noise and azimuthal blocks ℓ as in `mflib.blocks`,

    u_t = ū_t − ∫_0^t Γ_{t,s} u_s ds,        Δ_t(w) = −∫_0^t J_{t,s}(w) DΦ(ξ_s(w))* u_s ds,
    Γ^ℓ_{t,s} = (1/N_ℓ) E[ φ'_kℓ(θ_t) J∥ φ'_jℓ(θ_s) + ℓ(ℓ+d−3) φ_kℓ(θ_t)/sin θ_t J⊥ φ_jℓ(θ_s)/sin θ_s ]_{kj}.

Sizes instead of signs lose that Γ damps, but nothing of the size of J. Either of whole blocks,

    y_ℓ(t) = (m E‖ū^ℓ_t‖²)^{1/2} + ∫_0^t ‖Γ^ℓ_{t,s}‖ y_ℓ(s) ds,          m E‖u_t‖² ≤ Σ_ℓ y_ℓ(t)²,

or degree by degree,

    z_kℓ(t) = (m E|ū^{kℓ}_t|²)^{1/2} + ∫_0^t Σ_j |Γ^ℓ_{t,s}|_kj z_jℓ(s) ds,   m E‖u_t‖² ≤ Σ_ℓk z_kℓ(t)².

The expectations run over where particles are at time t, each traced back to all earlier s: fronts of the
flow map are no obstacle.
"""

import jax.numpy as jnp
import numpy as np

from ._check import Values, check_times, require
from .bounds import Bound
from .integrate import SolverError
from .moment_path import MomentPath, limit_path
from .problem import SingleIndex
from .responses import positions
from .volterra import hats, lag_rule, time_grid


def norm_bound(
    problem: SingleIndex,
    times: Values,
    *,
    by: str = "norm",
    points: int = 64,
    path: MomentPath | None = None,
) -> Bound:
    r"""Bounds of $\sqrt m (E‖u_t‖^2)^{1/2}$ and $\sqrt m (E‖Δ_t‖^2)^{1/2}$ at `times` (½-loss clock).

    **Arguments**

    - `by`: `"norm"` bounds each block of Γ by its operator norm, `"degree"` each of its entries by its
      absolute value. Neither is below the other in general.
    - `points`: steps of the grid on which the Volterra equation is solved, linear in between.

    Any parity. All of it follows from the infinite-width limit: J, the features along it, and the law
    of its particles.

    **Raises** `ValueError` for bad arguments and `SolverError` if a solve does not complete.
    """
    times = check_times(times)
    require(
        isinstance(points, int | np.integer) and points >= 2, "points", "an integer ≥ 2", points
    )
    require(by in ("norm", "degree"), "by", '"norm" or "degree"', by)
    path = limit_path(problem, times, path)
    saved = np.asarray(times, float)
    grid, rule = time_grid(saved, points), lag_rule()
    particles = positions(problem, path)
    rows = []
    for now in grid:
        # The start, where the law is known, is one more lag.
        lags = np.append(now * rule.lags, now) if now > 0 else np.arange(rule.lags.size + 1.0)
        found = particles.histories(now, lags)
        response, moves = np.asarray(found.response())[:-1], np.asarray(found.moves())[:-1]
        rows.append((_noise(found), *(_by_norm if by == "norm" else _by_degree)(response, moves)))
    # (L, n, k), (L, n, R, k, k), (L, n, R, k), with one k for whole blocks.
    noise, kernel, move = (np.stack(parts).swapaxes(0, 1) for parts in zip(*rows, strict=True))
    if by == "norm":
        noise = np.linalg.norm(noise, axis=2, keepdims=True)
    weights = hats(rule, grid)
    function, displacement = [], []
    for block_noise, block_kernel, block_move in zip(noise, kernel, move, strict=True):
        volterra = np.einsum("irkj,irn->iknj", block_kernel, weights, optimize=True)
        system = np.eye(block_noise.size) - volterra.reshape(2 * (block_noise.size,))
        try:
            sizes = np.linalg.solve(system, block_noise.ravel()).reshape(block_noise.shape)
        except np.linalg.LinAlgError:
            sizes = np.full_like(block_noise, -np.inf)
        # A true solution is at least the noise.
        if np.any(sizes < block_noise):
            raise SolverError(
                f"the bound grows faster than its grid of {grid.size} times can follow (d = "
                f"{float(path.dim):g}): ask for shorter `times` or more `points`."
            )
        function.append(np.linalg.norm(sizes, axis=1))
        displacement.append(np.einsum("irk,irn,nk->i", block_move, weights, sizes, optimize=True))
    at = np.searchsorted(grid, saved)
    total = [np.linalg.norm(y, axis=0)[at] for y in (displacement, function)]
    return Bound(times, *(jnp.asarray(y, times.dtype) for y in total))


def _noise(found) -> np.ndarray:
    """(m E|ū^{kℓ}|²)^{1/2}, (L, k)."""
    value, law = np.asarray(found.now.value), np.asarray(found.law)
    noise = np.einsum("lkn,n->lk", value**2, law)
    noise[0] -= (value[0] @ law) ** 2
    return np.sqrt(np.maximum(noise, 0.0))


def _by_norm(response: np.ndarray, moves: np.ndarray):
    """‖Γ^ℓ‖ (L, R, 1, 1) and ‖J DΦ_ℓ*‖ (L, R, 1)."""
    kernel = np.linalg.norm(response, ord=2, axis=(2, 3))[:, :, None, None]
    move = np.sqrt(np.linalg.eigvalsh(moves)[..., -1:])
    return kernel.swapaxes(0, 1), move.swapaxes(0, 1)


def _by_degree(response: np.ndarray, moves: np.ndarray):
    """|Γ^ℓ|_kj (L, R, k, k) and ‖J DΦ_kℓ*‖ (L, R, k)."""
    move = np.sqrt(np.einsum("rlkk->lrk", moves))
    return np.abs(response).swapaxes(0, 1), move
