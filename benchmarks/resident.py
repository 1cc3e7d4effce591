"""Growth of the resident memory of a fresh process while it does one job, its compilation included.

python -m benchmarks.resident JOB SIZE …        prints bytes, or nothing where the system does not say
"""

import sys
from pathlib import Path

import jax

from benchmarks.measure import in_a_process

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(job: str, *sizes: float) -> tuple[int | None, str]:
    """(bytes or None, "resident") for a job of `benchmarks.jobs`."""
    printed = in_a_process("resident", job, *sizes).strip()
    return (int(printed), "resident") if printed else (None, "")


def _kilobytes(name: str) -> int:
    return int(_STATUS.read_text(encoding="ascii").split(f"{name}:")[1].split()[0])


def _main(job: str, *sizes: str) -> None:
    from benchmarks.jobs import JOBS

    if job != "torch":
        jax.config.update("jax_enable_x64", True)
    call = JOBS[job](*map(float, sizes))
    try:
        _CLEAR.write_text("5", encoding="ascii")  # the highest so far is forgotten
        before = _kilobytes("VmRSS")
    except OSError:
        return
    call()
    print(1024 * (_kilobytes("VmHWM") - before))


if __name__ == "__main__":
    _main(*sys.argv[1:])
