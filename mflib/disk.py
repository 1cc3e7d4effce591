r"""Infinite width on the unit disk: targets of two directions (chapter 12).

A particle is $w = (a, b\,ω)$, a in the disk, $b = \sqrt{1−|a|^2}$, with a direction ω that never changes
and is independent of a. Hence (a, b) moves on a half sphere, by the potential of `mflib.disk_potential`:

    ȧ = (I − a aᵀ) ∇U_t(a),   ḃ = −b a·∇U_t(a),   L = ½ [‖f*‖² − 2 E Σ_n a_n F(v_n·a) + E g(w·w')].

The initial law of a is carried by nodes of fixed weight (`mflib.disk_nodes`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._check import Values, check_times, check_tolerance, require
from .disk_nodes import disk_nodes
from .disk_potential import DiskPotential, gradient, law_moments
from .integrate import Trajectory, integrate
from .multi_index import MultiIndex

# First and last count of nodes, by doubling.
_NODES = (4096, 65536)
_MAX_STEPS = 1_000_000


class DiskMeanField(eqx.Module):
    r"""The infinite-width limit of a target of two directions, at the times asked for (½-loss clock).

    **Attributes**

    - `problem`: the `MultiIndex` solved, r = 2. `forces`: its `DiskPotential`.
    - `times` (T,); `loss` (T,), L(t); `moments` (T, K+1, K+1), $m_{pq}(t) = E a_1^p a_2^q$ (those with
      p + q ≤ K act).
    - `weights` (N,), summing to 1, `positions` (T, N, 2) and `heights` (T, N): the nodes, where
      they are, and $b = \sqrt{1−|a|^2}$, to full relative precision. For even problems a node stands
      for ±a. `initial_positions` (N, 2): where they start, at time 0.
    - `error`: estimated largest error of `loss`: its change when nodes and tolerance are refined.
    - `steps`: the time steps taken. `rtol`: relative local error of the solve.
    """

    problem: MultiIndex
    forces: DiskPotential
    times: Float[Array, " T"]
    loss: Float[Array, " T"]
    moments: Float[Array, "T k k"]
    positions: Float[Array, "T N 2"]
    heights: Float[Array, "T N"]
    weights: Float[Array, " N"]
    initial_positions: Float[Array, "N 2"]
    error: float
    steps: Int[Array, ""]
    rtol: float = eqx.field(static=True)

    def transport(self, positions0: Values) -> Float[Array, "T n 2"]:
        r"""Positions at `times` of the particles that start at `positions0` (n, 2).

        Any particle, carried by the same limit; the rest of it never changes:
        $ξ_t(w) = (a_t, \sqrt{1−|a_t|^2}\, ω)$. The nodes are solved again beside it.

        **Raises** `ValueError` unless `positions0` holds points of the closed unit disk.
        """
        followed = check_positions(positions0, self.times.dtype)
        nodes = self.weights.size
        start, _ = disk_nodes(nodes, self.problem.dim, even=self.problem.even)
        start = jnp.concatenate([start, followed], axis=1)
        solved = follow(self.forces, self.weights, start, self.times, self.problem.dim, self.rtol)
        return jnp.moveaxis(solved.states[:, :2, nodes:], 1, 2)


def check_positions(positions: Values, dtype) -> Float[Array, "3 n"]:
    """Points (n, 2) of the closed unit disk as columns (a, b) of the half sphere."""
    a = jnp.asarray(positions, dtype)
    require(a.ndim == 2 and a.shape[1] == 2, "positions0", "of shape (n, 2)", f"shape {a.shape}")
    largest = float(jnp.max(jnp.linalg.norm(a, axis=1), initial=0.0))
    # A point of the circle, rounded, may lie a few spacings outside.
    inside = largest <= 1 + 8 * float(jnp.finfo(dtype).eps)
    require(inside, "positions0", "points of the unit disk", f"a norm of {largest}")
    height = jnp.sqrt(jnp.maximum(0.0, 1 - jnp.sum(a**2, axis=1)))
    return jnp.concatenate([a.T, height[None]])


class Flow(eqx.Module):
    """Nodes move by the potential of their own moments, and whatever follows them in the state too."""

    forces: DiskPotential
    weights: Float[Array, " N"]

    def potential(self, state: Float[Array, "3 n"]) -> Float[Array, "k k"]:
        """Coefficients of U, from the first N particles of `state`."""
        nodes = state[:, : self.weights.size]
        a = nodes[:2] / jnp.linalg.norm(nodes, axis=0)
        return self.forces.potential(law_moments(a, self.weights, self.forces.degree))

    def __call__(self, t: Float[Array, ""], state: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
        """Velocity of the free vectors `state`; the flow does not depend on time."""
        return disk_speed(self.potential(state), state)


def disk_speed(potential: Float[Array, "k k"], state: Float[Array, "3 n"]) -> Float[Array, "3 n"]:
    """|u| (ȧ, ḃ) at u/|u| = (a, b): a velocity of free vectors, whose directions are the particles."""
    length = jnp.linalg.norm(state, axis=0)
    u = state / length
    pull = gradient(potential, u[:2])
    pull = jnp.concatenate([pull, jnp.zeros_like(u[2:])])
    return length * (pull - jnp.sum(pull * u, axis=0) * u)


def follow(forces, weights, start, times, dim, rtol, max_steps=_MAX_STEPS, progress=False):
    """Trajectory of `start` (3, n), nodes first, as points (a, b) of the half sphere (T, 3, n)."""
    path = integrate(
        Flow(forces, weights),
        start,
        times,
        rtol=rtol,
        # A hundredth of the initial spread, as in one dimension (`mflib.lagrangian`).
        atol=0.01 * rtol / float(np.sqrt(dim)),
        context={"m": "∞", "d": dim, "nodes": weights.size, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    )
    lengths = jnp.linalg.norm(path.states, axis=1, keepdims=True)
    return Trajectory(path.states / lengths, path.steps)


def solve_disk(
    problem: MultiIndex,
    times: Values,
    *,
    nodes: int | np.integer | None = None,
    tol: float = 1e-5,
    max_steps: int = _MAX_STEPS,
    progress: bool = False,
) -> DiskMeanField:
    r"""Solve the limit from the uniform law at time 0, at `times`; `solve_mean_field` calls this.

    `nodes`: N ≥ 64; `None`: doubled from 4096 until the loss changes by less than `tol` (or N = 65536
    is reached: then read `.error`). A new d or new directions do not recompile.

    **Raises** `ValueError` for bad arguments (a problem with r ≠ 2 included) and `SolverError` if a
    solve does not complete.
    """
    times = check_times(times)
    floor = 100 * float(np.finfo(times.dtype).eps)
    check_tolerance(tol, "tol", 10 * floor, times.dtype)
    require(problem.r == 2, "problem", "of two coordinates, r = 2", f"r = {problem.r}")
    number = isinstance(nodes, int | np.integer)
    require(nodes is None or (number and nodes >= 64), "nodes", "None or an integer ≥ 64", nodes)
    forces = disk_forces(problem, times.dtype)
    rtol = max(0.03 * tol, floor)

    def solve(size, rtol):
        start, weights = disk_nodes(size, problem.dim, even=problem.even)
        options = (problem.dim, rtol, max_steps, progress)
        found = follow(forces, weights, start, times, *options)
        moments, loss = _law(forces, found.states, weights, problem.even)
        return start, weights, found, moments, loss

    first, last = (nodes, nodes) if nodes else _NODES
    coarse = solve(first // 2, 10 * rtol)[-1]
    for size in (first << k for k in range((last // first).bit_length())):
        start, weights, found, moments, loss = solve(size, rtol)
        error = float(jnp.max(jnp.abs(loss - coarse)))
        if error <= tol:
            break
        coarse = loss
    return DiskMeanField(
        problem=problem,
        forces=forces,
        times=times,
        loss=loss,
        moments=moments,
        positions=jnp.moveaxis(found.states[:, :2], 1, 2),
        heights=found.states[:, 2],
        weights=weights,
        initial_positions=start[:2].T,
        error=error,
        steps=found.steps,
        rtol=rtol,
    )


def disk_forces(problem: MultiIndex, dtype) -> DiskPotential:
    """`DiskPotential`, compiled once for all d and all directions of one shape."""
    numeric = eqx.tree_at(lambda p: p.dim, problem, jnp.asarray(problem.dim, dtype))
    return eqx.filter_jit(DiskPotential)(numeric, dtype)


@eqx.filter_jit
def _law(forces, states: Float[Array, "T 3 N"], weights, even):
    """Moments and losses; a law that stays even, known on half the disk, has no odd moments."""
    p, q = np.indices(forces.target.shape)
    kept = jnp.asarray((p + q) % 2 == 0 if even else p >= 0, states.dtype)
    moments = jax.lax.map(lambda u: law_moments(u[:2], weights, forces.degree), states) * kept
    return moments, jax.vmap(forces.loss)(moments)
