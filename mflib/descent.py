r"""Projected gradient descent: discrete steps, from the population or from examples (chapter 11).

    w_i ← (w_i + η ν̂_i) / ‖w_i + η ν̂_i‖,

with ν̂ the velocity of the population, of a fixed sample, of mini-batches of it, or of fresh examples.
After k steps the time is t = ηk on the ½-loss clock. What is random depends on the key and on the number
of the step only, not on the width: two networks given the same key see the same examples, and a descent
that goes on from a saved state is the one that was never interrupted, bit for bit.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key
from tqdm import tqdm

from ._check import Scalar, Values, require
from .checkpoint import Checkpoint, fingerprint
from .drift import drift
from .empirical import empirical_drift, path_losses
from .mesh import keep, place, stack
from .network import Network, losses
from .problem import Problem, check_particles
from .sphere import normalise
from .tasks import Task, corners, sampled

# Examples for the loss of a task whose population loss has no closed form: as many as the paper's authors.
FRESH = 65536
_POOL, _ORDER, _BATCHES, _FRESH = range(4)


class Descent(Network):
    """m neurons followed through descent: what `Network` holds, and the loss on the sample.

    **Attributes:** `times` (T,), η times the number of steps (½-loss clock); `particles` (T, m, d);
    `loss` (T,), of the population: in closed form, or over all corners of the cube, or else over 65,536
    fresh examples, the same at all times; `pool_loss` (T,), over the sample (None if there is none);
    `steps`, taken in all.
    """

    pool_loss: Float[Array, " T"] | None


class _Population(eqx.Module):
    problem: Problem
    mesh: Mesh | None = eqx.field(static=True)

    def order(self, number):
        return jnp.zeros(0, jnp.int32)

    def velocity(self, number, w, order):
        return drift(self.problem, w, mesh=self.mesh), order


class _Sample(eqx.Module):
    """All examples at every step."""

    task: Task
    inputs: Float[Array, "n d"]
    labels: Float[Array, " n"]

    def order(self, number):
        return jnp.zeros(0, jnp.int32)

    def velocity(self, number, w, order):
        return empirical_drift(self.task, w, self.inputs, self.labels), order


class _Batches(eqx.Module):
    """The sample in batches: each epoch in a new order, without replacement."""

    task: Task
    inputs: Float[Array, "n d"]
    labels: Float[Array, " n"]
    key: Key[Array, ""]
    batch: int = eqx.field(static=True)

    def order(self, number):
        n = self.labels.size
        return jax.random.permutation(jax.random.fold_in(self.key, number // (n // self.batch)), n)

    def velocity(self, number, w, order):
        place = number % (self.labels.size // self.batch)
        order = jax.lax.cond(place == 0, lambda: self.order(number), lambda: order)
        rows = jax.lax.dynamic_slice_in_dim(order, place * self.batch, self.batch)
        return empirical_drift(self.task, w, self.inputs[rows], self.labels[rows]), order


class _Fresh(eqx.Module):
    """New examples at every step."""

    task: Task
    key: Key[Array, ""]
    batch: int = eqx.field(static=True)

    def order(self, number):
        return jnp.zeros(0, jnp.int32)

    def velocity(self, number, w, order):
        inputs = self.task.sample(jax.random.fold_in(self.key, number), self.batch, w.dtype)
        return empirical_drift(self.task, w, inputs, self.task.labels(inputs)), order


@eqx.filter_jit
def _advance(
    source, w: Float[Array, "m d"], step, first: Int[Array, ""], last: Int[Array, ""], mesh
):
    """Steps first, …, last − 1, and whether all is finite. The numbers are traced: one program for all."""

    def body(number, state):
        w, order = state
        velocity, order = source.velocity(number, w, order)
        return keep(normalise(w + step * velocity), mesh), order

    w, _ = jax.lax.fori_loop(first, last, body, (w, source.order(first)))
    return w, jnp.all(jnp.isfinite(w))


def descend(
    problem: Problem | Task,
    particles: Values,
    *,
    step: Scalar,
    steps: int,
    samples: int | None = None,
    batch: int | None = None,
    key: Any = None,
    every: int | None = None,
    start: int = 0,
    checkpoint: Path | str | None = None,
    mesh: Mesh | None = None,
    progress: bool = False,
) -> Descent:
    r"""Projected gradient descent $w_i ← (w_i + η \hatν_i)/‖·‖$ from `particles`.

    | `samples` | `batch` | velocity $\hatν$ |
    |---|---|---|
    | None | None | of the population (closed form; for Boolean inputs, d ≤ 16, all corners of the cube) |
    | n | None | of a fixed sample of n examples |
    | n | b | of b examples of that sample; each epoch goes through it in a new order, n mod b left out |
    | None | b | of b fresh examples at every step |

    **Arguments**

    - `particles` (m, d), unit vectors; the descent works in their dtype. `step`: η > 0 on the ½-loss
      clock. `steps`: of the last one.
    - `key`: decides the examples, whatever the width. Needed unless the velocity is the population's.
    - `every`: states are saved at the start, every so many steps, and at the end. None: start and end.
    - `start`: the number of steps that `particles` have behind them: going on from a saved state gives
      the uninterrupted descent, bit for bit.
    - `checkpoint`: a file that holds every saved state as soon as it is reached. If it exists, the
      descent goes on from there; it must belong to the same arguments (`mesh` may be another). Not for a
      mesh of several processes: store each process's own rows of a result, and go on with `start`.
    - `mesh`, from `mflib.particle_mesh`: the particles are spread over its devices (`mflib.mesh`), and
      each has all examples. The same numbers to rounding; bit for bit on the same mesh.
    - `progress`: shows a progress bar.

    **Raises** `ValueError` for bad arguments (a checkpoint of another descent, or a mesh whose number of
    devices does not divide m, included), and
    `FloatingPointError` if the particles leave the finite numbers.
    """
    particles = check_particles(problem, place(particles, mesh))
    _check(problem, step, steps, samples, batch, key, every, start)
    require(
        checkpoint is None or particles.is_fully_addressable,
        "checkpoint",
        "None on a mesh of several processes (let each store its own rows of a result, and go on with `start`)",
        checkpoint,
    )
    dtype = particles.dtype
    problem = _cast(problem, dtype)
    source, pool, test = _examples(problem, samples, batch, key, dtype, mesh)
    marks = [*range(start, steps, every or steps - start), steps]
    file = checkpoint and Checkpoint(
        Path(checkpoint),
        fingerprint(problem, particles, float(step), marks, samples, batch, key),
    )
    # What is saved waits on the host, unless it is spread over many devices: there it has its place.
    saved = np.asarray if mesh is None else partial(place, mesh=mesh)
    states = [saved(state) for state in (file.load() if file else ())] or [saved(particles)]
    todo = marks[len(states) - 1 :]
    bar = tqdm(total=steps, initial=todo[0], desc="descent", disable=not progress)
    with bar:
        for first, last in pairwise(todo):
            w, finite = _advance(
                source,
                jnp.asarray(states[-1]),
                jnp.asarray(step, dtype),
                jnp.asarray(first, jnp.int32),
                jnp.asarray(last, jnp.int32),
                mesh,
            )
            states.append(saved(w))
            if not finite:
                raise FloatingPointError(
                    f"the descent left the finite numbers between steps {first} and {last} "
                    f"(step = {float(step):g}, m = {particles.shape[0]}, d = {particles.shape[1]}). "
                    "Likely fix: a smaller `step`."
                )
            if file:
                file.save(states)
            bar.update(last - first)
    path = stack(states, mesh)
    return Descent(
        times=jnp.asarray(np.array(marks) * float(step), dtype),
        particles=path,
        loss=losses(problem, path, None, mesh) if test is None else path_losses(*test, path),
        steps=jnp.asarray(steps),
        pool_loss=None if pool is None else path_losses(*pool, path),
    )


def _check(problem, step, steps, samples, batch, key, every, start):
    """Arguments of `descend` that are numbers."""
    require(np.shape(step) == () and np.isfinite(step) and step > 0, "step", "positive", step)
    whole = (int, np.integer)
    for name, value, least in (
        ("steps", steps, 1),
        ("samples", samples, 1),
        ("batch", batch, 1),
        ("every", every, 1),
        ("start", start, 0),
    ):
        optional = name in ("samples", "batch", "every")
        require(
            (optional and value is None) or (isinstance(value, whole) and value >= least),
            name,
            f"an integer ≥ {least}" + optional * " or None",
            value,
        )
    require(start < steps, "start", f"below steps = {steps}", start)
    if batch is not None and samples is not None:
        require(batch <= samples, "batch", f"at most samples = {samples}", batch)
    if samples is None and batch is None and isinstance(problem, Task):
        require(
            problem.enumerable,
            "samples",
            "given (or `batch`, for fresh examples): only Boolean inputs with d ≤ 16 can be enumerated",
            samples,
        )
    closed = samples is None and batch is None
    require(closed or key is not None, "key", "a JAX random key, to draw examples", key)


def _cast(problem, dtype):
    """The problem with its floating arrays in the dtype of the descent, and d as an array."""
    if not isinstance(problem, Task):
        problem = eqx.tree_at(lambda p: p.dim, problem, jnp.asarray(float(problem.dim)))
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, problem
    )


def _examples(problem, samples, batch, key, dtype, mesh):
    """Where velocities come from; (task, inputs, labels) of the sample and of the fresh test."""
    if samples is None and batch is None and not isinstance(problem, Task):
        return _Population(problem, mesh), None, None
    task = sampled(problem)
    if samples is None and batch is None:
        population = _labelled(task, corners(task.dim).astype(dtype))
        return _Sample(*population), None, population
    streams = [jax.random.fold_in(key, stream) for stream in range(4)]
    test = pool = None
    if isinstance(problem, Task):
        everything = task.enumerable
        x = corners(task.dim) if everything else task.sample(streams[_FRESH], FRESH, dtype)
        test = _labelled(task, x.astype(dtype))
    if samples is None:
        return _Fresh(task, streams[_BATCHES], batch), None, test
    pool = _labelled(task, task.sample(streams[_POOL], samples, dtype))
    if batch is None or batch == samples:
        return _Sample(*pool), pool, test
    return _Batches(*pool, streams[_ORDER], batch), pool, test


@eqx.filter_jit
def _labelled(task: Task, inputs: Float[Array, "n d"]):
    return task, inputs, task.labels(inputs)
