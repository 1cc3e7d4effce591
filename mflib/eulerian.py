r"""Infinite width in Eulerian form: where did the particle that is at α at time t come from? (chapter 3)

For an even problem, fold overlaps to α = w·w* ∈ (0, 1) and use $x = \log\tan φ$ (φ the latitude,
α = sin φ) for position. Particles move by

    ẋ = U_t(x) = V_t'(α)/α,        α̇ = (1−α²) V_t'(α),

so the *label* Y(x, t), the initial position of the particle now at x, is transported backwards:

    ∂_t Y + U_t ∂_x Y = 0,    Y(x, 0) = x,       E P_k(α_t) = 1 − ∫_0^1 P_k'(α) G_0(Y) dα,

G_0 being the distribution function of the initial overlap. The forward map x_0 ↦ x_t has a front of
relative width $α_0^{k^*-2}$ that sweeps over all labels, and needs as many nodes as the training time
is long. Its inverse Y has no front: for pure h_k, $e^{−(k−2)Y} = e^{−(k−2)x} + ct$ near the
equator, smooth on the scale 1 whatever d and t. So a few hundred nodes are enough for every d, and the
solution varies only as slowly as the loss does: an implicit method takes a few hundred steps even
where training takes 10^12 units of time.

Space: nodal discontinuous Galerkin elements with upwind coupling (Hesthaven and Warburton 2008).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import legendre as npleg

from .initial_law import NEAREST, InitialLaw
from .integrate import integrate
from .labels import Labels, lobatto, overlap_at
from .sphere import legendre_derivative

# Position x = 9 is 1 − α² = 1.5e-8: nearer to the pole the moments no longer see a difference.
_POLE = 9.0
# Panels: from NEAREST to z = 1/30, on to α of order 1, and on to the pole.
_PANELS = (3, 9, 4)


class _Transport(eqx.Module):
    """Right-hand side of the label equation; every array a field, so a new d never recompiles."""

    attraction: Float[Array, " k"]
    repulsion: Float[Array, " k"]
    speeds: Float[Array, "k M n"]
    derivative: Float[Array, "n n"]
    widths: Float[Array, "M 1"]
    edge_weight: float = eqx.field(static=True)
    ends: Float[Array, "2 n"]
    to_quadrature: Float[Array, "q n"]
    moment_weights: Float[Array, "k M q"]
    pole_weights: Float[Array, " k"]
    distribution: InitialLaw

    def moments(self, labels: Float[Array, "M n"]) -> Float[Array, " k"]:
        below = self.distribution(labels @ self.to_quadrature.T)
        inside = jnp.einsum("kmq,mq->k", self.moment_weights, below)
        return 1 - inside - self.pole_weights * self.distribution(labels[-1, -1])

    def __call__(self, t, labels):
        p = self.moments(labels)
        speed = jnp.einsum("k,kmn->mn", self.attraction - self.repulsion * p, self.speeds)
        slope = labels @ self.derivative.T * (2 / self.widths)
        rate = -speed * slope
        # Upwind: a panel's inflow end is pulled to its neighbour's value there. At both ends of the
        # grid the flow is linear in tan φ or cot φ, so that Y = x + c(t) and ∂_x Y = 1 exactly.
        jump = (labels[1:, 0] - labels[:-1, -1]) * (2 / self.edge_weight)
        rightward, leftward = jnp.maximum(speed[:, 0], 0), jnp.minimum(speed[:, -1], 0)
        inflow_left = jnp.concatenate([1 - slope[:1, 0], jump / self.widths[1:, 0]])
        inflow_right = jnp.concatenate([jump / self.widths[:-1, 0], 1 - slope[-1:, -1]])
        first, last = self.ends
        return (
            rate
            - (rightward * inflow_left)[:, None] * first
            - (leftward * inflow_right)[:, None] * last
        )


@eqx.filter_jit
def _discretise(attraction, repulsion, dim, order: int) -> tuple[_Transport, Float[Array, "M n"]]:
    dtype = repulsion.dtype
    nodes, edge_weight, derivative, vandermonde = lobatto(order)
    left, middle, right = _PANELS
    scale = -0.5 * jnp.log(dim)
    ends = [np.log(NEAREST) + scale, jnp.minimum(np.log(1 / 30) + scale, -2.0), 1.0, _POLE]
    edges = jnp.concatenate(
        [
            jnp.linspace(a, b, n, endpoint=False, dtype=dtype)
            for a, b, n in zip(ends[:-1], ends[1:], (left, middle, right), strict=True)
        ]
        + [jnp.full(1, _POLE, dtype)]
    )
    widths = jnp.diff(edges)[:, None]
    grid = edges[:-1, None] + widths * (nodes + 1) / 2
    # G_0(Y(x)) is less smooth than Y(x): quadrature at twice as many points as nodes.
    g, gw = np.polynomial.legendre.leggauss(2 * order)
    to_quadrature = npleg.legvander(g, order - 1) @ np.linalg.inv(vandermonde)
    xq = edges[:-1, None] + widths * (g + 1) / 2
    K = repulsion.size - 1
    alpha, alpha_q = overlap_at(grid), overlap_at(xq)
    # dα = α (1−α²) dx
    measure = alpha_q * jax.nn.sigmoid(-2 * xq) * widths * (gw / 2)
    pole = overlap_at(jnp.asarray(_POLE, dtype))
    transport = _Transport(
        attraction=attraction,
        repulsion=repulsion,
        speeds=legendre_derivative(alpha, K, dim) / alpha,
        derivative=jnp.asarray(derivative, dtype),
        widths=widths,
        edge_weight=edge_weight,
        ends=jnp.eye(order, dtype=dtype)[jnp.array([0, -1])],
        to_quadrature=jnp.asarray(to_quadrature, dtype),
        moment_weights=legendre_derivative(alpha_q, K, dim) * measure,
        pole_weights=legendre_derivative(pole, K, dim) * (1 - pole),
        distribution=InitialLaw.tabulate(edges[0], jnp.asarray(_POLE, dtype), dim),
    )
    return transport, grid


def solve_labels(
    attraction: Float[Array, " k"],
    repulsion: Float[Array, " k"],
    dim: Float[Array, ""],
    times: Float[Array, " T"],
    *,
    order: int,
    atol: float,
    max_steps: int,
    progress: bool,
) -> Labels:
    r"""Solve the label equation with V_t = Σ_k (attraction_k − repulsion_k E P_k(α_t)) P_k.

    `order`: nodes per panel; `atol`: local error of a label (its relative error in α_0, since labels
    are logarithms). **Raises** `SolverError` like `mflib.integrate.integrate`.
    """
    transport, grid = _discretise(attraction, repulsion, dim, order)
    path = integrate(
        transport,
        grid,
        times,
        rtol=0.0,
        atol=atol,
        context={"m": "∞", "d": dim, "label nodes": grid.size, "atol": atol},
        method="implicit",
        max_steps=max_steps,
        progress=progress,
    )
    return Labels(grid, path.states, _all_moments(transport, path.states), path.steps)


@eqx.filter_jit
def _all_moments(transport: _Transport, labels: Float[Array, "T M n"]) -> Float[Array, "T k"]:
    return jax.lax.map(transport.moments, labels)
