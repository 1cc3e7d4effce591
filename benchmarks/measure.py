"""Timing side by side, and memory.

Candidates take turns (A, B, A, B, …), so that what else the machine does falls on all of them alike: only
ratios within a round are compared, and medians over rounds are reported. Between two calls is a pause:
gigabytes that one of them held are given back by another thread, a tenth of a second of two cores
that would be charged to the next.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

PAUSE = 0.3


@dataclass(frozen=True)
class Measured:
    """One line of the table.

    `row`: the section; `case`: what is done; `by`: how; `seconds`: median (None: not run); `ratio`: the
    median over rounds of this time over the reference's, which is `against`; `bytes`, by `memory`:
    `compiled` (scratch and result of the compiled program) or `resident` (growth of a fresh process);
    `extra`: what else was found.
    """

    row: str
    case: str
    by: str
    seconds: float | None
    ratio: float | None = None
    against: str = ""
    bytes: int | None = None
    memory: str = ""
    extra: Mapping[str, Any] | None = None


def compiled(fn: Callable, *arguments: Any) -> tuple[Callable[[], Any], int]:
    """(a call of the compiled program that waits for its result, its bytes beside the arguments)."""
    program = jax.jit(fn).lower(*arguments).compile()
    memory = program.memory_analysis()
    size = memory.temp_size_in_bytes + memory.output_size_in_bytes
    return lambda: jax.block_until_ready(program(*arguments)), size


def take_turns(candidates: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds (rounds,) of each candidate, after one call of each that does not count."""
    for call in candidates.values():
        call()
    seconds = {name: np.empty(rounds) for name in candidates}
    for turn in range(rounds):
        for name, call in candidates.items():
            begun = time.perf_counter()
            call()
            seconds[name][turn] = time.perf_counter() - begun
            time.sleep(PAUSE)
    return seconds


def compare(
    row: str,
    case: str,
    candidates: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    reference: str,
    sizes: Mapping[str, tuple[int | None, str]],
    extra: Callable[[str, float], Mapping[str, Any]] = lambda name, ratio: {},
) -> list[Measured]:
    """Lines for candidates that took turns; `sizes`: (bytes, how measured) of each."""
    seconds = take_turns(candidates, rounds)
    lines = []
    for name, taken in seconds.items():
        ratio = float(np.median(taken / seconds[reference]))
        lines.append(
            Measured(
                row,
                case,
                name,
                float(np.median(taken)),
                ratio,
                reference,
                *sizes.get(name, (None, "")),
                extra(name, ratio),
            )
        )
    return lines


def growth(sizes: Any, values: Any) -> float:
    """The exponent of a power law through (size, value), by least squares in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def available() -> float:
    """Bytes of memory that are free for use; infinite where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return np.inf
    return 1024.0 * int(text.split("MemAvailable:")[1].split()[0])


def in_a_process(module: str, *arguments: Any, **environment: str) -> str:
    """What `python -m benchmarks.MODULE ARGUMENTS` prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"benchmarks.{module} {arguments} failed:\n{done.stderr[-2000:]}")
    return done.stdout
