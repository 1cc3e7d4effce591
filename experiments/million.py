r"""A network of a million neurons (chapter 14), on one machine without a GPU.

    python -m experiments.million                    run what is missing (make million)
    python -m experiments.million --collect          run nothing, merge what is finished for the book

σ = φ = h_4 until the limit's loss is 0.1, by the moment form: a drift costs a time proportional to m.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

import mflib
from experiments.command import carry_out, number, parser
from experiments.sweep import Sweep, rounded
from mflib.moment_path import moment_path
from mflib.sphere import legendre


@dataclass(frozen=True)
class Config:
    """A width, a dimension and the seed of the start."""

    m: int
    dim: int
    seed: int


def run(config: Config) -> dict[str, Any]:
    """`loss` and `function` = ‖f_m − f‖² at `times`, the steps and seconds taken, and the limit's loss."""
    problem = mflib.SingleIndex(config.dim, mflib.Activation([0, 0, 0, 0, 1]))
    times = jnp.linspace(0, mflib.time_to_loss(problem, 0.1), 5)
    path = moment_path(problem, float(times[-1]), tol=1e-6)
    start = mflib.sample_sphere(jax.random.key(config.seed), config.m, config.dim)
    begun = time.monotonic()
    found = jax.block_until_ready(
        mflib.solve_network(problem, start, times, rtol=1e-6, kernel="moments")
    )
    seconds = time.monotonic() - begun
    limit = mflib.solve_mean_field(problem, times, tol=1e-6)
    gaps = [
        _gap(problem, path, *one)
        for one in zip(found.times, found.particles, found.loss, strict=True)
    ]
    return {
        "times": found.times,
        "loss": found.loss,
        "limit": limit.loss,
        "function": gaps,
        "steps": found.steps,
        "seconds": round(seconds, 1),
    }


def _gap(problem, path, t: Float[jax.Array, ""], w: Float[jax.Array, "m d"], loss) -> float:
    """Σ g(w_i·w_j)/m² = 2 L + 2 Σ F(w_i·w*)/m − ‖f*‖², and with the limit as in `mflib.gap`."""
    own = 2 * loss + 2 * jnp.mean(problem.potential(w)) - problem.target_power
    limit = path.repulsion * path.moments(t)
    cross = jnp.mean(limit @ legendre(w[:, 0], limit.size - 1, path.dim))
    return float(own - 2 * cross + limit @ path.moments(t))


def summarise(finished: list) -> dict[str, Any]:
    """One line a run, nine digits: a gap is a small difference that was taken before."""
    return {
        "runs": [
            {"m": config.m, "dim": config.dim, "seed": config.seed}
            | {name: rounded(value, 9) for name, value in result.items()}
            for config, result in finished
        ]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or collect."""
    made = parser("million", __doc__.split("\n")[0])
    made.add_argument("--widths", nargs="+", type=number(int, 1), default=[10**4, 10**5, 10**6])
    made.add_argument("--dim", type=number(int, 3), default=16)
    args = made.parse_args(arguments)
    sweep = Sweep("million", "1", run, lambda c: c.m * c.dim**4 / 1e8, args.folder)
    runs = [Config(m, args.dim, 0) for m in args.widths]
    return carry_out(made, args, sweep, runs, summarise=summarise, chosen=("widths", "dim"))


if __name__ == "__main__":
    sys.exit(main())
