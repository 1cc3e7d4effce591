"""The law of the initial overlap in the position y = log tan φ, tabulated (chapter 3)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Smallest initial z = √d·α_0 on a grid of positions. Below it labels are continued by their asymptote.
NEAREST = 1e-6
# Intervals of the table of G_0: quintic Hermite interpolation leaves 1e-10 at this spacing.
_TABLE = 768


class InitialLaw(eqx.Module):
    """G_0 at tan φ = e^y: P(|α_0| ≤ sin φ) for a uniform particle, tabulated once per solve."""

    start: Float[Array, ""]
    spacing: Float[Array, ""]
    quintics: Float[Array, "H 6"]

    @classmethod
    def tabulate(
        cls, start: Float[Array, ""], stop: Float[Array, ""], dim: Float[Array, ""]
    ) -> "InitialLaw":
        """The table between y = `start` and y = `stop`, where nothing must be left."""
        spacing = (stop - start) / _TABLE
        y = start + spacing * np.arange(_TABLE + 1.0)
        g, gw = np.polynomial.legendre.leggauss(8)
        cell = _density(y[:-1, None] + spacing * (g + 1) / 2, dim) @ (gw / 2) * spacing
        # Below `start` the density is ∝ e^y, so its integral there equals itself.
        total = _density(start, dim) + jnp.concatenate([jnp.zeros(1, cell.dtype), jnp.cumsum(cell)])
        first = _density(y, dim)
        sin2 = jax.nn.sigmoid(2 * y)
        second = first * ((1 - sin2) - (dim - 1) * sin2)
        f, d, c = (
            total / total[-1],
            first * spacing / total[-1],
            second * spacing**2 / total[-1] / 2,
        )
        # The quintic in s ∈ [0, 1] that matches value, slope and curvature at both ends of a cell.
        rise = f[1:] - f[:-1] - d[:-1] - c[:-1]
        turn = d[1:] - d[:-1] - 2 * c[:-1]
        bend = c[1:] - c[:-1]
        quintics = [
            f[:-1],
            d[:-1],
            c[:-1],
            10 * rise - 4 * turn + bend,
            -15 * rise + 7 * turn - 2 * bend,
            6 * rise - 3 * turn + bend,
        ]
        return cls(start, spacing, jnp.stack(quintics, axis=1))

    def __call__(self, y: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """G_0(y); below `start` by its asymptote, ∝ e^y."""
        at = (y - self.start) / self.spacing
        cell = jnp.clip(jnp.floor(at), 0, _TABLE - 1)
        s = jnp.clip(at - cell, 0.0, 1.0)
        q = self.quintics[cell.astype(int)]
        inside = q[..., 5]
        for power in range(4, -1, -1):
            inside = inside * s + q[..., power]
        return inside * jnp.exp(jnp.minimum(y - self.start, 0.0))


def _density(y, dim):
    """Unnormalised density of y = log tan φ: α (1−α²)^{(d−1)/2}, scaled by √d."""
    return jnp.sqrt(dim) * jnp.exp(y - 0.5 * dim * jnp.logaddexp(0.0, 2 * y))
