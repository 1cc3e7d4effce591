"""Sliders (the only package that imports ipywidgets).

With a kernel, `flow()` and its like compute live. Without one, `page(Flow())` stores the same
pictures for a grid of slider positions, and a script of the site shows them (`book/_static/explore.js`);
`flip_book` does so for a picture of your own. `import mflib.explore` is all that is needed.
"""

from .designer import Designer as Designer, activation as activation
from .diagrams import Widths as Widths, widths as widths
from .flows import Flow as Flow, flow as flow
from .frames import flip_book as flip_book
from .gaps import Gap as Gap, gap as gap
from .hessians import Hessian as Hessian, hessian as hessian
from .pages import first_picture as first_picture, page as page

__all__ = [
    *("activation", "flow", "gap", "hessian", "widths", "flip_book", "page", "first_picture"),
    *("Designer", "Flow", "Gap", "Hessian", "Widths"),
]
