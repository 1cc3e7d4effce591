"""What the width study tells the book: curves averaged over seeds, and the widths that were enough."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.sweep import rounded

EPSILONS = (0.1, 0.05, 0.03)


def summarise(
    grid: Float[np.ndarray, " T"], runs: list[tuple[Any, dict[str, Any]]]
) -> dict[str, Any]:
    """Cells (problem, level, d, m) with curves averaged over seeds, and the widths required."""
    members: dict[tuple, list] = {}
    for run, result in runs:
        cell = (run.problem, run.level, run.dim, run.width)
        members.setdefault(cell, []).append((run.seed, result))
    cells = [_cell(*cell, *zip(*found, strict=True)) for cell, found in members.items()]
    studies = list(dict.fromkeys(cell[:3] for cell in members))
    required = [
        {"problem": name, "level": level, "dim": dim, "epsilon": epsilon}
        | measured_width(
            [c for c in cells if (c["problem"], c["level"], c["dim"]) == study], epsilon
        )
        for study in studies
        for name, level, dim in [study]
        for epsilon in EPSILONS
    ]
    return {"grid": rounded(grid), "cells": cells, "required": required}


def _cell(problem, level, dim, width, seeds, results) -> dict[str, Any]:
    curves = {
        name: np.array([result[name] for result in results])
        for name in ("gap", "loss", "displacement", "farthest")
    }
    first = results[0]
    several = len(seeds) > 1
    return {
        "problem": problem,
        "level": level,
        "dim": dim,
        "width": width,
        "seeds": list(seeds),
        "until": rounded(first["until"]),
        "limit_error": rounded(first["limit_error"], 2),
        "limit_loss": rounded(first["limit_loss"]),
        **{name: rounded(values.mean(0)) for name, values in curves.items()},
        **{
            f"{name}_bar": rounded(values.std(0, ddof=1) / np.sqrt(len(seeds)), 3)
            for name, values in curves.items()
            if several
        },
        "sup_gap": rounded(np.sqrt(curves["gap"].max(1))),
        "sup_loss": rounded(np.abs(curves["loss"]).max(1)),
        "sup_displacement": rounded(np.sqrt(curves["displacement"].max(1))),
    }


def measured_width(
    cells: Sequence[dict[str, Any]], epsilon: float, *, draws: int = 1000
) -> dict[str, float | None]:
    r"""Smallest m from which on $(E \sup_{t≤T} ‖u_t‖^2)^{1/2} ≤ ε$, of one problem, level and dimension.

    The mean is over seeds, and its logarithm is interpolated linearly in log m. `width` is None where
    that needs more neurons than were measured, and the smallest width measured where that is enough
    already. `low` and `high` bound the middle 95 % of a bootstrap that draws seeds, each with all of
    its widths, since those share their starts.
    """
    cells = sorted(cells, key=lambda cell: cell["width"])
    widths = np.log([cell["width"] for cell in cells])
    seeds = sorted({seed for cell in cells for seed in cell["seeds"]})
    squares = np.full((len(cells), len(seeds)), np.nan)
    for row, cell in zip(squares, cells, strict=True):
        row[np.searchsorted(seeds, cell["seeds"])] = np.square(cell["sup_gap"])

    def crossing(times_drawn: np.ndarray) -> float:
        measured = ~np.isnan(squares)
        count = measured @ times_drawn
        known = count > 0  # a width of few seeds may miss them all
        mean = np.where(measured, squares, 0) @ times_drawn
        excess = 0.5 * np.log(mean[known] / count[known]) - np.log(epsilon)
        above = np.flatnonzero(excess > 0)
        if above.size == 0:
            return np.exp(widths[known][0])
        last = above[-1]
        if last == excess.size - 1:
            return np.inf
        part = excess[last] / (excess[last] - excess[last + 1])
        return np.exp(widths[known][last : last + 2] @ [1 - part, part])

    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), draws)
    low, high = np.quantile([*map(crossing, drawn)], [0.025, 0.975], method="nearest")
    return {
        name: rounded(value, 4) if np.isfinite(value) else None
        for name, value in (
            ("width", crossing(np.ones(len(seeds)))),
            ("low", low),
            ("high", high),
        )
    }


def table(collected: dict[str, Any]) -> str:
    """The widths required, as lines of text."""
    lines = [f"{'problem':8} {'level':>5} {'d':>4} {'ε':>5}  width required (95 % of bootstraps)"]
    for row in collected["required"]:
        width, low, high = (
            "more" if row[name] is None else f"{row[name]:.0f}" for name in ("width", "low", "high")
        )
        lines.append(
            f"{row['problem']:8} {row['level']:5} {row['dim']:4} {row['epsilon']:5}  "
            f"{width} ({low} to {high})"
        )
    return "\n".join(lines)
