"""One look for every figure of the book (the only file that imports matplotlib)."""

import matplotlib as mpl
import numpy as np

# Okabe and Ito's colour-blind safe palette: the same colour means the same thing on every page.
INFINITE = "#0072B2"  # the infinite-width limit
FINITE = "#D55E00"  # networks of finite width
THEORY = "#000000"  # a formula or a bound
TARGET = "#009E73"  # the target, and what points towards it
OTHER = "#CC79A7"  # whatever is contrasted with the above
FAINT = "#999999"  # guides to the eye


def use_style() -> None:
    """Apply the book's style to every figure drawn afterwards."""
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "mathtext.fontset": "cm",
        }
    )


def shades(n: int) -> list:
    """n colours from dark to light for an ordered quantity (d, m or time), readable in grey."""
    return [mpl.colormaps["viridis"](x) for x in np.linspace(0.0, 0.85, max(n, 2))][:n]
