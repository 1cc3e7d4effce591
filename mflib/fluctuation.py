r"""The exact 1/m law of the gap (chapter 8).

To leading order in 1/m the gap is linear in the sampling noise, u = ū − ∫_0^t Γ_{t,s} u_s ds with
Γ_{t,s} = E DΦ(ξ_t) J_{t,s} DΦ(ξ_s)*, and a sum of independent contributions of the m particles, so that

    lim m E‖u_t‖² = Σ_ℓ Σ_k E_src[u_k²],
    lim m E‖Δ_t‖² = Σ_ℓ (1/N_ℓ) E_src E[δ∥² + ℓ(ℓ+d−3) δ⊥²],

with u and δ the response of the limit to one source particle, split by rotations about w* into blocks
ℓ = 0, …, K (`mflib.blocks`), N_ℓ = N(d−1, ℓ):

    δ̇∥ = λ∥ δ∥ − Σ_k φ'_kℓ(θ) u_k,        δ̇⊥ = λ⊥ δ⊥ − Σ_k φ_kℓ(θ)/sin θ · u_k,
    u_k = φ_kℓ(θ_src) − [ℓ=0] E φ_k0 + (1/N_ℓ) E[ φ'_kℓ(θ) δ∥ + ℓ(ℓ+d−3) φ_kℓ(θ)/sin θ · δ⊥ ].

Two implementations: `mflib.fluctuation_positions` (even problems, any d) and
`mflib.fluctuation_particles` (every parity, moderate d).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._check import Values, check_times, require
from .fluctuation_particles import by_particles, response_nodes
from .fluctuation_positions import by_positions
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


# Time steps of the first and of the last attempt; node counts likewise.
_STEPS = (0.4, 0.025)
_NODES = (96, 768)


def fluctuation_law(
    problem: SingleIndex,
    times: Values,
    *,
    tol: float = 1e-3,
    method: str | None = None,
    path: MomentPath | None = None,
    progress: bool = False,
) -> FluctuationLaw:
    r"""The exact 1/m law at `times` (½-loss clock), by `method`

    - `"positions"`: responses on a grid of positions. Even problems only; cost proportional to time,
      for any d. The step is halved until the error is below `tol`, and the last two steps are
      extrapolated.
    - `"particles"`: responses of a quadrature of the initial law to each other. Every parity; cost
      proportional to the square of the number of nodes, which is doubled until the error is below
      `tol`.
    - `None`: the first where it applies.

    If `tol` is not reached at the finest step or the largest number of nodes, `.error` says so.

    **Raises** `ValueError` for bad arguments and `SolverError` if a solve does not complete.
    """
    times = check_times(times)
    method = method or ("positions" if problem.even else "particles")
    require(method in ("positions", "particles"), "method", '"positions" or "particles"', method)
    require(
        method == "particles" or problem.even,
        "method",
        '"particles" for a problem that is not even',
        method,
    )
    require(0 < tol < 1, "tol", "in (0, 1)", tol)
    path = limit_path(problem, times, path)
    levels = (
        _by_steps(path, times)
        if method == "positions"
        else _by_nodes(problem, path, times, progress)
    )
    laws = next(levels)
    for finer in levels:
        # Second order in the step: a third of the difference is left, and is taken off.
        share = 1 / 3 if method == "positions" else 1.0
        error = max(_relative(a, b) for a, b in zip(laws, finer, strict=True)) * share
        last, laws = laws, finer
        if error <= tol:
            break
    if method == "positions":
        laws = [b + (b - a) / 3 for a, b in zip(last, laws, strict=True)]
    return FluctuationLaw(times, *laws, error=error)


def _by_steps(path, times):
    step = _STEPS[0]
    while step >= _STEPS[1]:
        yield by_positions(path, times, step)
        step /= 2


def _by_nodes(problem, path, times, progress):
    count = _NODES[0]
    while count <= _NODES[1]:
        nodes = response_nodes(path, count, problem.even or path.hemisphere)
        yield by_particles(path, *nodes, times, progress=progress)
        count *= 2


def _relative(first: Any, second: Any) -> float:
    """Largest difference of two laws over the times, relative to their largest value."""
    a, b = jnp.sum(first, axis=1), jnp.sum(second, axis=1)
    return float(jnp.max(jnp.abs(a - b)) / jnp.maximum(jnp.max(jnp.abs(b)), 1e-300))
