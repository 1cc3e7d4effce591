r"""The label map and its inverse: where particles are now, and how far they have parted (chapter 3).

`mflib.eulerian` solves for the label Y(x, t), the initial position of the particle now at x, in panels of
polynomials on Gauss–Lobatto nodes. Inverted, it carries particles forward; its slope is the inverse of the
stretch of the flow map, J∥ of chapter 7.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.polynomial import legendre as npleg


class Labels(eqx.Module):
    """The label map at the times asked for, on the panels of the grid.

    `grid` (M, n): positions x; `labels` (T, M, n): Y(x, t); `moments` (T, K+1); `steps`.
    """

    grid: Float[Array, "M n"]
    labels: Float[Array, "T M n"]
    moments: Float[Array, "T k"]
    steps: Int[Array, ""]

    def every(self, stride: int) -> "Labels":
        """The same at every `stride`-th time only."""
        return Labels(self.grid, self.labels[::stride], self.moments[::stride], self.steps)

    def positions(self, overlaps0: Float[Array, " N"]) -> Float[Array, "T N"]:
        """Overlaps at the saved times of particles that start at `overlaps0`: Y inverted."""
        return self.follow(overlaps0)[0]

    @eqx.filter_jit
    def follow(
        self, overlaps0: Float[Array, " N"]
    ) -> tuple[Float[Array, "T N"], Float[Array, "T N"]]:
        """`positions`, and the stretch ∂φ_t/∂φ_0 = (cos²φ_t/cos²φ_0) e^{x_t−x_0} / ∂_x Y there."""
        size = jnp.abs(overlaps0)
        # x = log tan φ; an overlap of 0 or ±1 has x = ∓∞ and stays where it is.
        label = jnp.log(size) - 0.5 * jnp.log1p(-(size**2))
        order = self.grid.shape[1]
        nodes, _, _, vandermonde = lobatto(order)
        nodes, to_modes = jnp.asarray(nodes), jnp.asarray(np.linalg.inv(vandermonde).T)
        left, right = self.grid[:, 0], self.grid[:, -1]

        def at_one_time(labels: Float[Array, "M n"]):
            # Labels increase with x: the two nodes around the target bracket it.
            above = jnp.clip(jnp.searchsorted(labels.ravel(), label), 1, labels.size - 1)
            panel, node = above // order, jnp.maximum(above % order, 1)
            bracket = nodes[node - 1], nodes[node]
            modes = (labels @ to_modes).T[:, panel]
            at = _solve_monotone(modes, label, *bracket)
            half = (right - left)[panel] / 2
            moved = left[panel] + half * (at + 1) - label
            slope = _series(modes, at)[1] / half
            # Beyond the grid Y = x + c(t), as at its ends.
            below, beyond = label < labels[0, 0], label > labels[-1, -1]
            moved = jnp.where(below, left[0] - labels[0, 0], moved)
            moved = jnp.where(beyond, right[-1] - labels[-1, -1], moved)
            slope = jnp.where(below | beyond, 1.0, slope)
            x = label + moved
            # cos²φ_t/cos²φ_0 in logs, as both may vanish.
            shrunk = jnp.logaddexp(0.0, 2 * label) - jnp.logaddexp(0.0, 2 * x)
            shrunk = jnp.where(jnp.isposinf(label), -2 * moved, shrunk)
            return jnp.sign(overlaps0) * overlap_at(x), jnp.exp(moved + shrunk) / slope

        return jax.lax.map(at_one_time, self.labels)

    def stretch(self, points: int = 40) -> tuple[Float[Array, "T P"], ...]:
        """(α_0, α_t, ∂φ_t/∂φ_0) of the particles that are *now* at `points` positions a panel.

        Seen from where particles are, the stretch is smooth for all times; seen from where they
        start, it has a front.
        """
        order = self.grid.shape[1]
        at = np.linspace(-1, 1, points)
        to_modes = np.linalg.inv(lobatto(order)[3]).T
        modes = self.labels @ jnp.asarray(to_modes)
        values = modes @ jnp.asarray(npleg.legvander(at, order - 1).T)
        slopes = modes @ jnp.asarray(
            np.stack([npleg.legval(at, npleg.legder(row)) for row in np.eye(order)])
        )
        left, right = self.grid[:, :1], self.grid[:, -1:]
        x = left + (right - left) * (jnp.asarray(at) + 1) / 2
        slopes = slopes / ((right - left) / 2)
        shrunk = jnp.logaddexp(0.0, 2 * values) - jnp.logaddexp(0.0, 2 * x)
        stretch = jnp.exp(x - values + shrunk) / slopes
        flat = (self.labels.shape[0], -1)
        now = jnp.broadcast_to(overlap_at(x), values.shape)
        return overlap_at(values).reshape(flat), now.reshape(flat), stretch.reshape(flat)


def _solve_monotone(
    modes: Float[Array, "n N"],
    target: Float[Array, " N"],
    low: Float[Array, " N"],
    high: Float[Array, " N"],
) -> Float[Array, " N"]:
    """ξ ∈ [low, high] at which the Legendre series `modes`, increasing in ξ, is `target`.

    Newton's method, kept inside the bracket by bisection.
    """

    def tighten(state):
        low, high, at, _, count = state
        value, slope = _series(modes, at)
        below = value < target
        low, high = jnp.where(below, at, low), jnp.where(below, high, at)
        newton = at - (value - target) / slope
        new = jnp.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        return low, high, new, jnp.max(jnp.abs(new - at), initial=0.0), count + 1

    def unsettled(state):
        # 1000 spacings are what rounding in the series leaves; 60 halvings exhaust any bracket.
        return (state[3] > 1000 * jnp.finfo(target.dtype).eps) & (state[4] < 60)

    start = (low, high, 0.5 * (low + high), jnp.asarray(jnp.inf, target.dtype), 0)
    return jax.lax.while_loop(unsettled, tighten, start)[2]


def _series(modes: Float[Array, "n N"], at: Float[Array, " N"]):
    """Value and slope of Σ_k modes[k] P_k(at), P_k the Legendre polynomials of dimension 3.

    One pass of P_{k+1}' = P_{k−1}' + (2k+1) P_k beside the recurrence, which compiles to one loop over
    the particles: a table of all P_k would cost more to store than to compute.
    """
    below, here = jnp.ones_like(at), at
    slope_below, slope_here = jnp.zeros_like(at), jnp.ones_like(at)
    value, slope = modes[0] + modes[1] * at, modes[1]
    for k in range(1, modes.shape[0] - 1):
        slope_below, slope_here = slope_here, slope_below + (2 * k + 1) * here
        below, here = here, ((2 * k + 1) * at * here - k * below) / (k + 1)
        value, slope = value + modes[k + 1] * here, slope + modes[k + 1] * slope_here
    return value, slope


def overlap_at(x):
    """α = sin φ at x = log tan φ."""
    return jnp.exp(-0.5 * jnp.logaddexp(0.0, -2 * x))


def lobatto(order: int):
    """Gauss–Lobatto nodes on [−1, 1], the end weight, the derivative and the Vandermonde matrix."""
    top = np.eye(order)[-1]
    inner = np.sort(npleg.legroots(npleg.legder(top)).real)
    nodes = np.concatenate([[-1.0], inner, [1.0]])
    vandermonde = npleg.legvander(nodes, order - 1)
    slopes = np.stack(
        [
            npleg.legval(nodes, npleg.legder(row)) if k else 0 * nodes
            for k, row in enumerate(np.eye(order))
        ],
        axis=1,
    )
    return nodes, 2 / (order * (order - 1)), slopes @ np.linalg.inv(vandermonde), vandermonde
