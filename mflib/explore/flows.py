"""The infinite-width flow: loss over time, and the law of the overlaps (chapter 3)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from ipywidgets import VBox

from .._check import require
from ..hermite import Activation
from .limits import Limit, check_activation, check_dims, horizon, padded, solve_limit
from .live import live
from .scene import Curve, Panel, Scene, Slider

_FRAMES = 13


class Flow:
    r"""Infinite width, from the uniform start: sliders for d, the activation, and time.

    **Arguments**

    - `dims`: dimensions to choose from, integers from 3 to $10^6$.
    - `activations`: a mapping of names to activations, or one `Activation`; `None`: $h_2, h_3, h_4,
      h_6$.

    Solved for all times at once when d or σ changes, so that the time slider only redraws.
    **Raises** `ValueError` for bad arguments.
    """

    call = "flow"

    def __init__(
        self,
        dims: Sequence[int] = (16, 64, 256, 1024, 4096),
        activations: Mapping[str, Activation] | Activation | None = None,
    ):
        dims = check_dims(dims, 1e6)
        if activations is None:
            activations = {f"h_{k}": Activation.hermite(k) for k in (2, 3, 4, 6)}
        elif not isinstance(activations, Mapping):
            activations = {"given": check_activation(activations)}
        require(len(activations) > 0, "activations", "at least one activation", "none")
        degree = max(check_activation(one).degree for one in activations.values())
        self.activations = {name: padded(one, degree) for name, one in activations.items()}
        names = list(self.activations)
        shares = np.linspace(0, 1, _FRAMES).round(4).tolist()
        self.sliders = [
            Slider("dimension d", dims, len(dims) // 2),
            Slider("activation", names, min(2, len(names) - 1), "{}"),
            Slider("time, share of the axis", shares, 5, "{:.2f}"),
        ]
        # Nothing is left to compile, whichever method the activations need.
        for name in names:
            self.limit(dims[0], name)

    @lru_cache(maxsize=64)  # noqa: B019  (an explorer lives as long as the notebook)
    def limit(self, dim: int, name: str) -> Limit:
        """The limit on the whole axis of time."""
        sigma = self.activations[name]
        times = horizon(sigma, dim) * np.linspace(0, 1, 4 * _FRAMES - 3)
        return solve_limit(sigma, dim, times)

    def scene(self, dim: int, name: str, share: int | float) -> Scene:
        """Loss, and the share of particles below each overlap."""
        limit = self.limit(dim, name)
        i = round(share * (limit.times.size - 1))
        even = self.activations[name].parity == "even"
        lowest = 0.0 if even else -1.0
        alpha = np.linspace(lowest, 1, 41)
        now, before = (_below(limit, j, alpha, lowest) for j in (i, 0))
        half = float(np.interp(0.5, now, alpha))
        overlap = "|α|" if even else "α"
        text = (
            f"{name}, d = {dim}, t = {limit.times[i]:.3g}: the loss has fallen from "
            f"{limit.loss[0]:.3f} to {limit.loss[i]:.3f}; half of the particles have {overlap} below "
            f"{half:.2f}."
        )
        top = 1.05 * float(limit.loss[0])
        dot = Curve("", [limit.times[i]], [limit.loss[i]], "dots", "target")
        return Scene(
            [
                Panel(
                    "t",
                    "loss",
                    (0.0, float(limit.times[-1])),
                    (0.0, top),
                    [Curve("", limit.times, limit.loss), dot],
                ),
                Panel(
                    overlap,
                    "share of particles below",
                    (lowest, 1.0),
                    (0.0, 1.05),
                    [
                        Curve("at the start", alpha, before, "dashed", "faint"),
                        Curve("now", alpha, now),
                    ],
                ),
            ],
            text,
        )


def _below(limit: Limit, i: int, alpha: np.ndarray, lowest: float) -> np.ndarray:
    """Distribution function of the overlap at time i: the flow keeps the order of the particles."""
    share = np.cumsum(limit.weights) - limit.weights / 2
    known = np.concatenate([[lowest], limit.overlaps[i], [1.0]])
    return np.interp(alpha, known, np.concatenate([[0.0], share, [1.0]]))


def flow(
    dims: Sequence[int] = (16, 64, 256, 1024, 4096),
    activations: Mapping[str, Activation] | Activation | None = None,
) -> VBox:
    """The infinite-width flow, solved live; needs a kernel. Arguments: `Flow`."""
    return live(Flow(dims, activations))
