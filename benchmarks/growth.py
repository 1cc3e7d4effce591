"""(3) Time and memory of the drift against m, d and the number of devices, with fitted exponents.

python -m benchmarks.growth M DIM        one drift on all devices there are: prints seconds, bytes on each
"""

import sys
from collections.abc import Iterator

import jax
import numpy as np

import mflib
from benchmarks.jobs import network
from benchmarks.measure import Measured, compiled, growth, in_a_process, take_turns
from mflib.drift import drift
from mflib.form import Form, choose
from mflib.mesh import place

ROW = "3 growth"


def growths(quick: bool) -> Iterator[Measured]:
    """Tiles and moments against m at d = 32, and against d at m = 8192; the mesh against devices."""
    widths = (256, 512) if quick else (12500, 25000, 50000, 100000)
    dims = (8, 16) if quick else (16, 32, 64, 128)
    for kernel in ("tiled", "moments"):
        yield from _series(kernel, "m", widths, [(m, dims[1]) for m in widths])
        # The moments of h_4 in d = 128 are 68 million numbers.
        some = dims if kernel == "tiled" else dims[:3]
        yield from _series(kernel, "d", some, [(512 if quick else 8192, dim) for dim in some])
    if not quick:
        yield from devices(16384, 64, (1, 2, 4))


def _series(kernel: str, letter: str, axis: tuple, pairs: list) -> Iterator[Measured]:
    calls, sizes = {}, []
    for m, dim in pairs:
        problem, w = network(m, dim)
        form = choose(problem, m, dim, kernel=kernel)
        calls[f"m = {m}, d = {dim}"], size = compiled(
            lambda v, p=problem, form=form: drift(p, v, form), w
        )
        sizes.append(size)
    seconds = [float(np.median(taken)) for taken in take_turns(calls, 3).values()]
    fits = {
        f"time_exponent_{letter}": growth(axis, seconds),
        f"memory_exponent_{letter}": growth(axis, sizes),
    }
    for case, taken, size in zip(calls, seconds, sizes, strict=True):
        extra = fits if case == list(calls)[-1] else {}
        yield Measured(ROW, case, kernel, taken, bytes=size, memory="compiled", extra=extra)


def devices(m: int, dim: int, counts: tuple[int, ...]) -> Iterator[Measured]:
    """Virtual devices on this machine's cores: the memory of each falls; the time need not."""
    first = None
    for count in counts:
        flags = f"--xla_force_host_platform_device_count={count}"
        printed = in_a_process("growth", m, dim, XLA_FLAGS=flags, JAX_PLATFORMS="cpu").split()
        seconds, size = float(printed[0]), int(printed[1])
        first = first or seconds
        yield Measured(
            ROW,
            f"m = {m}, d = {dim}, mesh of {count}",
            "blocks on a mesh",
            seconds,
            seconds / first,
            "one device",
            size,
            "compiled",
        )


def _main(m: int, dim: int) -> None:
    problem, w = network(m, dim)
    mesh = mflib.particle_mesh()
    form = Form("tiled", 1024)
    call, size = compiled(lambda v: drift(problem, v, form, mesh), place(w, mesh))
    print(float(np.median(take_turns({"": call}, 3)[""])), size)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    _main(int(sys.argv[1]), int(sys.argv[2]))
