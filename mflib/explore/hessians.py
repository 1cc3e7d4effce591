"""The local Hessian against the relative speed, for every particle (chapter 7)."""

import numpy as np
from ipywidgets import VBox

from .._check import require
from ..concordance import self_concordance
from ..hermite import Activation
from ..hessian import local_hessian
from ..mean_field import solve_mean_field
from ..problem import SingleIndex
from .limits import check_activation, horizon
from .live import live
from .scene import Curve, Panel, Scene, Slider, span

# The times of every solve of the chapter, so that the explorer there compiles none of its own; every
# sixteenth is shown.
_TIMES, _EVERY = 257, 16


class Hessian:
    r"""$λ_{\max}(D_t)$ against $d(\log α)/dt$ over all overlaps, with a slider for time.

    **Arguments:** `dim`, from 3 to $10^6$; `activation`, σ = φ, even, of information exponent at least
    2 ($h_4$ if `None`).

    Solved once, for all times. **Raises** `ValueError` for bad arguments.
    """

    call = "hessian"

    def __init__(self, dim: int = 64, activation: Activation | None = None):
        sigma = Activation.hermite(4) if activation is None else check_activation(activation)
        require(np.shape(dim) == () and 3 <= dim <= 1e6, "dim", "a number from 3 to 1e6", dim)
        require(sigma.parity == "even", "activation", "even", sigma.parity)
        problem = SingleIndex(dim, sigma)
        times = horizon(sigma, dim) * np.linspace(0, 1, _TIMES)
        limit = solve_mean_field(problem, times, nodes=64)
        self.concordance = self_concordance(limit, points=1000)
        # Overlaps equally spaced in log tan φ; those of the particles among them by their quantiles.
        x = np.linspace(np.log(0.01 / np.sqrt(dim)), 5, 160)
        alpha = np.broadcast_to(1 / np.sqrt(1 + np.exp(-2 * x)), (_TIMES, x.size))
        particles = limit.transport(_quantiles(limit, 48))
        self.curve, self.particles = (
            (np.asarray(h.relative_speed), np.maximum(h.parallel, h.perpendicular))
            for h in (local_hessian(problem, limit, where) for where in (alpha, particles))
        )
        self.limit, self.alpha = limit, np.asarray(particles)
        self.k = sigma.information_exponent
        self.sliders = [Slider("time t", times[::_EVERY].tolist(), 5, "{:.3g}")]

    def scene(self, time: int | float) -> Scene:
        """The loop of all overlaps, 48 particles on it, and the line of slope k*−1."""
        i = int(np.argmin(np.abs(np.asarray(self.limit.times) - time)))
        speed, largest = self.curve
        (left, right), (low, high) = span(speed[0]), span(largest[0])
        slope = self.concordance.exponent
        top = min(right, high / slope)
        found = self.concordance
        gone = float(np.mean(np.abs(self.alpha[i]) > 0.9))
        text = (
            f"t = {time:.3g}: {gone:.0%} of the particles are past overlap 0.9. The Hessian exceeds "
            f"{slope:g} times the relative speed by at most {max(float(found.slack[i]), 0):.3f}."
        )
        return Scene(
            [
                Panel(
                    "relative speed, d(log α)/dt",
                    "largest eigenvalue",
                    (left, right),
                    (low, high),
                    [
                        Curve("all overlaps", speed[i], largest[i], "line", "faint"),
                        Curve(
                            f"slope {slope:g}", [0.0, top], [0.0, slope * top], "dashed", "theory"
                        ),
                        Curve("particles", *(x[i] for x in self.particles), "dots", "infinite"),
                    ],
                )
            ],
            text,
        )


def _quantiles(limit, count: int) -> np.ndarray:
    """Overlaps at the start of `count` particles of equal weight."""
    share = np.cumsum(np.asarray(limit.weights)) - np.asarray(limit.weights) / 2
    wanted = (np.arange(count) + 0.5) / count
    return np.interp(wanted, share, np.asarray(limit.initial_overlaps))


def hessian(dim: int = 64, activation: Activation | None = None) -> VBox:
    """The local Hessian against speed; needs a kernel. Arguments: `Hessian`."""
    return live(Hessian(dim, activation))
