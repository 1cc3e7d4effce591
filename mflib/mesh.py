r"""Particles spread over the devices of a mesh, of one process or of several (chapter 14).

Device k of D holds the rows k·m/D, …, (k+1)·m/D − 1 of every (m, d) array. Programs stay those of one
device: JAX's own partitioner splits them, and an error estimate or a loss is a sum over all devices, so
that all take the same steps.

    mesh = mflib.particle_mesh()
    found = mflib.solve_network(problem, start, times, mesh=mesh)

`found.particles` (T, m, d) stay spread along m, and `found.loss` (T,) is on every device. A start that is
made where it is to be, and never on one device, is the one of one device to rounding:

    made = jax.jit(mflib.sample_sphere, static_argnums=(1, 2), out_shardings=mflib.mesh.sharding(mesh))
    start = made(key, m, d)

With several processes, each calls `jax.distributed.initialize` first, and then runs the same program with
the same arguments; `particle_mesh()` has the devices of all. A process sees its own rows,
`found.particles.addressable_shards`; as one NumPy array all are, on every host,

    jax.experimental.multihost_utils.process_allgather(found.particles, tiled=True)
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree

from ._check import Values, require

AXIS = "particles"


def particle_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the one axis `particles`, for `solve_network` and `descend`.

    **Arguments:** `devices`: None for all there are, those of other processes included.

    **Raises** `ValueError` if there is none, or one twice.
    """
    devices = jax.devices() if devices is None else list(devices)
    require(
        devices and len(set(devices)) == len(devices),
        "devices",
        "different devices, one or more",
        devices,
    )
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def sharding(mesh: Mesh, axis: int | None = 0) -> NamedSharding:
    """Where arrays with particles along `axis` live: their rows spread; None: the whole everywhere."""
    spec = () if axis is None else (None,) * axis + (AXIS,)
    return NamedSharding(mesh, PartitionSpec(*spec))


def place(particles: Values, mesh: Any) -> Any:
    """`particles` (m, d) spread over `mesh`, without a stop on one device; as they are if it is None.

    **Raises** `ValueError` if `mesh` is not as `particle_mesh` makes it, or m is no multiple of D.
    """
    if mesh is None:
        return particles
    require(
        isinstance(mesh, Mesh)
        and AXIS in mesh.axis_names
        and all(kind == AxisType.Auto for kind in mesh.axis_types),
        "mesh",
        f"a jax.sharding.Mesh with an axis '{AXIS}', all axes of AxisType.Auto (mflib.particle_mesh())",
        mesh,
    )
    particles = particles if isinstance(particles, jax.Array) else np.asarray(particles)
    if particles.ndim != 2:  # which `check_particles` refuses
        return particles
    m, count = particles.shape[0], mesh.shape[AXIS]
    require(
        m % count == 0, "mesh", "of a number of devices that divides m", f"{count} devices, m = {m}"
    )
    return jax.device_put(particles, sharding(mesh))


# Rows are cut into blocks with what follows only: a loop over the rows themselves would visit one device
# after the other, and gather all rows on each.


def keep(array: Array, mesh: Mesh | None, axis: int | None = 0) -> Array:
    """`array` spread along `axis` (None: the whole everywhere), for use in compiled code."""
    if mesh is None:
        return array
    return jax.lax.with_sharding_constraint(array, sharding(mesh, axis))


def stack(states: Sequence, mesh: Mesh | None) -> Float[Array, "T m d"]:
    """Saved states (m, d) as one array, spread along m."""
    if mesh is None:
        return jnp.asarray(np.stack(states))
    return jax.jit(jnp.stack, out_shardings=sharding(mesh, 1))(states)


def map_rows(
    fn: Callable, rows: Float[Array, "m d"], block: int, mesh: Mesh | None
) -> Float[Array, "m ..."]:
    """fn on `rows`, at most `block` rows of each device at a time; fn may not mix rows."""
    parts, count, own = _by_device(rows, mesh)
    if block >= own:
        return keep(fn(rows), mesh)
    done = [
        jax.lax.map(lambda i: fn(_cut(parts, i * block, block, mesh)), jnp.arange(own // block))
    ]
    # (blocks, devices · rows, …) to (devices, blocks · rows, …)
    tail = done[0].shape[2:]
    head = jnp.moveaxis(done[0].reshape(own // block, count, block, *tail), 0, 1)
    done = [keep(head.reshape(count, own // block * block, *tail), mesh)]
    if left := own % block:
        rest = fn(_cut(parts, own - left, left, mesh))
        done.append(keep(rest.reshape(count, left, *tail), mesh))
    return keep(jnp.concatenate(done, axis=1).reshape(rows.shape[0], *tail), mesh)


def sum_over_rows(fn: Callable, rows: Float[Array, "m d"], block: int, mesh: Mesh | None) -> PyTree:
    """The sum of fn over blocks of `rows`, with at most `block` rows of each device in each."""
    parts, _, own = _by_device(rows, mesh)
    if block >= own:
        return fn(rows)

    def add(i, total):
        return jax.tree.map(jnp.add, total, fn(_cut(parts, i * block, block, mesh)))

    total = jax.lax.fori_loop(1, own // block, add, fn(_cut(parts, 0, block, mesh)))
    left = own % block
    if not left:
        return total
    return jax.tree.map(jnp.add, total, fn(_cut(parts, own - left, left, mesh)))


def total_over_rows(
    fn: Callable, rows: Float[Array, "m d"], block: int, mesh: Mesh | None
) -> PyTree:
    """The same sum, for fn that is a sum over rows: each device over its own, and once over the devices."""
    if mesh is None:
        return sum_over_rows(fn, rows, block, None)
    count = mesh.shape[AXIS]
    # A sum for each device: that over the devices, at the end, is all that they exchange.
    sums = sum_over_rows(
        lambda some: jax.vmap(fn)(some.reshape(count, -1, rows.shape[1])),
        rows,
        block,
        mesh,
    )
    return jax.tree.map(lambda sum_: keep(jnp.sum(sum_, axis=0), mesh, None), sums)


def _by_device(rows: Float[Array, "m d"], mesh: Mesh | None):
    """The rows as (D, m/D, d), D, and m/D."""
    count = 1 if mesh is None else mesh.shape[AXIS]
    own = rows.shape[0] // count
    return keep(rows.reshape(count, own, -1), mesh), count, own


def _cut(parts: Float[Array, "c own d"], first: Any, size: int, mesh: Mesh | None):
    """As many rows of every device, as one array."""
    cut = jax.lax.dynamic_slice_in_dim(parts, first, size, axis=1)
    return keep(keep(cut, mesh).reshape(-1, parts.shape[2]), mesh)
