r"""The limit on the disk as a function of time, and particles of a network beside it (chapter 12).

The limit acts through its moments $m_{pq}(t) = E a_1^p a_2^q$ alone (`mflib.disk_potential`); a quintic
spline through an accurate solve gives them at every time. A particle of the sphere is
$w = (a, b\,ω)$; along the limit (a, b) moves and ω does not, and f_m is compared with f_t by

    E f_m f_t = (1/m) Σ_i E g(ŵ_i·w'),    E f_t² = E g(w·w'),    w, w' from ρ_t.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, require
from .disk import disk_forces, disk_speed, solve_disk
from .disk_potential import DiskPotential, evaluate
from .multi_index import MultiIndex
from .spline import Spline

# Those of `mflib.moment_path`: closer at the start.
_KNOTS = np.linspace(0, 1, 257) ** 2


class DiskPath(eqx.Module):
    r"""Moments of the limit for 0 ≤ t ≤ `until` (½-loss clock), and what it does to particles.

    **Attributes:** `forces`, the `DiskPotential`; `spline`, the moments; `until`; `error`:
    estimated largest error, of the loss by the solve or of a moment by the interpolation.
    """

    forces: DiskPotential
    spline: Spline
    until: Float[Array, ""]
    error: Float[Array, ""]

    def moments(self, t: Float[Array, ""]) -> Float[Array, "k k"]:
        """m_pq(t); constant beyond both ends."""
        return self.spline(t).reshape(self.forces.target.shape)

    def split(
        self, particles: Float[Array, "m d"]
    ) -> tuple[Float[Array, "3 m"], Float[Array, "m e"]]:
        """(a, b) and ω of particles (any direction ω for one with b = 0)."""
        across = particles[:, 2:]
        height = jnp.linalg.norm(across, axis=1)
        flat = (height == 0)[:, None]
        first = jnp.zeros_like(across).at[:, 0].set(1.0)
        azimuths = jnp.where(flat, first, across / jnp.where(flat, 1.0, height[:, None]))
        return jnp.concatenate([particles[:, :2].T, height[None]]), azimuths

    def join(
        self, states: Float[Array, "T 3 m"], azimuths: Float[Array, "m e"]
    ) -> Float[Array, "T m d"]:
        """(a, b ω), linear in (a, b): points to points, velocities to velocities."""
        a = jnp.moveaxis(states[:, :2], 1, 2)
        return jnp.concatenate([a, states[:, 2, :, None] * azimuths], axis=-1)

    def rate(self, t: Float[Array, ""], state: Float[Array, "3 m"]) -> Float[Array, "3 m"]:
        """Velocity of (a, b), or of free vectors in its direction."""
        return disk_speed(self.forces.potential(self.moments(t)), state)

    def place(self, states: Float[Array, "T 3 m"], azimuths: Float[Array, "m e"]):
        """Particles (T, m, d) from free vectors."""
        return self.join(states / jnp.linalg.norm(states, axis=1, keepdims=True), azimuths)

    def motion(
        self,
        times: Float[Array, " T"],
        states: Float[Array, "T 3 m"],
        azimuths: Float[Array, "m e"],
    ) -> tuple[Float[Array, "T m"], Float[Array, "T m d"]]:
        """Speeds |ν| and unit directions ν/|ν| (nan at rest)."""
        states = states / jnp.linalg.norm(states, axis=1, keepdims=True)
        rates = _rates(self, times, states)
        speed = jnp.linalg.norm(rates, axis=1)
        return speed, self.join(rates / speed[:, None], azimuths)

    def against(
        self, t: Float[Array, ""], particles: Float[Array, "m d"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(E f_m f_t, E f_t²) for the network with `particles`."""
        moments = self.moments(t)
        cross = evaluate(self.forces.interaction(moments), particles[:, :2].T)
        return jnp.mean(cross), self.forces.energy(moments)


@eqx.filter_jit
def _rates(path: DiskPath, times, states):
    return jax.lax.map(lambda pair: path.rate(*pair), (times, states))


def disk_path(
    problem: MultiIndex, until: Scalar, *, nodes: int = 8192, tol: float = 1e-5
) -> DiskPath:
    r"""Solve the limit of `problem` (r = 2) to time `until` with `nodes` and interpolate its moments.

    The nodes are held at 257 times at once: 50 MB at 8192. Read `.error`.

    **Raises** `ValueError` unless `until` > 0, and what `solve_disk` raises.
    """
    require(np.isfinite(until) and until > 0, "until", "a positive time", until)
    knots = float(until) * _KNOTS
    solved = solve_disk(problem, knots, nodes=nodes, tol=tol)
    spline = Spline(knots, solved.moments.reshape(knots.size, -1))
    dtype = solved.moments.dtype
    return DiskPath(
        forces=solved.forces,
        spline=spline,
        until=jnp.asarray(until, dtype),
        error=jnp.maximum(spline.error, jnp.asarray(solved.error, dtype)),
    )


def disk_limit_path(
    problem: MultiIndex, times: Float[Array, " T"], path: DiskPath | None
) -> DiskPath:
    """`path`, checked to hold the limit of `problem` up to the last of `times`; solved if None."""
    until = float(times[-1])
    if path is None:
        # A limit is needed even where only the start is asked for.
        return disk_path(problem, until if until > 0 else 1e-3)
    own = disk_forces(problem, path.forces.target.dtype)
    same = own.target.shape == path.forces.target.shape and eqx.tree_equal(
        own, path.forces, rtol=1e-5, atol=1e-8
    )
    require(same, "path", "the limit of this problem", "that of another")
    require(until <= float(path.until) * (1 + 1e-6), "path", f"solved to {until:g}", path.until)
    return path
