r"""The infinite-width limit as a function of time, for every equation that is solved along it.

All that the limit does to a particle goes through the moments p_k(t), so that whatever runs beside it
(a coupled network, a linearised gap, a stability matrix) needs those K+1 functions and no nodes:

    φ̇ = cos φ · V_t'(sin φ),    V_t = Σ_k v_k(t) P_k,    v_k = τ_k − a_k p_k(t).

They are smooth, and are interpolated by a quintic spline through an accurate solve.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, require
from .mean_field import solve_mean_field
from .problem import SingleIndex, check_single_index
from .spline import Spline

# One count for every solve, so that each degree K compiles once.
_KNOTS = 257


class MomentPath(eqx.Module):
    r"""Moments $p_k(t) = E P_k(α_t)$ for 0 ≤ t ≤ `until` (½-loss clock).

    **Attributes:** `attraction` (K+1,), the $τ_k$; `repulsion` (K+1,), the $a_k$; `dim`; `until`;
    `error`: estimated largest error, of the loss by the solve or of a moment by the interpolation;
    `hemisphere`: whether the particles started on the half w·w* > 0 only.
    """

    attraction: Float[Array, " k"]
    repulsion: Float[Array, " k"]
    dim: Float[Array, ""]
    until: Float[Array, ""]
    spline: Spline
    error: Float[Array, ""]
    hemisphere: bool = eqx.field(static=True, default=False)

    def moments(self, t: Float[Array, ""]) -> Float[Array, " k"]:
        """p_k(t); constant beyond both ends."""
        return self.spline(t)

    @eqx.filter_jit
    def table(self, times: Float[Array, " T"]) -> Float[Array, "T k"]:
        """p_k at several times."""
        return jax.vmap(self.moments)(times)

    def potential(self, t: Float[Array, ""]) -> Float[Array, " k"]:
        """v_k(t) = τ_k − a_k p_k(t), the coefficients of V_t on the Legendre polynomials."""
        return self.attraction - self.repulsion * self.moments(t)


def moment_path(
    problem: SingleIndex, until: Scalar, *, tol: float = 1e-5, hemisphere: bool = False
) -> MomentPath:
    r"""Solve the infinite-width limit of `problem` to time `until` and interpolate its moments.

    The knots are $t_j = \text{until}·(j/256)^2$: closer at the start, where a low-degree component
    may act on a scale of its own. The interpolation error is measured by leaving out every other knot.
    For even problems 64 nodes stand behind the label map; where that tears they are the solution, and
    `error` may be far above `tol`: look at it. `hemisphere`: the particles start uniform on the half w·w* > 0 (problems that are not even).

    **Raises** `ValueError` unless `until` > 0, and what `solve_mean_field` raises.
    """
    check_single_index(problem)
    require(np.isfinite(until) and until > 0, "until", "a positive time", until)
    knots = float(until) * np.linspace(0, 1, _KNOTS) ** 2
    nodes = 64 if problem.even else None
    solved = solve_mean_field(problem, knots, nodes=nodes, tol=tol, hemisphere=hemisphere)
    spline = Spline(knots, solved.moments)
    dtype = solved.moments.dtype
    repulsion, attraction = problem.harmonics()
    return MomentPath(
        attraction=attraction.astype(dtype),
        repulsion=repulsion.astype(dtype),
        dim=jnp.asarray(problem.dim, dtype),
        until=jnp.asarray(until, dtype),
        spline=spline,
        error=jnp.maximum(spline.error, jnp.asarray(solved.error, dtype)),
        hemisphere=hemisphere,
    )


def limit_path(
    problem: SingleIndex, times: Float[Array, " T"], path: MomentPath | None
) -> MomentPath:
    """`path`, checked to hold the limit of `problem` up to the last of `times`; solved if None."""
    check_single_index(problem)
    until = float(times[-1])
    if path is None:
        # A limit is needed even where only the start is asked for.
        return moment_path(problem, until if until > 0 else 1e-3)
    repulsion, attraction = problem.harmonics()
    pairs = ((path.attraction, attraction), (path.repulsion, repulsion))
    same = path.dim == jnp.asarray(problem.dim, path.dim.dtype)
    same = same and all(a.shape == b.shape and jnp.allclose(a, b.astype(a.dtype)) for a, b in pairs)
    require(same, "path", "the moments of this problem", "those of another")
    require(until <= float(path.until) * (1 + 1e-6), "path", f"solved to {until:g}", path.until)
    return path
