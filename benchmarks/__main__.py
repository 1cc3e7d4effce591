"""Run the benchmarks, print one table, and store the numbers for chapter 14 (make bench).

python -m benchmarks                          everything, about seven minutes on two quiet cores
python -m benchmarks --only rate autodiff     some rows; nothing is stored unless --output says where
python -m benchmarks --quick                  every row at a size at which only the code is tried
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp

from benchmarks.constants import constants
from benchmarks.growth import growths
from benchmarks.limits import fluctuations, infinite
from benchmarks.measure import Measured
from benchmarks.pairs import automatic, rate
from benchmarks.steps import steps
from experiments.sweep import lines, versions, write_whole

ROWS = {
    "constants": constants,
    "rate": rate,
    "autodiff": automatic,
    "growth": growths,
    "limit": infinite,
    "law": fluctuations,
    "steps": steps,
}
STORED = Path(__file__).parents[1] / "book" / "data" / "bench.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the code")
    parser.add_argument("--output", type=Path, help="where numbers go (a full run: book/data)")
    given = sys.argv[1:] if arguments is None else arguments
    args = parser.parse_args(given)
    whole = not args.quick and args.only == list(ROWS)
    output = args.output or (STORED if whole else None)
    begun, found = time.monotonic(), []
    print(_format("row", "case", "by", "seconds", "ratio", "memory", "found"))
    for name in args.only:
        for line in ROWS[name](args.quick):
            print(table_line(line), flush=True)
            found.append(line)
    if output:
        (device,) = jnp.zeros(()).devices()
        provenance = {
            "command": " ".join(["python -m benchmarks", *given]),
            "versions": versions(),
            "device": f"{device.device_kind} ({device.platform})",
            "cores": os.cpu_count(),
            "seconds": round(time.monotonic() - begun, 1),
            "load_at_end": round(os.getloadavg()[0], 1),
            "quick": args.quick,
        }
        rows = [_stored(line) for line in found]
        write_whole(output, lines({"provenance": provenance, "rows": rows}))
    return 0


def table_line(line: Measured) -> str:
    """A line of the table, as it is printed."""
    seconds = "" if line.seconds is None else f"{line.seconds:.3g}"
    ratio = "" if line.ratio is None else f"{line.ratio:.3g}"
    memory = "" if line.bytes is None else f"{line.bytes / 1e6:.0f} MB {line.memory}"
    extra = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in (line.extra or {}).items()
    )
    return _format(line.row, line.case, line.by, seconds, ratio, memory, extra)


def _format(*cells: str) -> str:
    widths = (11, 34, 26, 9, 9, 17, 0)
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _stored(line: Measured) -> dict:
    """Without what is not there, and with five digits."""

    def short(value):
        return float(f"{value:.5g}") if isinstance(value, float) else value

    fields = dataclasses.asdict(line)
    extra = fields.pop("extra") or {}
    kept = {name: value for name, value in fields.items() if value not in (None, "")}
    return {name: short(value) for name, value in (kept | extra).items()}


if __name__ == "__main__":
    sys.exit(main())
