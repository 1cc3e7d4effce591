"""What the commands of all experiments share: their options, and running or collecting."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.sweep import Sweep

ROOT = Path(__file__).parents[1]


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options of every experiment; results are merged into book/data/NAME.json."""
    made = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description)
    add = made.add_argument
    add("--device", choices=("cpu", "gpu"), default="cpu", help="all of them, a run on each")
    add(
        "--budget",
        type=number(float, 0),
        default=np.inf,
        metavar="SECONDS",
        help="begin no new run after that time",
    )
    add("--collect", action="store_true", help="run nothing, merge what is finished")
    add("--mix", action="store_true", help="collect runs of different versions into one file")
    add("--folder", type=Path, default=ROOT / "_build" / "sweeps", help="where runs are kept")
    add("--output", type=Path, default=ROOT / "book" / "data" / f"{name}.json")
    return made


def carry_out(
    made: argparse.ArgumentParser,
    args: argparse.Namespace,
    sweep: Sweep,
    runs: Sequence,
    *,
    summarise: Callable[[list], Mapping[str, Any]],
    chosen: Sequence[str],
    order: Callable[[Any], float] | None = None,
    table: Callable[[dict], str] | None = None,
) -> int:
    """Run what is missing, or collect; the exit status is 0, 1 if a run failed, 130 after Ctrl-C.

    `chosen`: names of the options that select runs, for the command that the collected file states.
    `table`: what is printed of it.
    """
    jax.config.update("jax_enable_x64", True)
    if args.collect:
        options = [
            f"--{name} {' '.join(map(str, np.ravel(getattr(args, name))))}" for name in chosen
        ]
        command = " ".join([made.prog, "--collect", *options])
        try:
            collected = sweep.collect(runs, summarise, args.output, command=command, mix=args.mix)
        except ValueError as error:
            made.error(f"argument --collect: {error}")
        if table:
            print(table(collected))
        return 0
    try:
        devices = jax.devices(args.device)
    except RuntimeError:
        made.error(f"argument --device: JAX finds no {args.device} here; see README.md, or use cpu")
    try:
        outcome = sweep.start(runs, order=order, budget=args.budget, devices=devices)
    except RuntimeError as error:
        made.error(f"argument --folder: {error}")
    print(f"{outcome.done} of {outcome.total} runs are finished", end="")
    print(f", {outcome.failed} failed." if outcome.failed else ".")
    if outcome.done < outcome.total:
        print("The same command goes on from here.")
    print("With --collect, what is finished is merged for the book.")
    return 130 if outcome.interrupted else int(outcome.failed > 0)


def number(kind: Callable, low: int | float, high: int | float = np.inf) -> Callable[[str], Any]:
    """A type for argparse: a number from `low` to `high`."""

    def parse(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = np.nan
        if not low <= value <= high:
            name = "an integer" if kind is int else "a number"
            bounds = f"from {low}" + (f" to {high}" if np.isfinite(high) else " up")
            raise argparse.ArgumentTypeError(f"expected {name} {bounds}, got {text!r}")
        return value

    return parse
