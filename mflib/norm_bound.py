r"""The norm bound of the gap: each azimuthal block of the response by its operator norm (chapter 9).

To first order in 1/m, with ū the sampling noise and azimuthal blocks ℓ as in `mflib.blocks`,

    u_t = ū_t − ∫_0^t Γ_{t,s} u_s ds,        Δ_t(w) = −∫_0^t J_{t,s}(w) DΦ(ξ_s(w))* u_s ds,
    Γ^ℓ_{t,s} = (1/N_ℓ) E[ φ'_kℓ(θ_t) J∥ φ'_jℓ(θ_s) + ℓ(ℓ+d−3) φ_kℓ(θ_t)/sin θ_t J⊥ φ_jℓ(θ_s)/sin θ_s ]_{kj}.

Taking norms loses the sign of Γ, which damps, but nothing of the size of J:

    y_ℓ(t) = (m E‖ū^ℓ_t‖²)^{1/2} + ∫_0^t ‖Γ^ℓ_{t,s}‖ y_ℓ(s) ds,      m E‖u_t‖² ≤ Σ_ℓ y_ℓ(t)²,
    (m E‖Δ_t‖²)^{1/2} ≤ ( Σ_ℓ ( ∫_0^t ‖J_{t,s} DΦ_ℓ(ξ_s)*‖ y_ℓ(s) ds )² )^{1/2}.

The expectations run over where particles are at time t, each traced back to all earlier s: fronts of the
flow map are no obstacle.
"""

import jax.numpy as jnp
import numpy as np

from ._check import Values, check_times, require
from .bounds import Bound
from .moment_path import MomentPath, limit_path
from .problem import SingleIndex
from .responses import positions
from .volterra import hats, lag_rule, time_grid


def norm_bound(
    problem: SingleIndex,
    times: Values,
    *,
    points: int = 64,
    path: MomentPath | None = None,
) -> Bound:
    r"""Norm bound of $\sqrt m (E‖u_t‖^2)^{1/2}$ and $\sqrt m (E‖Δ_t‖^2)^{1/2}$ at `times` (½-loss clock).

    `points`: steps of the grid on which the Volterra equation is solved, y linear in between. Any
    parity. All of it follows from the infinite-width limit: J, the features along it, and the law of
    its particles.

    **Raises** `ValueError` for bad arguments and `SolverError` if a solve does not complete.
    """
    times = check_times(times)
    require(
        isinstance(points, int | np.integer) and points >= 2, "points", "an integer ≥ 2", points
    )
    path = limit_path(problem, times, path)
    saved = np.asarray(times, float)
    grid, rule = time_grid(saved, points), lag_rule()
    particles = positions(problem, path)
    noises, kernels, moves = [], [], []
    for now in grid:
        # The start, where the law is known, is one more lag.
        lags = np.append(now * rule.lags, now) if now > 0 else np.arange(rule.lags.size + 1.0)
        found = particles.histories(now, lags)
        value, law = np.asarray(found.now.value), np.asarray(found.law)
        noise = np.einsum("lkn,n->l", value**2, law)
        noise[0] -= np.sum((value[0] @ law) ** 2)
        noises.append(np.sqrt(np.maximum(noise, 0.0)))
        kernels.append(np.linalg.norm(np.asarray(found.response())[:-1], ord=2, axis=(2, 3)).T)
        moves.append(np.sqrt(np.linalg.eigvalsh(np.asarray(found.moves())[:-1])[..., -1]).T)
    noise, kernel, move = (np.stack(rows, axis=1) for rows in (noises, kernels, moves))
    weights, still = hats(rule, grid), np.eye(grid.size)
    function, displacement = [], []
    for block in range(noise.shape[0]):
        volterra = np.einsum("ir,irj->ij", kernel[block], weights)
        function.append(np.linalg.solve(still - volterra, noise[block]))
        displacement.append(np.einsum("ir,irj->ij", move[block], weights) @ function[block])
    at = np.searchsorted(grid, saved)
    total = [np.linalg.norm(y, axis=0)[at] for y in (displacement, function)]
    return Bound(times, *(jnp.asarray(y, times.dtype) for y in total))
