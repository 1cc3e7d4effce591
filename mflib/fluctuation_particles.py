r"""The exact 1/m law by following particles, for every parity and moderate d (chapter 8).

Every pair (particle, source) is followed along its trajectories: with N nodes for the initial law, each of
them both a particle and a source, the responses δ of `mflib.fluctuation` are N×N numbers for each block.
Where the flow map has a front (late times, large d) many nodes are needed; `response_nodes` puts them
where trajectories part.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .blocks import Features, azimuthal_counts, features
from .gap import limit_speed
from .hessian import curvature
from .integrate import integrate
from .moment_path import MomentPath
from .stability_matrix import trace_back


class _Responses(eqx.Module):
    """State: latitudes (N,), δ∥ and δ⊥ (L, S, N) of particle n to source s; sources are the particles."""

    path: MomentPath
    weights: Float[Array, " N"]

    def features(self, latitudes: Float[Array, " N"]) -> Features:
        return features(self.path.repulsion, self.path.dim, jnp.sin(latitudes), jnp.cos(latitudes))

    def amplitudes(self, t, here: Features, along, across) -> Float[Array, "l s k"]:
        """u_k of each source."""
        counts, eigenvalues = azimuthal_counts(self.path.repulsion.size - 1, self.path.dim)
        own = jnp.einsum("lkn,lsn->lsk", here.slope * self.weights, along)
        other = jnp.einsum("lkn,lsn->lsk", here.ratio * self.weights, across)
        mean = jnp.sqrt(self.path.repulsion) * self.path.moments(t)
        source = jnp.swapaxes(here.value, 1, 2).at[0].add(-mean)
        return source + (own + eigenvalues[:, None, None] * other) / counts[:, None, None]

    def __call__(self, t, state):
        latitudes, along, across = state
        potential, here = self.path.potential(t), self.features(latitudes)
        _, parallel, perpendicular = curvature(jnp.sin(latitudes), potential, self.path.dim)
        u = self.amplitudes(t, here, along, across)
        return (
            limit_speed(self.path, t, latitudes),
            parallel * along - jnp.einsum("lkn,lsk->lsn", here.slope, u),
            perpendicular * across - jnp.einsum("lkn,lsk->lsn", here.ratio, u),
        )


def response_nodes(
    path: MomentPath, count: int, folded: bool
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """About `count` nodes α_i and weights (summing to 1) of the initial law, dense where it matters.

    Two-point Gauss rules between the starting points of particles that are at equally spaced latitudes
    at eight times, and quantiles of the law: both the fronts and the bulk are resolved. `folded`: in
    [0, 1) only, for laws that even problems or a start on the hemisphere reduce to it.
    """
    until, dim = path.until, float(path.dim)
    each = max(4, count // 24)
    cuts = [np.linspace(-1, 1, 8 * each + 2)[1:-1] * min(1.0, 6 / np.sqrt(dim))]
    for fraction in np.linspace(0.125, 1, 8):
        cuts.append(np.asarray(trace_back(path, fraction * until, 1e-4, points=2 * each)[0]))
    # The density is below e^{−40} of its maximum beyond this.
    last = np.sqrt(-np.expm1(-80 / (dim - 1)))
    inner = np.abs(np.concatenate(cuts)) if folded else np.concatenate(cuts)
    edges = np.unique(
        np.concatenate([[0.0 if folded else -last], np.clip(inner, -last, last), [last]])
    )
    half = np.diff(edges)[:, None] / 2
    alpha = (edges[:-1, None] + half * (1 + np.array([-1, 1]) / np.sqrt(3))).ravel()
    weights = (half * np.ones(2)).ravel() * np.exp(0.5 * (dim - 3) * np.log1p(-(alpha**2)))
    dtype = path.repulsion.dtype
    return jnp.asarray(alpha, dtype), jnp.asarray(weights / weights.sum(), dtype)


def by_particles(
    path: MomentPath,
    overlaps: Float[Array, " N"],
    weights: Float[Array, " N"],
    times: Float[Array, " T"],
    *,
    rtol: float = 1e-4,
    max_steps: int = 100_000,
    progress: bool = False,
) -> tuple[Float[Array, "T l"], Float[Array, "T l"]]:
    r"""Both laws, block by block, with the given quadrature of the initial law.

    **Raises** `SolverError` like `mflib.integrate.integrate`.
    """
    N = overlaps.size
    field = _Responses(path, weights)
    still = jnp.zeros((path.repulsion.size, N, N), overlaps.dtype)
    states = integrate(
        field,
        (jnp.arcsin(overlaps), still, still),
        times,
        rtol=rtol,
        atol=rtol / 10,
        context={"nodes": N, "d": path.dim, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    ).states
    return _summaries(field, times, states)


@eqx.filter_jit
def _summaries(field: _Responses, times, states):
    counts, eigenvalues = azimuthal_counts(field.path.repulsion.size - 1, field.path.dim)

    def at_one_time(row):
        t, (latitudes, along, across) = row
        u = field.amplitudes(t, field.features(latitudes), along, across)
        squares = along**2 + eigenvalues[:, None, None] * across**2
        return (
            jnp.einsum("s,lsk->l", field.weights, u**2),
            jnp.einsum("s,n,lsn->l", field.weights, field.weights, squares) / counts,
        )

    return jax.lax.map(at_one_time, (times, states))
