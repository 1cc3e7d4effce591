"""Sliders without a kernel: an explorer's pictures at a grid of values, stored with the page.

`book/_static/explore.js` reads them, makes sliders of the browser's own, and draws.
"""

import html
import itertools
import json
import math
from collections.abc import Hashable
from typing import Any

import numpy as np
from IPython.display import HTML, display

from .._check import require
from .designer import Designer
from .scene import Explorer, Panel, draw

# A page is sent to telephones: what is larger belongs to a smaller grid of sliders.
_LARGEST = 150_000


class _Table:
    """Equal things are stored once, and named by their number."""

    def __init__(self):
        self.rows, self._places = [], {}

    def place(self, row: Any, key: Hashable) -> int:
        if key not in self._places:
            self._places[key] = len(self.rows)
            self.rows.append(row)
        return self._places[key]


def page(explorer: Explorer) -> HTML:
    """`explorer` for the static page: HTML that holds all its pictures as numbers.

    In the next cell call `first_picture`, for paper and for readers without scripts.

    A `Designer` is computed in the browser, at any position of its sliders. Elsewhere, as in
    JupyterLab, the output is a line that names the live version.

    **Raises** `ValueError` if the pictures take more than 150 kB: give the explorer fewer values.
    """
    data = json.dumps(contents(explorer), ensure_ascii=False, separators=(",", ":"))
    size = len(data.encode())
    require(size <= _LARGEST, "explorer", f"at most {_LARGEST} bytes of pictures", size)
    call = html.escape(f"mflib.explore.{explorer.call}()")
    return HTML(
        '<div class="mflib-explore"><script type="application/json">'
        + data.replace("</", "<\\/")
        + f'</script><p class="mflib-explore-note">With a kernel, <code>{call}</code> is the live '
        "version of this picture: any values, computed as you move.</p></div>"
    )


def first_picture(explorer: Explorer) -> None:
    """Show the first picture of a `page` as a figure, and print it in words.

    On a screen the sliders in the cell above take its place, and its caption is theirs.
    """
    scene = explorer.scene(*(one.values[one.start] for one in explorer.sliders))
    print(scene.text)
    display(draw(scene))


def contents(explorer: Explorer) -> dict[str, Any]:
    """What explore.js reads.

    `sliders`: label, values as shown, start. For a designer: the numbers `values` of each slider, and
    `constant`. Else `scenes`, the last slider fastest: a text, and for each panel the number of its
    `frame` (labels, limits, log) and of its `curves` (label, look, colour, numbers of two `rows`).
    """
    sliders = [
        {"label": one.label, "shown": one.shown(), "start": one.start} for one in explorer.sliders
    ]
    if isinstance(explorer, Designer):
        for shown, one in zip(sliders, explorer.sliders, strict=True):
            shown["values"] = list(one.values)
        return {"call": explorer.call, "sliders": sliders, "constant": explorer.constant}
    rows, curves, frames = _Table(), _Table(), _Table()

    def numbers(values, limits, log):
        row = rounded(values, limits, log)
        return rows.place(row, tuple(row))

    scenes = []
    for values in itertools.product(*(one.values for one in explorer.sliders)):
        scene = explorer.scene(*values)
        panels = []
        for panel in scene.panels:
            frame = [panel.x, panel.y, *_limits(panel), panel.log]
            drawn = []
            for curve in panel.curves:
                x = numbers(curve.x, panel.xlim, "x" in panel.log)
                y = numbers(curve.y, panel.ylim, "y" in panel.log)
                entry = [curve.label, curve.look, curve.colour, x, y]
                drawn.append(curves.place(entry, tuple(entry)))
            panels.append([frames.place(frame, json.dumps(frame)), drawn])
        scenes.append([scene.text, panels])
    return {
        "call": explorer.call,
        "sliders": sliders,
        "frames": frames.rows,
        "curves": curves.rows,
        "rows": rows.rows,
        "scenes": scenes,
    }


def _limits(panel: Panel) -> list[list[int | float]]:
    return [[float(f"{x:.4g}") for x in limits] for limits in (panel.xlim, panel.ylim)]


def rounded(values: Any, limits: tuple[int | float, int | float], log: bool) -> list[int | float]:
    """To a thousandth of the axis (three digits if logarithmic): less than a pixel, and stable.

    The last digits of a computed number differ between processors, and stored outputs must not.
    """
    if log:
        # Below the axis nothing is seen, and what is zero but for rounding has no stable digits.
        row = [float(f"{max(x, limits[0] / 10):.3g}") for x in values]
    else:
        digits = math.ceil(3 - math.log10(limits[1] - limits[0]))
        row = [round(float(x), digits) + 0.0 for x in np.asarray(values, float)]
    return [int(x) if x == int(x) else x for x in row]
