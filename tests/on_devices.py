"""What `test_mesh.py` checks, in processes of their own: how many devices there are is said before JAX starts.

    python tests/on_devices.py FOLDER                  8 devices in one process
    python tests/on_devices.py FOLDER PORT RANK        2 of 4 devices, in each of two processes

Results go to FOLDER as NumPy files.
"""
# ruff: noqa: E402 (devices and processes first, then what begins JAX)

import os
import sys
from pathlib import Path

FOLDER, *PLACE = sys.argv[1:]
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        f"--xla_force_host_platform_device_count={2 if PLACE else 8}",
    ]
)

import re
import threading
from dataclasses import dataclass
from functools import cache

import jax

if PLACE:
    port, rank = map(int, PLACE)
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from experiments.sweep import Sweep
from mflib import (
    Activation,
    SingleIndex,
    Task,
    descend,
    particle_mesh,
    sample_sphere,
    solve_network,
)
from mflib.drift import drift, loss
from mflib.form import Form
from mflib.integrate import _run
from mflib.mesh import place, sharding
from mflib.network import Flow, _numeric
from mflib.tasks import Monomials

D, M, BLOCK = 6, 64, 16
MIXED = SingleIndex(D, Activation([0.2, 0.0, 0.8, 0.6]))
PARITY = Task(D, jax.nn.relu, Monomials({(0, 1): 1.0}), inputs="boolean", signed=True)
TIMES = np.linspace(0, 4, 3)
KEY = jax.random.key(1)
STEPS = {"step": 0.1, "steps": 9, "every": 4}
BATCHES = {**STEPS, "samples": 100, "batch": 32, "key": KEY}
COLLECTIVE = re.compile(
    r"= (\S.*?) (all-gather|all-to-all|collective-permute|all-reduce|reduce-scatter)(?:-start)?\("
)
BLOCKED = {
    "drift_4": (drift, 4),
    "drift_32": (drift, 32),
    "drift_moments": (drift, Form("moments", 4)),
    "loss_32": (loss, 32),
    "loss_moments": (loss, Form("moments", 4)),
}


def start(m=M):
    return sample_sphere(jax.random.key(0), m, D)


def runs(mesh):
    """The same runs, on one device (None) or on a mesh."""
    w = np.asarray(start())
    return {
        "flow": solve_network(MIXED, w, TIMES, mesh=mesh, block=BLOCK),
        "batches": descend(PARITY, w, mesh=mesh, **BATCHES),
    }


def store(name, **arrays):
    np.savez(Path(FOLDER) / f"{name}.npz", **arrays)


def gathered(found):
    """Every field of results as NumPy: `process_allgather` brings the rows of other processes."""
    return {
        f"{run}_{field}": np.asarray(
            value if value.is_fully_replicated else process_allgather(value, tiled=True)
        )
        for run, result in found.items()
        for field, value in vars(result).items()
        if value is not None
    }


def collectives(compiled):
    """The kinds of collective operation in a compiled program, and how many numbers each gives to a device."""
    found = COLLECTIVE.findall(compiled.as_text())
    kinds = [kind for _, kind in found]
    shapes = [re.findall(r"\[([\d,]*)\]", result) for result, _ in found]
    return kinds, [
        sum(np.prod([int(n) for n in s.split(",") if n]) for s in each) for each in shapes
    ]


def memory(compiled):
    sizes = compiled.memory_analysis()
    return [
        sizes.temp_size_in_bytes,
        sizes.argument_size_in_bytes,
        sizes.output_size_in_bytes,
    ]


def one_process():
    mesh = particle_mesh()
    one, many = (
        {"population": descend(MIXED, start(), mesh=where, **STEPS), **runs(where)}
        for where in (None, mesh)
    )
    store("one", **gathered(one))
    store("many", **gathered(many))
    shards = {
        name: [shard.data.shape for shard in result.particles.addressable_shards]
        for name, result in many.items()
    }
    store("shards", **shards)

    # A ragged number of blocks, of columns and of rows.
    odd = start(80)
    spread = place(odd, mesh)
    values = jax.jit(lambda w: {name: f(MIXED, w, b, mesh) for name, (f, b) in BLOCKED.items()})
    store("blocked", drift=drift(MIXED, odd), loss=loss(MIXED, odd), **values(spread))
    store("programs", **programs(mesh))
    store("restart", **restart(mesh, many["batches"]))
    made = jax.jit(sample_sphere, static_argnums=(1, 2), out_shardings=sharding(mesh))
    store("start", one=start(), many=made(jax.random.key(0), M, D))
    store("sweep", **sweep())
    store("errors", **errors(mesh))


def programs(mesh):
    """Memory of each device and collectives, of a whole solve and of two forms of a wide drift."""
    tolerance = jnp.asarray(1e-6)
    solve = _run.lower(
        Flow(_numeric(MIXED), Form("tiled", BLOCK), mesh),
        place(start(), mesh),
        jnp.asarray(np.pad(TIMES, (0, 5), mode="edge")),
        *(tolerance, tolerance / D**0.5, "explicit", 100_000, False),
    ).compile()
    compiled = {"solve": solve.compiled}
    w = jax.ShapeDtypeStruct((2**15, D), jnp.float64, sharding=sharding(mesh))
    for kernel in ("tiled", "moments"):
        form = Form(kernel, 256)
        drifting = jax.jit(lambda w, form=form: drift(MIXED, w, form, mesh))
        compiled[kernel] = drifting.lower(w).compile()
    found = {}
    for name, program in compiled.items():
        found[name] = memory(program)
        found[f"{name}_kinds"], found[f"{name}_sizes"] = collectives(program)
    return found


def restart(mesh, whole):
    """A checkpoint that ends after two of four states, and the descent that goes on from it."""
    file = Path(FOLDER) / "state.npz"
    settings = {"mesh": mesh, "checkpoint": file, **BATCHES}
    descend(PARITY, start(), **settings)
    with np.load(file) as stored:
        kept = {"owner": stored["owner"], "states": stored["states"][:2]}
    np.savez(file, **kept)
    again = descend(PARITY, start(), **settings)
    return {"whole": whole.particles, "again": again.particles}


@dataclass(frozen=True)
class Power:
    n: int


def sweep():
    """Sixteen runs, of which eight must be under way at once before any can end."""
    together, order = threading.Barrier(8, timeout=60), []

    @cache
    def shared():  # made on the device that comes first, used on all
        return jnp.arange(4.0)

    def run(config):
        order.append(config.n)
        if config.n < 8:
            together.wait()
        powers = shared() ** config.n
        (device,) = powers.devices()
        return {"powers": powers, "device": device.id}

    configs = [Power(n) for n in reversed(range(16))]
    made = Sweep("toy", "1", run, lambda config: 1.0 + config.n, Path(FOLDER))
    outcome = made.start(configs, devices=jax.devices())
    again = made.start(configs, devices=jax.devices())
    results = [made.record(Power(n))["result"] for n in range(16)]
    return {
        "done": [outcome.done, outcome.total, outcome.failed, outcome.interrupted, again.done],
        "order": order,
        "powers": [result["powers"] for result in results],
        "devices": [result["device"] for result in results],
    }


def errors(mesh):
    """A width that the devices do not divide."""
    try:
        solve_network(MIXED, np.eye(D)[np.zeros(M + 1, int)], TIMES, mesh=mesh)
    except ValueError as error:
        return {"ragged": str(error)}


def several_processes():
    mesh = particle_mesh()
    found = gathered(runs(mesh))
    try:
        descend(MIXED, start(), mesh=mesh, checkpoint=Path(FOLDER) / "state.npz", **STEPS)
    except ValueError as error:
        found["refused"] = str(error)
    store(f"process_{rank}", devices=mesh.size, here=len(mesh.local_devices), **found)


if PLACE:
    several_processes()
else:
    one_process()
