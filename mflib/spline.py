r"""Several smooth functions of time, known at knots: a quintic spline through them (chapter 5)."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import PPoly, make_interp_spline


class Spline(eqx.Module):
    """n functions of time, constant beyond both ends. `error`: their estimated largest error."""

    knots: Float[Array, " p_plus_1"]
    pieces: Float[Array, "6 p n"]
    error: Float[Array, ""]

    def __init__(self, knots: np.ndarray, values: Float[Array, "p_plus_1 n"]):
        dtype, values = values.dtype, np.asarray(values, float)
        spline = make_interp_spline(knots, values, k=5)
        coarse = make_interp_spline(knots[::2], values[::2], k=5)
        # Twice the knots divide the error by 2^6; 2^4 leaves room for what is not yet asymptotic.
        missed = np.abs(coarse(knots[1::2]) - values[1::2]).max() / 2**4
        # Expanded one column at a time: scipy converts scalar splines only.
        columns = [PPoly.from_spline((spline.t, column, 5)) for column in spline.c.T]
        inner = slice(5, -5)  # a spline of degree 5 repeats its end knots five times
        self.knots = jnp.asarray(columns[0].x[inner], dtype)
        self.pieces = jnp.asarray(np.stack([c.c[:, inner] for c in columns], axis=-1), dtype)
        # An array: a Python number would be part of the type, and a new one would recompile.
        self.error = jnp.asarray(missed, dtype)

    def __call__(self, t: Float[Array, ""]) -> Float[Array, " n"]:
        """The n values at time t."""
        t = jnp.clip(t, self.knots[0], self.knots[-1])
        piece = jnp.clip(jnp.searchsorted(self.knots, t) - 1, 0, self.pieces.shape[1] - 1)
        s = t - self.knots[piece]
        total = self.pieces[0, piece]
        for order in range(1, 6):
            total = total * s + self.pieces[order, piece]
        return total
