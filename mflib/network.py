r"""Finite width: projected gradient flow of m neurons (chapter 1)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from ._check import Values, check_times, check_tolerance
from .drift import drift, loss
from .form import Form, choose
from .integrate import integrate
from .mesh import keep, place
from .problem import Problem, check_particles
from .sphere import normalise


class Network(eqx.Module):
    """m neurons followed in time (½-loss clock).

    **Attributes:** `times` (T,); `particles` (T, m, d), unit vectors, spread along m if they were
    followed on a mesh; `loss` (T,), the population loss; `steps`, the time steps taken.
    """

    times: Float[Array, " T"]
    particles: Float[Array, "T m d"]
    loss: Float[Array, " T"]
    steps: Int[Array, ""]


class Flow(eqx.Module):
    """ẇ = |w| ν(w/|w|): the direction of w follows the flow on the sphere whatever its length."""

    problem: Problem
    form: Form | int | None = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def __call__(self, t: Float[Array, ""], w: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """Velocity of the free vectors `w`; the flow does not depend on time."""
        length = jnp.linalg.norm(w, axis=-1, keepdims=True)
        return length * drift(self.problem, w / length, self.form, self.mesh)


def solve_network(
    problem: Problem,
    particles: Values,
    times: Values,
    *,
    rtol: float = 1e-6,
    kernel: str | None = None,
    block: int | None = None,
    precision: str = "highest",
    mesh: Mesh | None = None,
    max_steps: int = 100_000,
    progress: bool = False,
) -> Network:
    r"""Projected gradient flow $\dot w_i = ν_i$ from `particles` at time 0, saved at `times`.

    The flow is integrated for free vectors, $\dot w = |w|\,ν(w/|w|)$, whose directions solve the
    equation on the sphere exactly; what is returned is normalised, so that particles stay on the
    sphere to rounding without a projection between steps.

    **Arguments:** `times`, strictly increasing, ≥ 0, ½-loss clock; `rtol`, relative local error (and
    absolute, times 1/√d: the size of one coordinate); `kernel`, `block`, `precision`, as in
    `mflib.drift.velocity` (a drift in less than full precision is off by its rounding at any `rtol`); `mesh`,
    from `mflib.particle_mesh`: the particles are spread over its devices (`mflib.mesh`), which gives the
    same numbers to rounding, and there dense and tiled are one form, by blocks of at most 1024 rows that
    leave the symmetry unused; `progress=True` shows a progress bar.

    **Raises** `ValueError` for bad arguments (shapes, particles off the sphere, times, an rtol below
    what the dtype can give, a mesh whose number of devices does not divide m) and `SolverError` if the
    solve does not complete.
    """
    particles = check_particles(problem, place(particles, mesh))
    times = check_times(times).astype(particles.dtype)
    # Ten spacings: below that the error control compares rounding with rounding.
    check_tolerance(rtol, "rtol", 10 * float(np.finfo(particles.dtype).eps), particles.dtype)
    m, d = particles.shape
    form = choose(problem, m, d, kernel=kernel, block=block, precision=precision)
    flow = Flow(_numeric(problem), form, mesh)
    path = integrate(
        flow,
        particles,
        times,
        rtol=rtol,
        atol=rtol / np.sqrt(d),
        context={"m": m, "d": d, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    )
    states = normalise(path.states)
    return Network(times, states, losses(problem, states, form, mesh), path.steps)


@eqx.filter_jit
def losses(
    problem: Problem, path: Float[Array, "T m d"], form: Form | None, mesh: Mesh | None
) -> Float[Array, " T"]:
    """The population loss of every saved state."""
    return jax.lax.map(lambda w: loss(problem, keep(w, mesh), form, mesh), path)


def _numeric(problem: Problem) -> Problem:
    """The problem with `dim` as an array, so that a new d of the same shapes never recompiles."""
    return eqx.tree_at(lambda p: p.dim, problem, jnp.asarray(float(problem.dim)))
