"""Draw the picture that sites show beside a link to the book, `book/_static/social_card.png`.

    python tools/social_card.py

The paths are those of particles in the infinite-width limit that mflib computes: they start near
the equator and leave it for the two poles.
"""

from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import yaml

import mflib
from mflib import plotting

ROOT = Path(__file__).parents[1]
SIZE, DPI = (1200, 630), 100
PARTICLES = 140
END = 16.0


def draw(title: str) -> plt.Figure:
    """The card with that title."""
    problem = mflib.SingleIndex(32, mflib.Activation.hermite(4))
    start = mflib.sample_sphere(jax.random.key(0), PARTICLES, 32)
    times = np.linspace(0, END, 161)
    overlaps = np.asarray(mflib.solve_network(problem, start, times).particles[:, :, 0])
    fig = plt.figure(figsize=np.array(SIZE) / DPI, dpi=DPI, layout="none", facecolor="#0b1726")
    ax = fig.add_axes((0.44, 0.04, 0.56, 0.92))
    ax.axis("off")
    shades = plt.get_cmap("plasma")(0.25 + 0.7 * np.abs(overlaps[len(times) // 2]))
    for path, shade in zip(overlaps.T, shades, strict=True):
        ax.plot(times, path, color=shade, lw=1.3, alpha=0.75)
    ax.set(xlim=(0, END), ylim=(-1.03, 1.03))
    words = title.replace(" of ", " of\n").replace(", ", ",\n")
    fig.text(0.04, 0.62, words, color="white", size=40, weight="bold", va="center")
    fig.text(
        0.04, 0.16, "Wide networks against their\ninfinite-width limit", color="white", size=22
    )
    return fig


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    plotting.use_style()
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    draw(title).savefig(ROOT / "book" / "_static" / "social_card.png", dpi=DPI)


if __name__ == "__main__":
    main()
