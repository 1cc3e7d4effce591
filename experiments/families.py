r"""The experiments of the paper's authors: every family, at widths that two cores finish or as published.

    python -m experiments.families                         run what is missing, cheapest first (make families)
    python -m experiments.families --names He4 --seeds 8   a part of it
    python -m experiments.families --published --device gpu   with the published sizes
    python -m experiments.families --collect               run nothing, merge what is finished for the book

One run is one seed of one family by one method, at all its widths, whose starts are nested: the first m
rows of one stream. "descent" is projected gradient descent on mini-batches of a fixed sample, the same
for every width, with the widest network in place of the limit (`mflib.proxy`); "flow" is the population
flow beside the exact limit, for the families that have one. Times and steps are on the ½-loss clock:
twice the authors' (their loss has no ½).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.command import carry_out, number, parser
from experiments.sweep import Sweep, rounded
from mflib import (
    MultiIndex,
    SingleIndex,
    descend,
    measure_gap,
    moment_path,
    sample_sphere,
    solve_mean_field,
)
from mflib.disk_path import disk_path
from mflib.drift import loss
from mflib.families import NAMES, Family, family
from mflib.proxy import bias_factor, function_distance

METHODS = ("descent", "flow")
# Saved states, the start included, at equal distances in time (and the end, where those miss it).
SAVED = 33
# Fresh examples for the distance of two functions of Boolean inputs.
EXAMPLES = 16384
# Bins of log10 ‖Δ_i‖; √m ‖Δ_i‖ is the same histogram, moved. Norms are at most 2.
BINS = np.linspace(-4, 0.4, 45)


@dataclass(frozen=True)
class Size:
    """How a family is trained. `time` and `step` are on the ½-loss clock; the last width is the reference."""

    dim: int
    time: int | float
    step: int | float
    widths: tuple[int, ...]
    samples: int
    batch: int


@dataclass(frozen=True)
class Run:
    """One seed of one family by one method, "descent" or "flow"."""

    name: str
    method: str
    seed: int
    size: Size


_NARROW = (32, 64, 128, 256, 1024)
_GAUSSIAN = Size(16, 64, 0.04, _NARROW, 32768, 2048)
_BOOLEAN = Size(16, 600, 0.5, _NARROW, 32768, 2048)
_WIDE = (512, 2048, 8192, 32768)
_PUBLISHED_GAUSSIAN = Size(32, 128, 0.04, _WIDE, 131072, 8192)
_PUBLISHED_BOOLEAN = Size(32, 1200, 0.5, (*_WIDE, 131072), 131072, 8192)


def size(name: str, published: bool) -> Size:
    """What a family is trained with, here or by the authors (where they say; else as its like)."""
    boolean = family(name, 32).problem is None
    if published:
        special = {
            "He4_misspecified": Size(32, 64, 0.01, (512, 2048, 8192, 16384), 131072, 8192),
            "Man_2": Size(32, 64, 0.01, _WIDE, 131072, 8192),
            "Man_big_2": Size(32, 64, 0.01, _WIDE, 131072, 8192),
            "Hop_1_3": Size(128, 1200, 0.5, _WIDE, 131072, 8192),
        }
        return special.get(name, _PUBLISHED_BOOLEAN if boolean else _PUBLISHED_GAUSSIAN)
    special = {
        # Gradients of h_6 have heavy tails: smaller samples are learnt by heart.
        "He4_misspecified": Size(16, 16, 0.01, _NARROW, 131072, 8192),
        "Man_big_2": Size(16, 16, 0.01, _NARROW, 32768, 2048),
        "He4_random_16_16": Size(32, 128, 0.08, _NARROW, 32768, 2048),
        # As published, with fewer neurons.
        "Hop_1_3": Size(128, 1200, 0.5, (128, 512, 2048), 131072, 8192),
    }
    return special.get(name, _BOOLEAN if boolean else _GAUSSIAN)


def has_limit(name: str) -> bool:
    """Whether symmetry gives the limit: one direction, or two."""
    problem = family(name, 32).problem
    return isinstance(problem, SingleIndex) or (isinstance(problem, MultiIndex) and problem.r <= 2)


def measure(run: Run) -> dict[str, Any]:
    """The authors' quantities for every width, (W, T) or (W, bins)."""
    return by_descent(run) if run.method == "descent" else by_flow(run)


def nested_starts(run: Run, dtype: Any) -> Float[Array, "M d"]:
    """The stream of a seed: width m starts from its first m rows."""
    key = jax.random.fold_in(jax.random.key(run.seed), run.size.dim)
    return sample_sphere(key, run.size.widths[-1], run.size.dim).astype(dtype)


def by_descent(run: Run) -> dict[str, Any]:
    """Descent at every width on the same batches, beside the descent at the last width."""
    found, size = family(run.name, run.size.dim), run.size
    steps = round(size.time / size.step)
    starts = nested_starts(run, jnp.float32)

    def train(m):
        return descend(
            _trained(found),
            starts[:m],
            step=size.step,
            steps=steps,
            samples=size.samples,
            batch=size.batch,
            key=jax.random.key(run.seed),
            every=steps // (SAVED - 1),
        )

    wide, rows = train(size.widths[-1]), []
    for m in size.widths[:-1]:
        narrow = train(m)
        distance = jnp.linalg.norm(narrow.particles - wide.particles[:, :m], axis=-1)
        rows.append(
            {"loss": narrow.loss, "pool_loss": narrow.pool_loss}
            | {"function": _distance(found, run.seed, narrow.particles, wide.particles)}
            | displacements(distance)
        )
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    stacked |= {"times": wide.times, "reference": wide.loss, "reference_pool": wide.pool_loss}
    return stacked


def _trained(found: Family) -> Any:
    """What is trained: with Hermite series in the problem itself, whose loss is then known exactly."""
    polynomial = found.problem is not None and found.problem.activation.truncation_error == 0
    return found.problem if polynomial else found.task


def _distance(found: Family, seed: int, narrow, wide) -> Float[Array, " T"]:
    if found.problem is not None:
        return function_distance(
            found.problem, narrow.astype(jnp.float64), wide.astype(jnp.float64)
        )
    # A key of its own: the examples of `descend` are drawn from the seed's.
    inputs = found.task.sample(jax.random.key(2**31 + seed), EXAMPLES, narrow.dtype)
    return function_distance(found.task, narrow, wide, inputs)


def by_flow(run: Run) -> dict[str, Any]:
    """The population flow at every width but the last, beside the exact limit."""
    problem, size = family(run.name, run.size.dim).problem, run.size
    times, path, reference = flow_limit(run.name, size)
    starts, rows = nested_starts(run, jnp.float64), []
    for m in size.widths[:-1]:
        gap = measure_gap(problem, starts[:m], times, path=path, rtol=1e-5)
        rows.append(
            {
                "loss": _losses(problem, gap.limit + gap.vectors),
                "function": gap.function,
            }
            | displacements(gap.displacement)
        )
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return stacked | {"times": times, "reference": reference}


@eqx.filter_jit
def _losses(problem: SingleIndex | MultiIndex, particles: Float[Array, "T m d"]):
    return jax.lax.map(lambda w: loss(problem, w), particles)


@cache
def flow_limit(name: str, size: Size):
    """Times of the saved states; the limit of the family until the last, and its loss."""
    problem, times = family(name, size.dim).problem, np.linspace(0, size.time, SAVED)
    path = moment_path if isinstance(problem, SingleIndex) else disk_path
    return times, path(problem, size.time), solve_mean_field(problem, times).loss


def displacements(distance: Float[Array, "T m"]) -> dict[str, Any]:
    """Of ‖Δ_i(t)‖: mean and mean square at each time; histograms at the end, and of the largest."""
    distance = np.asarray(distance, np.float64)

    def histogram(values):
        clipped = np.clip(np.log10(np.maximum(values, 1e-12)), BINS[0], BINS[-1])
        return np.histogram(clipped, BINS)[0]

    return {
        "mean": distance.mean(axis=1),
        "mean_square": (distance**2).mean(axis=1),
        "final": histogram(distance[-1]),
        "largest": histogram(distance.max(axis=0)),
    }


def cost(run: Run) -> float:
    """Seconds on two cores, to within a factor of three."""
    steps, total = run.size.time / run.size.step, sum(run.size.widths)
    if run.method == "flow":
        return 5 + 1e-9 * run.size.time * 60 * max(run.size.widths[:-1]) ** 2 * run.size.dim
    return 5 + steps * run.size.batch * total * (2e-9 + 1e-10 * run.size.dim)


def summarise(runs: list[tuple[Run, dict[str, Any]]]) -> dict[str, Any]:
    """For each family, method and width: means over seeds, and m times the gaps with standard errors.

    `function` is m E‖f_m − f‖², `displacement` m E mean_i ‖Δ_i‖², `mean_squared` the authors' m (mean_i ‖Δ_i‖)²;
    for "descent" they are corrected by 1/(1 − m/M).
    """
    groups: dict[tuple[str, str, Size], list[dict[str, Any]]] = {}
    for run, result in runs:
        groups.setdefault((run.name, run.method, run.size), []).append(result)
    rows, settings = [], []
    for (name, method, size), results in groups.items():
        stack = {key: np.array([result[key] for result in results]) for key in results[0]}
        settings.append(
            {"name": name, "method": method, "seeds": len(results), **vars(size)}
            | {key: rounded(stack[key].mean(axis=0), 5) for key in ("times", "reference")}
        )
        for i, m in enumerate(size.widths[:-1]):
            bias = bias_factor(m, size.widths[-1]) if method == "descent" else 1.0
            row = {"name": name, "method": method, "width": m}
            for key in ("loss", "pool_loss"):
                if key in stack:
                    row[key] = rounded(stack[key][:, i].mean(axis=0), 5)
            for key, values in (
                ("function", stack["function"]),
                ("displacement", stack["mean_square"]),
                ("mean_squared", stack["mean"] ** 2),
            ):
                scaled = m / bias * values[:, i]
                row[key] = rounded(scaled.mean(axis=0), 4)
                if len(results) > 1:
                    error = scaled.std(axis=0, ddof=1) / np.sqrt(len(results))
                    row[f"{key}_error"] = rounded(error, 3)
            for key in ("final", "largest"):
                row[key] = stack[key][:, i].sum(axis=0).tolist()
            rows.append(row)
    return {"bins": rounded(BINS, 5), "settings": settings, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or collect; the exit status is that of `experiments.command.carry_out`."""
    made = parser("families", "The experiments of the paper's authors.")
    add = made.add_argument
    add("--names", nargs="+", choices=NAMES, default=[*NAMES], metavar="NAME")
    add("--methods", nargs="+", choices=METHODS, default=[*METHODS], metavar="METHOD")
    add("--seeds", type=number(int, 1), default=4, metavar="N", help="seeds 0 to N − 1")
    add("--published", action="store_true", help="with the published sizes")
    args = made.parse_args(arguments)
    runs = [
        Run(name, method, seed, size(name, args.published))
        for name in args.names
        for method in args.methods
        for seed in range(args.seeds)
        if method == "descent" or has_limit(name)
    ]
    return carry_out(
        made,
        args,
        Sweep("families", version="1", run=measure, cost=cost, folder=args.folder),
        runs,
        summarise=summarise,
        chosen=("names", "methods", "seeds"),
        order=lambda run: cost(run) * (1 + run.seed),
    )


if __name__ == "__main__":
    sys.exit(main())
