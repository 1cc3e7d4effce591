"""How wide is wide enough: the width diagram (chapter 9)."""

from collections.abc import Sequence

import numpy as np
from ipywidgets import VBox

from .._check import require
from ..bounds import growth_rate
from ..fluctuation import fluctuation_law
from ..hermite import Activation
from ..large_dimension import large_dimension_law
from ..problem import SingleIndex
from .gaps import Coupled, check_widths
from .limits import check_activation, check_dims, horizon
from .live import live
from .scene import Curve, Panel, Scene, Slider


class Widths:
    r"""The gap against m, and the width that a gap ε asks for: sliders for d and ε.

    The lines are the exact 1/m law, $\sup_t m\,E‖u_t‖^2$, in each dimension and, where it is known, for
    $d → ∞$; the points are networks of `widths` neurons in up to two of the dimensions, mean over
    `seeds` starts; the crude bound is $e^{2μt}$ with Gronwall's rate μ.

    **Arguments:** `dims`, from 3 to 1024; `widths`, each a divisor of the largest; `activation`, σ = φ
    ($h_4$ if `None`); `seeds`, at least 2.

    All is computed at the start. **Raises** `ValueError` for bad arguments.
    """

    call = "widths"

    def __init__(
        self,
        dims: Sequence[int] = (8, 16, 32, 64),
        widths: Sequence[int] = (8, 32, 128),
        activation: Activation | None = None,
        seeds: int = 8,
    ):
        sigma = Activation.hermite(4) if activation is None else check_activation(activation)
        dims, widths = check_dims(dims, 1024), check_widths(widths)
        require(isinstance(seeds, int) and seeds >= 2, "seeds", "an integer ≥ 2", seeds)
        self.dims, self.measured = dims, {}
        small = [dim for dim in dims if dim <= 32]
        coupled = Coupled(sigma, widths[-1], max(small, default=3))
        self.laws, self.crude = [], []
        for dim in dims:
            problem = SingleIndex(dim, sigma)
            # Half of the axis of the other explorers: the loss is then at a third.
            until = horizon(sigma, dim) / 2
            law = fluctuation_law(problem, until * np.linspace(0, 1, 9), tol=0.02)
            self.laws.append(float(np.max(law.function)))
            self.crude.append(2 * growth_rate(problem) * until / np.log(10))
            if dim in small:
                runs = [
                    [coupled.run(m, dim, seed).function for seed in range(seeds)] for m in widths
                ]
                half = np.asarray(runs)[..., : len(runs[0][0]) // 2 + 1]
                tops = half.mean(axis=1).max(axis=-1)
                self.measured[dim] = (widths, tops.tolist())
        self.limit = None
        if sigma.parity == "even" and sigma.information_exponent >= 3:
            self.limit = float(large_dimension_law(sigma, np.linspace(0, 0.2, 40)).function.max())
        self.sliders = [
            Slider("dimension d", dims, len(dims) // 2),
            Slider("gap ε", [0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01], 2),
        ]

    def scene(self, dim: int, eps: int | float) -> Scene:
        """E‖u‖² against m with ε², and the width required against d."""
        law = self.laws[self.dims.index(dim)]
        need = law / eps**2
        m = np.geomspace(1, 1e5, 6)
        curves = [
            Curve("exact 1/m law", m, law / m),
            Curve("goal ε²", [1.0, 1e5], [eps**2] * 2, "line", "faint"),
            Curve("width that is needed", [need], [eps**2], "dots", "target"),
        ]
        if dim in self.measured:
            curves.append(Curve("networks", *self.measured[dim], "dots", "finite"))
        asked = [
            Curve(
                "Gronwall",
                self.dims,
                [c - 2 * np.log10(eps) for c in self.crude],
                "dashed",
                "other",
            ),
            Curve("exact 1/m law", self.dims, np.log10(np.array(self.laws) / eps**2)),
            Curve("this d", [dim], [np.log10(need)], "dots", "target"),
        ]
        if self.limit:
            row = [np.log10(self.limit / eps**2)] * 2
            ends = [self.dims[0], self.dims[-1]]
            asked.append(Curve("d → ∞", ends, row, "dashed", "theory"))
        place = self.dims.index(dim)
        text = (
            f"d = {dim}, ε = {eps:g}: by the law {need:.0f} neurons are enough; Gronwall's bound asks "
            f"for 10 to the power {self.crude[place] - 2 * np.log10(eps):.0f}."
        )
        return Scene(
            [
                Panel("m", "E‖u‖², largest over time", (1.0, 1e5), (1e-5, 1.5), curves, "xy"),
                Panel(
                    "d",
                    "log₁₀ of the width",
                    (0.9 * self.dims[0], 1.1 * self.dims[-1]),
                    (1.0, 1e4),
                    asked,
                    "xy",
                ),
            ],
            text,
        )


def widths(
    dims: Sequence[int] = (8, 16, 32, 64),
    widths: Sequence[int] = (8, 32, 128),
    activation: Activation | None = None,
    seeds: int = 8,
) -> VBox:
    """The width diagram; needs a kernel. Arguments: `Widths`."""
    return live(Widths(dims, widths, activation, seeds))
