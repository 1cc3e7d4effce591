r"""What becomes of a small displacement: stability matrices along the limit (chapter 7).

    ∂_t J_{t,s} = D_t J_{t,s},  J_{s,s} = I:     J∥ = ∂θ_t/∂θ_s,     J⊥ = sin θ_t / sin θ_s.

J∥ is the stretch of the flow map. It has a front as a function of where particles start, and is smooth
as a function of where they are: so it is read off the label map, or traced back in time.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, require
from .hessian import curvature
from .integrate import integrate
from .mean_field import MeanField
from .moment_path import MomentPath, moment_path


class Stability(eqx.Module):
    r"""Stability matrix $J_{t,0}$ of particles of the limit: $∂_t J = D_t J$, $J_{0,0} = I$.

    **Attributes:** `times` (T,); `overlaps` (T, N); `parallel` (T, N), $J_∥ = ∂θ_t/∂θ_0$;
    `perpendicular` (T, N), $J_⊥ = \sin θ_t/\sin θ_0$; and, over *all* particles, not only the N
    followed (if the problem is not even: all but some $10^{-9}$ nearest to the poles at time 0),
    `largest` (T,), the supremum of $J_∥$, with `largest_from`, `largest_at` (T,), the overlaps at
    time 0 and t of the particle that attains it. A particle with 1 − α_t² < 1.5e-8 is too near to a
    pole for the label map: its entries, which are below $10^{-4} |α_0|^{1−k^*}$ there, come out too
    small.
    """

    times: Float[Array, " T"]
    overlaps: Float[Array, "T N"]
    parallel: Float[Array, "T N"]
    perpendicular: Float[Array, "T N"]
    largest: Float[Array, " T"]
    largest_from: Float[Array, " T"]
    largest_at: Float[Array, " T"]


def stability(mean_field: MeanField, overlaps0: Values | None = None) -> Stability:
    r"""Stability matrices $J_{t,0}$ along the infinite-width trajectories (chapter 7).

    `overlaps0` (n,): initial overlaps of the particles to follow; `None`: the nodes of `mean_field`.

    With a label map Y, $J_∥$ is its inverse slope, at no further solve and for all particles at once.
    Without one, $∂_t \log J_∥ = λ_∥$ is integrated beside the particles, and, for `largest`, backwards in
    time from 400 positions.

    **Raises** `ValueError` unless `overlaps0` is a 1-d array in [−1, 1].
    """
    start = mean_field.initial_overlaps if overlaps0 is None else jnp.asarray(overlaps0)
    start = start.astype(mean_field.times.dtype)
    require(start.ndim == 1 and start.size > 0, "overlaps0", "a non-empty 1-d array", start.shape)
    worst = float(jnp.max(jnp.abs(start)))
    require(worst <= 1, "overlaps0", "overlaps in [−1, 1]", worst)
    labels = mean_field.labels
    if labels is not None:
        overlaps, parallel = labels.follow(start)
        froms, nows, stretch = labels.stretch()
    else:
        path = moment_path(
            mean_field.problem,
            mean_field.times[-1],
            tol=mean_field.rtol / 0.03,
            hemisphere=mean_field.hemisphere,
        )
        overlaps, parallel = follow(path, start, mean_field.times, 1e-8)
        rows = [trace_back(path, t, 1e-6) for t in mean_field.times]
        froms, nows, stretch = (jnp.stack(column) for column in zip(*rows, strict=True))
    best = jnp.argmax(stretch, axis=1)[:, None]
    largest, first, last = (
        jnp.take_along_axis(table, best, axis=1)[:, 0] for table in (stretch, froms, nows)
    )
    # A particle at the pole stays there; its ratio of sines is that of its neighbours, J∥ itself.
    pole = jnp.abs(start) == 1
    ratio = jnp.sqrt((1 - overlaps**2) / jnp.where(pole, 1.0, 1 - start**2))
    perpendicular = jnp.where(pole, parallel, ratio)
    return Stability(mean_field.times, overlaps, parallel, perpendicular, largest, first, last)


class _Stretched(eqx.Module):
    """Latitudes, and log J∥ beside them."""

    path: MomentPath

    def __call__(self, t, state):
        latitudes, _ = state
        slope, parallel, _ = curvature(jnp.sin(latitudes), self.path.potential(t), self.path.dim)
        return jnp.cos(latitudes) * slope, parallel


def follow(
    path: MomentPath, overlaps0: Float[Array, " N"], times: Float[Array, " T"], rtol: float
) -> tuple[Float[Array, "T N"], Float[Array, "T N"]]:
    """Overlaps and J∥ at `times` of particles that start at `overlaps0`, forward in time."""
    start = (jnp.arcsin(overlaps0), jnp.zeros_like(overlaps0))
    solved = integrate(
        _Stretched(path),
        start,
        times,
        rtol=rtol,
        atol=0.01 * rtol / float(np.sqrt(path.dim)),
        context={"m": "∞", "d": path.dim, "tracers": overlaps0.size, "rtol": rtol},
    ).states
    return jnp.sin(solved[0]), jnp.exp(solved[1])


class Backwards(eqx.Module):
    """Latitudes at time `now` − s, and log J∥ of what follows, as functions of s."""

    path: MomentPath
    now: Float[Array, ""]

    def __call__(self, s: Float[Array, ""], state):
        """Minus the speed, and λ∥, of particles at (`latitudes`, ·) at time `now` − s."""
        speed, parallel = _Stretched(self.path)(self.now - s, state)
        return -speed, parallel


def trace_back(path: MomentPath, now: Float[Array, ""], rtol: float, points: int = 400):
    """(α_0, α_t, J∥) of the particles that are at `points` latitudes at time `now`.

    Where particles come from is smooth in where they are; the flow map, its inverse, has a front.
    """
    latitudes = jnp.pi * ((jnp.arange(points, dtype=now.dtype) + 0.5) / points - 0.5)
    start = (latitudes, jnp.zeros_like(latitudes))
    if now > 0:
        solved = integrate(
            Backwards(path, now),
            start,
            now[None],
            rtol=rtol,
            atol=rtol / float(np.sqrt(path.dim)),
            context={"m": "∞", "d": path.dim, "backwards from t": now, "rtol": rtol},
        ).states
        first, stretch = jax.tree.map(lambda state: state[0], solved)
    else:
        first, stretch = start
    # An odd problem's pole −w* repels, and stretches without bound what starts so near it that the
    # uniform law has a relative density below e^{−20} there: no particle does.
    rare = 0.5 * (path.dim - 1) * jnp.log(jnp.cos(first) ** 2) < -20
    return jnp.sin(first), jnp.sin(latitudes), jnp.where(rare, 0.0, jnp.exp(stretch))
