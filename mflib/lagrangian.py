r"""Infinite width in Lagrangian form: follow quadrature nodes of the initial law (chapter 3).

Node i keeps its weight ω_i and moves with everybody else's velocity, in latitude φ (α = sin φ):

    φ̇_i = cos φ_i · V_t'(sin φ_i),    E P_k(α_t) ≈ Σ_i ω_i P_k(α_i),

K+1 sums a step. Works for every parity. Particles escape one node at a time: once the front of the flow
map, of relative width $α_0^{k^*-2}$, is narrower than the spacing of the nodes, the moments become a
staircase with steps of one weight. `staircase` measures that, so that it is never mistaken for
convergence.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._check import Scalar
from .integrate import integrate
from .sphere import legendre, legendre_derivative


class Nodes(eqx.Module):
    """`overlaps` (T, N) of the nodes, `tracers` (T, n) of massless particles, `moments`, `steps`."""

    overlaps: Float[Array, "T N"]
    tracers: Float[Array, "T n"]
    moments: Float[Array, "T k"]
    steps: Int[Array, ""]


class _Flow(eqx.Module):
    attraction: Float[Array, " k"]
    repulsion: Float[Array, " k"]
    weights: Float[Array, " N"]
    dim: Float[Array, ""]

    def __call__(self, t, latitudes):
        alpha = jnp.sin(latitudes)
        degree = self.repulsion.size - 1
        p = legendre(alpha[: self.weights.size], degree, self.dim) @ self.weights
        slopes = legendre_derivative(alpha, degree, self.dim)
        return jnp.cos(latitudes) * ((self.attraction - self.repulsion * p) @ slopes)


def solve_nodes(
    attraction: Float[Array, " k"],
    repulsion: Float[Array, " k"],
    dim: Float[Array, ""],
    times: Float[Array, " T"],
    overlaps: Float[Array, " N"],
    weights: Float[Array, " N"],
    tracers: Float[Array, " n"],
    *,
    rtol: float,
    max_steps: int,
    progress: bool,
) -> Nodes:
    r"""Move nodes (and weightless tracers) by V_t = Σ_k (attraction_k − repulsion_k E P_k) P_k.

    **Raises** `SolverError` like `mflib.integrate.integrate`.
    """
    flow = _Flow(attraction, repulsion, weights, dim)
    path = integrate(
        flow,
        jnp.arcsin(jnp.concatenate([overlaps, tracers])),
        times,
        rtol=rtol,
        # A hundredth of the initial spread: below it a particle's position is its label.
        atol=0.01 * rtol / jnp.sqrt(dim),
        context={"m": "∞", "d": dim, "nodes": overlaps.size, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    )
    alpha = jnp.sin(path.states)
    nodes = alpha[:, : overlaps.size]
    moments = law_moments(nodes, weights, repulsion.size - 1, dim)
    return Nodes(nodes, alpha[:, overlaps.size :], moments, path.steps)


@eqx.filter_jit
def law_moments(
    overlaps: Float[Array, "T N"], weights: Float[Array, " N"], degree: int, dim: Scalar
) -> Float[Array, "T k"]:
    """E P_k(α_t), k = 0, …, K, by the weights of the nodes; time by time, to hold K·N numbers only."""
    return jax.lax.map(lambda alpha: legendre(alpha, degree, dim) @ weights, overlaps)


def staircase(overlaps: Float[Array, "T N"], weights: Float[Array, " N"]) -> Float[Array, ""]:
    """Largest weight of a node next to an unresolved front (a jump > ½ in overlap), else 0."""
    torn = jnp.abs(jnp.diff(overlaps, axis=1)) > 0.5
    heavier = jnp.maximum(weights[1:], weights[:-1])
    return jnp.max(jnp.where(torn, heavier, 0.0))
