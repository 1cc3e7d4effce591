r"""The exact 1/m law of the gap (chapter 8).

To leading order in 1/m the gap is linear in the sampling noise, u = ū − ∫_0^t Γ_{t,s} u_s ds with
Γ_{t,s} = E DΦ(ξ_t) J_{t,s} DΦ(ξ_s)*, and a sum of independent contributions of the m particles, so that

    lim m E‖u_t‖² = Σ_ℓ Σ_k E_src[u_k²],
    lim m E‖Δ_t‖² = Σ_ℓ (1/N_ℓ) E_src E[δ∥² + ℓ(ℓ+d−3) δ⊥²],

with u and δ the response of the limit to one source particle, split by rotations about w* into blocks
ℓ = 0, …, K (`mflib.blocks`), N_ℓ = N(d−1, ℓ):

    δ̇∥ = λ∥ δ∥ − Σ_k φ'_kℓ(θ) u_k,        δ̇⊥ = λ⊥ δ⊥ − Σ_k φ_kℓ(θ)/sin θ · u_k,
    u_k = φ_kℓ(θ_src) − [ℓ=0] E φ_k0 + (1/N_ℓ) E[ φ'_kℓ(θ) δ∥ + ℓ(ℓ+d−3) φ_kℓ(θ)/sin θ · δ⊥ ].

Two implementations: `mflib.fluctuation_volterra` (any d, seconds) and `mflib.fluctuation_particles`
(moderate d; shares nothing with the first but the features).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, check_times, require
from .fluctuation_particles import by_particles, response_nodes
from .fluctuation_volterra import by_volterra
from .moment_path import MomentPath, limit_path
from .problem import SingleIndex


class FluctuationLaw(eqx.Module):
    r"""Leading order of the gap for m independent uniform starts (½-loss clock).

    **Attributes**

    - `times` (T,); `function` (T,), $\lim m\,E‖u_t‖^2$; `displacement` (T,),
      $\lim m\,E‖Δ_t‖^2$ for one particle, that is of $\sum_i ‖Δ_i‖^2$.
    - `function_blocks`, `displacement_blocks` (T, K+1): the parts of azimuthal degree ℓ = 0, …, K.
    - `error`: estimated largest error of either, relative to its largest value over `times`.
    """

    times: Float[Array, " T"]
    function_blocks: Float[Array, "T l"]
    displacement_blocks: Float[Array, "T l"]
    error: float

    @property
    def function(self) -> Float[Array, " T"]:
        """lim m E‖u_t‖²."""
        return jnp.sum(self.function_blocks, axis=1)

    @property
    def displacement(self) -> Float[Array, " T"]:
        """lim m E‖Δ_t‖²."""
        return jnp.sum(self.displacement_blocks, axis=1)


# Steps of the grid of times, or nodes of the law, of the first and of the last attempt.
_POINTS = (48, 384)
_NODES = (96, 768)


def fluctuation_law(
    problem: SingleIndex,
    times: Values,
    *,
    tol: float = 3e-3,
    method: str = "volterra",
    path: MomentPath | None = None,
    progress: bool = False,
) -> FluctuationLaw:
    r"""The exact 1/m law at `times` (½-loss clock), by `method`

    - `"volterra"`: the equation for u on a grid of times, its kernel from particles traced back. Any
      d and parity. The steps are halved until the error is below `tol`, and the last two solves are
      extrapolated. Not for a potential that draws particles to −w*, which
      `"particles"` handles.
    - `"particles"`: responses of a quadrature of the initial law to each other; cost proportional to
      the square of the number of nodes, which is doubled until the error is below `tol`.

    `path`: the limit as solved before; one that started on the hemisphere gives the law for starts
    there. If `tol` is not reached, `.error` says so.

    **Raises** `ValueError` for bad arguments and `SolverError` if a solve does not complete.
    """
    times = check_times(times)
    require(method in ("volterra", "particles"), "method", '"volterra" or "particles"', method)
    require(0 < tol < 1, "tol", "in (0, 1)", tol)
    path = limit_path(problem, times, path)
    solve = _by_volterra if method == "volterra" else _by_particles
    laws, error = solve(problem, path, times, tol, progress)
    return FluctuationLaw(times, *(jnp.asarray(law, times.dtype) for law in laws), error=error)


def _by_volterra(problem, path, times, tol, progress):
    saved, points = np.asarray(times, float), _POINTS[0]
    while True:
        coarse, fine, missed = by_volterra(problem, path, saved, points, progress=progress)
        # Second order: a third of the difference is left, and is taken off. What then is left is
        # smaller than the difference by as much as the steps allow, which is not relied upon.
        error = max(_relative(a, b) for a, b in zip(coarse, fine, strict=True)) + missed
        if error <= tol or points >= _POINTS[1]:
            return [b + (b - a) / 3 for a, b in zip(coarse, fine, strict=True)], error
        points *= 2


def _by_particles(problem, path, times, tol, progress):
    laws, error, count = None, np.inf, _NODES[0]
    folded = problem.even or path.hemisphere
    while error > tol and count <= _NODES[1]:
        before, nodes = laws, response_nodes(path, count, folded)
        laws = by_particles(path, *nodes, times, progress=progress)
        if before is not None:
            error = max(_relative(a, b) for a, b in zip(before, laws, strict=True))
        count *= 2
    return laws, error


def _relative(first: Any, second: Any) -> float:
    """Largest difference of two laws over the times, relative to their largest value."""
    a, b = np.sum(first, axis=1), np.sum(second, axis=1)
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-300))
