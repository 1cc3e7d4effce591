r"""Local Hessian and stability matrices on the disk (chapter 12).

D_t(w), the covariant derivative of the velocity at $w = (a, b\,ω)$, has the eigenvalue −a·∇U_t(a) in the d−3
directions that change ω, and on the half sphere of (a, b) is the 2×2 block

    S ∇²U_t S − (a·∇U_t) I,     S = (I − a aᵀ)^{1/2} = I − a aᵀ/(1+b),

in the orthonormal frame of the columns of E = [S; −aᵀ]. The stability matrix J_{t,0}, ∂_t J = D_t J, is
b_t/b_0 in the former directions, and a 2×2 block in the latter: the derivative of the flow on the half sphere.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, require
from .disk import DiskMeanField, Flow, check_positions, disk_speed
from .disk_nodes import disk_nodes
from .disk_potential import gradient, second
from .integrate import integrate


class DiskHessian(eqx.Module):
    """Eigenvalues of D_t at the nodes (½-loss clock), and how fast they move.

    `inside` (T, N, 2), ascending: those along the half sphere of (a, b); `across` (T, N), of multiplicity
    d−3; `speed` (T, N), |ν|.
    """

    times: Float[Array, " T"]
    inside: Float[Array, "T N 2"]
    across: Float[Array, "T N"]
    speed: Float[Array, "T N"]


def disk_hessian(limit: DiskMeanField) -> DiskHessian:
    """Local Hessian at every node of `limit`: all eigenvalues, in closed form."""
    inside, across, speed = _eigenvalues(
        limit.forces, limit.moments, limit.positions, limit.heights
    )
    return DiskHessian(limit.times, inside, across, speed)


@eqx.filter_jit
def _eigenvalues(forces, moments, positions, heights):
    def at_time(row):
        m, a, b = row
        u, a = forces.potential(m), a.T
        pull = gradient(u, a)
        radial = jnp.sum(a * pull, axis=0)
        h11, h12, h22 = second(u, a)
        s11, s12, s22 = (1 - a[0] ** 2 / (1 + b), -a[0] * a[1] / (1 + b), 1 - a[1] ** 2 / (1 + b))
        d11 = s11**2 * h11 + 2 * s11 * s12 * h12 + s12**2 * h22
        d22 = s12**2 * h11 + 2 * s12 * s22 * h12 + s22**2 * h22
        d12 = s11 * s12 * h11 + (s11 * s22 + s12**2) * h12 + s12 * s22 * h22
        middle, half = 0.5 * (d11 + d22) - radial, jnp.hypot(0.5 * (d11 - d22), d12)
        speed = jnp.sqrt(jnp.maximum(0.0, jnp.sum(pull**2, axis=0) - radial**2))
        return jnp.stack([middle - half, middle + half], axis=-1), -radial, speed

    return jax.lax.map(at_time, (moments, positions, heights))


class DiskStability(eqx.Module):
    r"""Stability matrices $J_{t,0}$ of particles of the limit (½-loss clock).

    **Attributes:** `times` (T,); `positions` (T, n, 2); `inside` (T, n, 2, 2), from the frame E at a_0 to
    that at a_t; `across` (T, n), $J_⊥ = b_t/b_0$; and `norm` (T, n), the operator norm of `inside`.
    """

    times: Float[Array, " T"]
    positions: Float[Array, "T n 2"]
    inside: Float[Array, "T n 2 2"]
    across: Float[Array, "T n"]

    @property
    def norm(self) -> Float[Array, "T n"]:
        """The larger singular value of `inside`."""
        # As a complex-linear and an antilinear part, (|z| + |z'|)/2: nothing cancels.
        (p, q), (r, s) = jnp.moveaxis(self.inside, (2, 3), (0, 1))
        return 0.5 * (jnp.hypot(p + s, r - q) + jnp.hypot(p - s, r + q))


def disk_stability(limit: DiskMeanField, positions0: Values | None = None) -> DiskStability:
    r"""Stability matrices along the limit, by the variational equation beside the nodes.

    `positions0` (n, 2): where the particles to follow start, |a| < 1; `None`: the nodes of `limit`.

    **Raises** `ValueError` for `positions0` of another shape or not inside the open disk.
    """
    dtype = limit.times.dtype
    nodes, _ = disk_nodes(limit.weights.size, limit.problem.dim, even=limit.problem.even)
    start = nodes
    if positions0 is not None:
        start = check_positions(positions0, dtype)
        lowest = float(jnp.min(start[2], initial=1.0))
        require(lowest > 0, "positions0", "inside the open unit disk", "a point of its boundary")
        nodes = jnp.concatenate([nodes, start], axis=1)
    n = start.shape[1]
    states, tangents = integrate(
        _Stretched(Flow(limit.forces, limit.weights)),
        (nodes, _frame(start)),
        limit.times,
        rtol=limit.rtol,
        atol=0.01 * limit.rtol / float(np.sqrt(limit.problem.dim)),
        context={"m": "∞", "d": limit.problem.dim, "nodes": limit.weights.size, "particles": n},
    ).states
    followed = states[..., states.shape[-1] - n :]  # none at all if n = 0
    lengths = jnp.linalg.norm(followed, axis=1, keepdims=True)
    followed = followed / lengths
    inside = _blocks(followed, tangents / lengths[:, None])
    return DiskStability(
        limit.times, jnp.moveaxis(followed[:, :2], 1, 2), inside, followed[:, 2] / start[2]
    )


class _Stretched(eqx.Module):
    """(free vectors, the derivative of the last n of them along both columns of their first E)."""

    flow: Flow

    def __call__(self, t, state):
        vectors, tangents = state
        potential = self.flow.potential(vectors)
        ahead = vectors.shape[1] - tangents.shape[2]
        speed = disk_speed(potential, vectors[:, :ahead])
        followed = vectors[:, ahead:]
        moved, push = jax.linearize(lambda u: disk_speed(potential, u), followed)
        return jnp.concatenate([speed, moved], axis=1), jax.vmap(push)(tangents)


def _frame(state: Float[Array, "3 n"]) -> Float[Array, "2 3 n"]:
    """The columns of E at points (a, b): an orthonormal frame, smooth on the whole half sphere."""
    a, b = state[:2], state[2]
    top = jnp.eye(2, dtype=a.dtype)[:, :, None] - a[:, None] * a / (1 + b)
    return jnp.concatenate([top, -a[:, None]], axis=1)


@eqx.filter_jit
def _blocks(states: Float[Array, "T 3 n"], tangents: Float[Array, "T 2 3 n"]):
    """The tangents in the frames at `states`; E drops what they have along the free vectors."""
    frames = jax.vmap(_frame)(states)
    return jnp.einsum("tikn,tjkn->tnij", frames, tangents, precision="highest")
