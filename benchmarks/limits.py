"""(4) The limit against a wide network of equal accuracy, (5) the 1/m law against Monte Carlo."""

from collections.abc import Iterator

import jax
import numpy as np

from benchmarks import jobs
from benchmarks.measure import Measured, compare, growth
from benchmarks.resident import resident


def infinite(quick: bool) -> Iterator[Measured]:
    """The root-mean-square error of the loss of m neurons, over seeds and times, falls like m^{−1/2}.

    First the solver of the limit is asked for the error that a network of the largest width here has: both
    are run. Then for its usual error of 1e-5: the network that is as accurate is too wide to be run, and
    its time is extrapolated with the width that m^{−1/2} asks for and a time growing like m (the
    slowest growth any form has: a lower bound).
    """
    dim, widths, seeds = (8, (64, 128), 2) if quick else (16, (1024, 4096), 8)
    with jax.enable_x64(True):
        exact = jobs.infinite_width(dim, 1e-5)().loss
        errors = []
        for m in widths:
            found = [jobs.finite_width(m, dim, seed)().loss - exact for seed in range(seeds)]
            errors.append(float(np.sqrt(np.mean(np.square(found)))))
        m, error = widths[-1], errors[-1]
        tol = min(error, 1e-2)
        proxy, limit, usual = f"{m} neurons", f"limit, tol = {tol:.1g}", "limit, tol = 1e-05"
        case = f"h4, d = {dim}, until L = 0.1"
        lines = compare(
            "4 limit",
            case,
            {
                limit: jobs.infinite_width(dim, tol),
                proxy: jobs.finite_width(m, dim),
                usual: jobs.infinite_width(dim, 1e-5),
            },
            3,
            reference=limit,
            sizes={
                proxy: resident("network", m, dim),
                usual: resident("limit", dim, 1e-5),
            },
            extra=lambda name, ratio: (
                {"error": error, "error_exponent": growth(widths, errors)} if name == proxy else {}
            ),
        )
        yield from lines
        seconds = {line.by: line.seconds for line in lines}
        wide = m * (error / 1e-5) ** 2
        slow = seconds[proxy] * wide / m
        yield Measured(
            "4 limit",
            case,
            f"{wide:.1e} neurons",
            slow,
            slow / seconds[usual],
            usual,
            extra={"extrapolated": "time ∝ m, error ∝ m^(−1/2)", "neurons": wide, "error": 1e-5},
        )


def fluctuations(quick: bool) -> Iterator[Measured]:
    """m E‖f_m − f‖² to 1 %: the law, and as many networks as the spread between seeds asks for."""
    m, dim, seeds = (64, 8, 2) if quick else (512, 16, 16)
    with jax.enable_x64(True):
        gaps = np.array(
            [m * np.asarray(jobs.gap(m, dim, seed)().function)[-1] for seed in range(seeds)]
        )
        spread = float(np.std(gaps, ddof=1) / np.mean(gaps))
        runs = int(np.ceil((spread / 0.01) ** 2))
        law, one = "law, tol = 0.01", f"one network, m = {m}"
        case = f"h4, d = {dim}, until L = 0.1"
        lines = compare(
            "5 law",
            case,
            {law: jobs.law(dim, 0.01), one: jobs.gap(m, dim)},
            2 if quick else 3,
            reference=law,
            sizes={law: resident("law", dim, 0.01), one: resident("gap", m, dim)},
        )
        yield from lines
        slow, fast = lines[1].seconds * runs, lines[0].seconds
        yield Measured(
            "5 law",
            case,
            f"{runs} networks, m = {m}",
            slow,
            slow / fast,
            law,
            extra={"extrapolated": "time of one × runs", "runs": runs, "spread": spread},
        )
