"""An activation from its Hermite coefficients (chapter 2)."""

import numpy as np
from ipywidgets import VBox

from .._check import Values, require
from ..hermite import Activation
from .live import live
from .scene import Curve, Panel, Scene, Slider, span

_GRID = np.round(np.linspace(-1, 1, 21), 2)
# The points of the curves, here and in explore.js.
_Z, _S = np.linspace(-3, 3, 121), np.linspace(-1, 1, 81)


class Designer:
    r"""Sliders $c_1, …, c_K$ for $σ = Σ c_k h_k$, its kernel, and the velocity of one particle.

    The potential that a particle sees at the start, $V_0 = g − a_0$, is the kernel but for a constant;
    it moves by $\dot α = (1−α^2) g'(α)$.

    **Arguments:** `coefficients`, $c_0, …, c_K$: where the sliders begin, $2 ≤ K ≤ 8$; $c_0$ is kept.

    **Raises** `ValueError` for other coefficients than 3 to 9 numbers in [−1, 1].
    """

    call = "activation"
    designer = True

    def __init__(self, coefficients: Values = (0, 0, 0.3, 0, 1, 0, 0)):
        c = np.asarray(coefficients, float)
        fits = c.ndim == 1 and 3 <= c.size <= 9 and bool(np.all(np.abs(c) <= 1))
        require(fits, "coefficients", "3 to 9 numbers in [−1, 1]", coefficients)
        self.constant = float(c[0])
        self.sliders = []
        for k, value in enumerate(c[1:], 1):
            values = np.unique(np.append(_GRID, value)).tolist()
            self.sliders.append(Slider(f"c_{k}", values, values.index(value)))

    def scene(self, *coefficients: int | float) -> Scene:
        """σ, g and the velocity for $c_1, …, c_K$."""
        c = np.array([self.constant, *coefficients])
        if not np.any(c[1:]):
            flat = np.zeros_like(_S)
            return _scene(np.full_like(_Z, c[0]), flat + c[0] ** 2, flat, "σ is constant.")
        # The last coefficient is never dropped, or each degree would compile its own code.
        c[-1] = c[-1] or np.finfo(np.float32).tiny
        sigma = Activation(c)
        kernel = np.asarray(sigma.kernel(_S))
        velocity = (1 - _S**2) * np.asarray(sigma.kernel(_S, derivative=1))
        rest = np.flatnonzero((velocity[1:-2] > 0) & (velocity[2:-1] <= 0)) + 1
        ends = f" A particle is also held near {_S[rest[0]]:.2f}." if rest.size else ""
        k = sigma.information_exponent
        text = (
            f"Information exponent {k}, {sigma.parity}: near the equator the velocity goes like the "
            f"power {k - 1} of the overlap; g(1) = {float(kernel[-1]):.2f}.{ends}"
        )
        return _scene(np.asarray(sigma(_Z)), kernel, velocity, text)


def _scene(sigma, kernel, velocity, text) -> Scene:
    zero = Curve("", [-1.0, 1.0], [0.0, 0.0], "line", "faint")
    return Scene(
        [
            Panel("z", "σ(z)", (-3, 3), span(sigma), [Curve("", _Z, sigma)]),
            Panel("s", "g(s)", (-1, 1), span(kernel), [Curve("", _S, kernel)]),
            Panel(
                "α", "velocity of α", (-1, 1), span(velocity, [0]), [zero, Curve("", _S, velocity)]
            ),
        ],
        text,
    )


def activation(coefficients: Values = (0, 0, 0.3, 0, 1, 0, 0)) -> VBox:
    """Design an activation by its Hermite coefficients; needs a kernel. Arguments: `Designer`."""
    return live(Designer(coefficients))
