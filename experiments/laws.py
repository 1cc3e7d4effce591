r"""Stored runs of chapter 9: the 1/m law and two bounds, for dimensions up to thousands.

    python -m experiments.laws                    run what is missing, small d first (make laws)
    python -m experiments.laws --collect          run nothing, merge what is finished for the book

One run is one problem in one dimension, from the start until s = t/d^{(k−2)/2} is such that for d → ∞
half of the particles are still at the equator: the loss is then a quarter of what it was (½-loss clock).
The bounds are stored for h4 and h6, until 28 % are left: they take sizes instead of signs, also of what
holds arrived particles at the pole, and soon after, or before, grow like e^{const·t}. Where they do they
are left out.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.integrate import cumulative_simpson

from experiments.command import carry_out, number, parser
from experiments.sweep import Sweep, rounded
from mflib import (
    Activation,
    MomentPath,
    SingleIndex,
    SolverError,
    fluctuation_law,
    large_dimension_law,
    moment_path,
    norm_bound,
)
from mflib.bounds import growth_rate

# Hermite coefficients of σ = φ, even ones of one size, so that they share compiled code; whether the
# start is on the hemisphere w·w* > 0; and the last s.
PROBLEMS = {
    "h4": ([0, 0, 0, 0, 1, 0, 1e-200], False, 0.41),
    "h4+h6": ([0, 0, 0, 0, 0.8, 0, 0.6], False, 0.64),
    "h6": ([0, 0, 0, 0, 1e-200, 0, 1], False, 0.34),
    "h3": ([0, 0, 0, 1], True, 0.65),
}
DIMS = {
    "h4": (16, 32, 64, 128, 256, 1024, 4096, 16384),
    "h4+h6": (16, 64, 256, 1024, 4096),
    "h6": (16, 64, 256, 1024, 4096),
    "h3": (16, 64, 256, 1024, 4096),
}
# Times s over the last one.
GRID = np.linspace(0, 1, 13)
TOLERANCE = 2e-3
# As many of them are for the bounds.
BOUNDED = 11
# Steps of the bounds' Volterra equations: few, and enough.
POINTS = (64, 128)


@dataclass(frozen=True)
class Run:
    """One problem in one dimension."""

    problem: str
    dim: int


def compute(run: Run) -> dict[str, Any]:
    """Curves on the grid: the 1/m laws, the Volterra bounds squared, log10 of Gronwall's bound squared."""
    coefficients, hemisphere, last = PROBLEMS[run.problem]
    problem = SingleIndex(run.dim, Activation(coefficients))
    k = next(k for k, c in enumerate(coefficients) if c > 1e-100)
    times = last * run.dim ** (k / 2 - 1) * GRID
    path = moment_path(problem, float(times[-1]), hemisphere=hemisphere)
    law = fluctuation_law(problem, times, path=path, tol=TOLERANCE)
    bounded = times[:BOUNDED] if run.problem in ("h4", "h6") else times[:0]
    by_norm, by_degree = (bound(problem, bounded, path, by) for by in ("norm", "degree"))
    return {
        "until": path.until,
        "function": law.function,
        "displacement": law.displacement,
        "law_error": law.error,
        "by_norm": by_norm,
        "by_degree": by_degree,
        "gronwall": log_gronwall(problem, path, times),
    }


def bound(problem: SingleIndex, times: np.ndarray, path: MomentPath, by: str) -> Any:
    """A bound of m E‖u_t‖²; empty where twice the steps change it by more than a tenth."""
    if times.size == 0:
        return times
    try:
        coarse, fine = (
            np.asarray(norm_bound(problem, times, by=by, path=path, points=points).function) ** 2
            for points in POINTS
        )
    except SolverError:
        return times[:0]
    return fine if np.all(np.abs(fine - coarse) < 0.1 * fine) else times[:0]


def log_gronwall(
    problem: SingleIndex, path: MomentPath, times: np.ndarray
) -> Float[np.ndarray, " T"]:
    """log10 of the square of `gronwall_bound(problem, times).function`, which soon is infinite."""
    rate, kernel = growth_rate(problem), np.asarray(problem.kernel_coefficients)
    slope = np.arange(kernel.size) @ kernel
    fine = times[-1] * np.linspace(0, 1, 20_001) ** 3
    moments = np.asarray(path.table(jnp.asarray(fine)))
    noise = np.sqrt(np.maximum(kernel.sum() - moments**2 @ np.asarray(path.repulsion), 0))
    inner = cumulative_simpson(noise * np.exp(-rate * fine), x=fine, initial=0)
    first, total = (np.interp(times, fine, row) for row in (noise, inner))
    grown = np.log(np.maximum(slope * total, 1e-300)) + rate * times
    return 2 * np.logaddexp(np.log(first), grown) / np.log(10)


def summarise(runs: list[tuple[Run, dict[str, Any]]]) -> dict[str, Any]:
    """All runs, to seven digits, and for each problem the limit d → ∞ where it is known."""
    rows = [
        {"problem": run.problem, "dim": run.dim}
        | {name: rounded(value, 7) for name, value in result.items()}
        for run, result in runs
    ]
    limits = []
    for name in dict.fromkeys(run.problem for run, _ in runs):
        coefficients, _, last = PROBLEMS[name]
        limit = large_dimension_law(Activation(coefficients), last * GRID)
        limits.append(
            {"problem": name, "scaled_times": rounded(last * GRID, 10)}
            | {
                part: rounded(getattr(limit, part), 7)
                for part in ("left", "function", "displacement")
            }
        )
    return {"rows": rows, "limits": limits}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or collect; the exit status is that of `experiments.command.carry_out`."""
    made = parser("laws", "The 1/m law in large dimensions.")
    add = made.add_argument
    add("--problems", nargs="+", choices=PROBLEMS, default=[*PROBLEMS], metavar="NAME")
    add("--largest", type=number(int, 3), default=16384, metavar="D", help="the largest dimension")
    args = made.parse_args(arguments)
    return carry_out(
        made,
        args,
        Sweep("laws", version="3", run=compute, cost=lambda run: run.dim**0.25, folder=args.folder),
        [Run(name, dim) for name in args.problems for dim in DIMS[name] if dim <= args.largest],
        summarise=summarise,
        chosen=("problems", "largest"),
        order=lambda run: run.dim,
    )


if __name__ == "__main__":
    sys.exit(main())
