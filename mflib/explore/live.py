"""Sliders with a kernel: each move computes the picture anew."""

import gc

import ipywidgets as widgets

from .frames import picture
from .scene import Explorer, draw


def live(explorer: Explorer) -> widgets.VBox:
    """The sliders of `explorer` above the picture that they set."""
    sliders = [
        widgets.SelectionSlider(
            options=list(zip(slider.shown(), slider.values, strict=True)),
            index=slider.start,
            description=slider.label,
            style={"description_width": "initial"},
            layout=widgets.Layout(width="95%", max_width="36rem"),
            continuous_update=True,
        )
        for slider in explorer.sliders
    ]
    shown = widgets.HTML()
    drawn = []

    def show(change=None):
        scene = explorer.scene(*(slider.value for slider in sliders))
        drawn[:] = [draw(scene, *drawn)]
        shown.value = picture(drawn[0], scene.text)

    for slider in sliders:
        slider.observe(show, "value")
    show()
    # Compilation leaves millions of objects, and looking through them takes half a second: not during a move.
    gc.collect()
    gc.freeze()
    return widgets.VBox([*sliders, shown])
