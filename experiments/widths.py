r"""The width study: how far m neurons are from infinite width, for many problems, dimensions and widths.

    python -m experiments.widths                     run what is missing, cheapest first (make widths)
    python -m experiments.widths --budget 1500       begin no new run after 1500 seconds
    python -m experiments.widths --collect           run nothing, merge what is finished for the book

One run is one start of m neurons in one dimension, followed beside its limit until time T, the first
at which the limit's loss is a given fraction (`level`) of what it was (½-loss clock). Starts are nested:
the m neurons of a seed are the first m rows of one stream, whatever m is, so that two widths of one
seed are compared on common random numbers, and are *not* independent. Seeds are.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import PchipInterpolator

from experiments.command import carry_out, number, parser
from experiments.sweep import Sweep
from experiments.width_table import summarise, table
from mflib import (
    Activation,
    MomentPath,
    SingleIndex,
    SolverError,
    measure_gap,
    moment_path,
    sample_sphere,
    solve_mean_field,
)
from mflib.drift import loss

# Hermite coefficients of σ = φ; whether the start is on the hemisphere w·w* > 0, without which half of
# the particles of an odd problem never learn; and the lowest level asked for: for h_3, 12 to 18 % of
# the particles are thrown back across the equator, and the loss stalls at 2 to 3.5 % of what it was.
PROBLEMS = {
    "h3": ([0, 0, 0, 1], True, 0.05),
    "h4": ([0, 0, 0, 0, 1], False, 0),
    "h6": ([0, 0, 0, 0, 0, 0, 1], False, 0),
    "h4+h6": ([0, 0, 0, 0, 0.8, 0, 0.6], False, 0),
}
DIMS = (16, 32, 64, 128, 256)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
LEVELS = (0.25, 0.02)
# t/T: cubic, since the limit escapes at T/3 for the level 0.25 but at T/100 for 0.02.
GRID = np.linspace(0, 1, 24) ** 3
# Rows of a stream. A constant, so that nested starts do not rest on how JAX fills an array.
STREAM = 8192
# Leaves an error of 5e-5 in m‖u‖² (h_4, h_6; d = 16, 64; m = 512), against about 1 for itself.
RTOL = 1e-5


@dataclass(frozen=True)
class Run:
    """One start of `width` neurons, followed until the limit's loss is `level` times what it was."""

    problem: str
    level: float
    dim: int
    width: int
    seed: int


@cache
def limit(name: str, level: float, dim: int) -> tuple[SingleIndex, MomentPath]:
    """The problem, and its limit up to the time T (`.until`) at which its loss is `level`·L(0)."""
    coefficients, hemisphere, _ = PROBLEMS[name]
    problem = SingleIndex(dim, Activation(coefficients))
    return problem, moment_path(
        problem, learning_time(problem, level, hemisphere), hemisphere=hemisphere
    )


def learning_time(problem: SingleIndex, level: float, hemisphere: bool) -> float:
    """First time at which the limit's loss is `level` times what it was, to about a thousandth.

    `mflib.time_to_loss` is more precise, but knows no hemisphere. **Raises** `SolverError` if the loss
    stays above that level.
    """
    scale = problem.dim ** (0.5 * problem.information_exponent - 1)
    # As many times and nodes as `moment_path` has, whose compiled solve is used again.
    times = scale * np.concatenate([[0.0], np.geomspace(1e-2, 300, 256)])
    nodes = 64 if problem.even else 1024
    solved = solve_mean_field(problem, times, nodes=nodes, hemisphere=hemisphere)
    part = np.asarray(solved.loss / solved.loss[0])
    if part[-1] > level:
        raise SolverError(f"the loss stays above {level:g} of its start (d = {problem.dim})")
    return float(PchipInterpolator(-part, times)(-level))


def limit_loss(problem: SingleIndex, path: MomentPath) -> Float[Array, " T"]:
    """L(t) = ½ [‖f*‖² − 2 Σ τ_k p_k + Σ a_k p_k²] at the times of the grid."""
    moments = path.table(path.until * GRID)
    power = problem.target_power
    return 0.5 * (power - 2 * moments @ path.attraction + moments**2 @ path.repulsion)


def nested_start(run: Run) -> Float[Array, "m d"]:
    """The first m rows of the stream of (seed, d), the same for every width, problem and level."""
    key = jax.random.fold_in(jax.random.key(run.seed), run.dim)
    _, hemisphere, _ = PROBLEMS[run.problem]
    return sample_sphere(key, STREAM, run.dim, hemisphere=hemisphere)[: run.width]


def measure(run: Run) -> dict[str, Any]:
    """Curves on the grid of t/T: the gap, and what the limit itself does."""
    problem, path = limit(run.problem, run.level, run.dim)
    gap = measure_gap(problem, nested_start(run), path.until * GRID, path=path, rtol=RTOL)
    falling = limit_loss(problem, path)
    return {
        "until": path.until,
        "limit_error": path.error,
        "limit_loss": falling,
        "gap": gap.function,
        "loss": _losses(problem, gap.limit + gap.vectors) - falling,
        "displacement": jnp.mean(gap.displacement**2, axis=1),
        "farthest": jnp.max(gap.displacement, axis=1),
    }


@eqx.filter_jit
def _losses(problem: SingleIndex, particles: Float[Array, "T m d"]) -> Float[Array, " T"]:
    return jax.lax.map(partial(loss, problem, form=1024), particles)


def cost(run: Run) -> float:
    """Seconds on a core, to within a factor of three: steps of six velocities of 4m²d flops each."""
    coefficients, _, _ = PROBLEMS[run.problem]
    power = np.flatnonzero(coefficients)[0] / 2 - 1
    until = 0.5 * run.dim**power * (0.25 / run.level) ** 1.3
    steps = 40 + 2.5 * until  # explicit: late steps are bounded by stability
    return 0.05 + 6 * steps * run.width**2 * (1e-9 + 9e-11 * run.dim)


def fair(run: Run) -> float:
    """Order of runs: the time its cell has taken when it is done, so that cells get equal times.

    Cheap cells have all their seeds early, and an expensive one begins with four at once.
    """
    return cost(run) * max(run.seed + 1, 4)


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or collect; the exit status is that of `experiments.command.carry_out`."""
    made = _parser()
    args = made.parse_args(arguments)
    return carry_out(
        made,
        args,
        Sweep("widths", version="1", run=measure, cost=cost, folder=args.folder),
        selected(args),
        summarise=partial(summarise, GRID),
        chosen=("problems", "levels", "dims", "widths", "seeds", "longest"),
        order=fair,
        table=table,
    )


def selected(args: argparse.Namespace) -> list[Run]:
    """The runs that the options ask for."""
    everything = product(args.problems, args.levels, args.dims, args.widths, range(args.seeds))
    runs = dict.fromkeys(Run(*configuration) for configuration in everything)
    return [
        run for run in runs if run.level >= PROBLEMS[run.problem][2] and cost(run) <= args.longest
    ]


def _parser() -> argparse.ArgumentParser:
    made = parser("widths", "How many neurons are enough?")
    add = made.add_argument
    add("--problems", nargs="+", choices=PROBLEMS, default=[*PROBLEMS], metavar="NAME")
    add("--levels", nargs="+", type=number(float, 0.001, 0.99), default=LEVELS, metavar="PART")
    add("--dims", nargs="+", type=number(int, 3), default=DIMS, metavar="D")
    add("--widths", nargs="+", type=number(int, 1, STREAM), default=WIDTHS, metavar="M")
    add("--seeds", type=number(int, 1), default=32, metavar="N", help="seeds 0 to N − 1")
    add(
        "--longest",
        type=number(float, 0),
        default=600,
        metavar="SECONDS",
        help="leave out runs of which one is estimated to take longer on a core of a CPU",
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
