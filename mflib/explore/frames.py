"""Flip books: sliders over pictures, without a kernel.

The frames are drawn when the chapter runs and stored with the page; the slider, linked to them in the
browser, chooses which one is shown.
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._check import require


def flip_book(
    draw: Callable[[Axes, Any], str],
    values: Sequence,
    *,
    label: str,
    form: Callable[[Any], str] = "{:.3g}".format,
    start: int = 0,
    size: tuple[float, float] = (6.4, 3.6),
) -> widgets.VBox:
    """A slider over `values` that shows one picture for each, without a kernel.

    **Arguments**

    - `draw(ax, value)` draws the picture for one value on empty axes, and returns a sentence that says
      what is seen: the picture's text for those who cannot see it. Fix the limits of the axes, or
      they jump from frame to frame.
    - `label`: name of the quantity, in plain text (a browser does not typeset it).
    - `form(value)`: the value as shown at the slider. `start`: index of the first picture shown.
    - `size`: of the picture, in inches.

    **Raises** `ValueError` for fewer than two values, a `start` that is not the index of one, or a
    `draw` that returns no sentence.
    """
    values = list(values)
    require(len(values) >= 2, "values", "at least two values", len(values))
    require(0 <= start < len(values), "start", f"from 0 to {len(values) - 1}", start)
    frames = [_frame(draw, value, size) for value in values]
    slider = widgets.SelectionSlider(
        options=[(form(value), i) for i, value in enumerate(values)],
        index=start,
        description=label,
        style={"description_width": "initial"},
        layout=widgets.Layout(width="95%", max_width="36rem"),
    )
    pages = widgets.Stack(frames, selected_index=start)
    widgets.jslink((slider, "index"), (pages, "selected_index"))
    return widgets.VBox([slider, pages])


def _frame(draw, value, size) -> widgets.HTML:
    fig, ax = plt.subplots(figsize=size)
    text = draw(ax, value)
    require(isinstance(text, str) and text.strip(), "draw", "a function returning a sentence", text)
    plt.close(fig)
    # An HTML widget, since an Image widget cannot carry a text.
    return widgets.HTML(picture(fig, text))


def picture(fig: Figure, text: str) -> str:
    """`fig` as an HTML image that carries its text."""
    data = io.BytesIO()
    # A third of the bytes of PNG for the same lines and letters.
    fig.savefig(data, format="webp", pil_kwargs={"quality": 80})
    source = base64.b64encode(data.getvalue()).decode()
    alt = html.escape(text, quote=True)
    return f'<img alt="{alt}" src="data:image/webp;base64,{source}" style="max-width: 100%">'
