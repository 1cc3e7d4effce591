"""What a slider shows, as plain numbers: drawn here by matplotlib, in the browser by explore.js."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .. import plotting

COLOURS = {
    "infinite": plotting.INFINITE,
    "finite": plotting.FINITE,
    "theory": plotting.THEORY,
    "target": plotting.TARGET,
    "other": plotting.OTHER,
    "faint": plotting.FAINT,
}
_STYLES = {"line": "-", "dashed": "--", "dots": "o"}


class Slider(NamedTuple):
    """A quantity and its `values`; `start` is the index of the first one shown."""

    label: str
    values: Sequence[Any]
    start: int
    form: str = "{:g}"

    def shown(self) -> list[str]:
        """The values as text."""
        return [self.form.format(value) for value in self.values]


class Curve(NamedTuple):
    """Points (x, y), joined or not: `look` is line, dashed or dots. No label, no legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    look: str = "line"
    colour: str = "infinite"


class Panel(NamedTuple):
    """One pair of axes; `log` names those that are logarithmic: "", "x", "y" or "xy"."""

    x: str
    y: str
    xlim: tuple[int | float, int | float]
    ylim: tuple[int | float, int | float]
    curves: Sequence[Curve]
    log: str = ""


class Scene(NamedTuple):
    """Panels side by side, and a sentence for those who cannot see them."""

    panels: Sequence[Panel]
    text: str


@runtime_checkable
class Explorer(Protocol):
    """Sliders, and what they show: `scene` takes one value of each slider."""

    call: str
    sliders: Sequence[Slider]

    def scene(self, *values: Any) -> Scene:
        """The pictures at these values."""
        ...


def span(*rows: Any) -> tuple[float, float]:
    """Limits of an axis that shows all of `rows`, a twentieth of the range free at both ends."""
    low, high = min(np.min(row) for row in rows), max(np.max(row) for row in rows)
    room = 0.05 * (high - low) or 1.0
    return float(low - room), float(high + room)


def draw(scene: Scene, fig: Figure | None = None) -> Figure:
    """The scene as a figure, new or `fig`, an earlier one of the same explorer.

    Margins are fixed and axes are used again: a layout engine, or new ticks, would take most of the time.
    """
    count = len(scene.panels)
    if fig is None:
        fig = Figure(figsize=(3.7 * count, 3.0), dpi=100, layout="none")
        fig.subplots_adjust(0.21 / count, 0.17, 1 - 0.04 / count, 0.97, wspace=0.32)
        for ax, panel in zip(np.ravel(fig.subplots(1, count)), scene.panels, strict=True):
            _prepare(ax, panel)
    for ax, panel in zip(fig.axes, scene.panels, strict=True):
        for line in [*ax.lines]:
            line.remove()
        for curve in panel.curves:
            ax.plot(
                curve.x,
                curve.y,
                _STYLES[curve.look],
                color=COLOURS[curve.colour],
                label=curve.label or None,
                ms=4,
                lw=1.8,
            )
        ax.set(xlabel=panel.x, ylabel=panel.y, xlim=panel.xlim, ylim=panel.ylim)
        if any(curve.label for curve in panel.curves):
            ax.legend(fontsize=8, frameon=False, loc="best")
    return fig


def _prepare(ax: Axes, panel: Panel) -> None:
    """What every scene of an explorer has in common."""
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        # Few labels, since they take most of the time.
        if name in panel.log:
            ax.set(**{f"{name}scale": "log"})
            axis.set_major_locator(LogLocator(numticks=6))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(MaxNLocator(5))
    ax.spines[["top", "right"]].set_visible(False)
