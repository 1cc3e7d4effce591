"""Figures as lossless WebP where that is smaller than the PNG which the chapters store.

The notebooks, which readers download, keep their PNG; the pages lose nothing but bytes.
"""

from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def convert(folder: Path) -> dict[str, str]:
    """Replace the PNG files of a folder that WebP makes smaller: old name to new name."""
    renamed = {}
    for old in sorted(folder.glob("*.png")):
        new = old.with_suffix(".webp")
        with Image.open(old) as picture:
            picture.save(new, lossless=True, quality=100, method=4, exact=True)
        if new.stat().st_size < old.stat().st_size:
            old.unlink()
            renamed[old.name] = new.name
        else:
            new.unlink()
    return renamed


def _finish(app: Any, failure: Exception | None) -> None:
    folder = Path(app.outdir, "_images")
    if failure or not folder.is_dir():
        return
    before = sum(path.stat().st_size for path in folder.iterdir())
    renamed = convert(folder)
    after = sum(path.stat().st_size for path in folder.iterdir())
    for page in Path(app.outdir).rglob("*.html"):
        text = old_text = page.read_text(encoding="utf-8")
        for old, new in renamed.items():
            text = text.replace(f"_images/{old}", f"_images/{new}")
        if text != old_text:
            page.write_text(text, encoding="utf-8")
    LOGGER.info("images: %d of %d kB left as WebP", after // 1000, before // 1000)


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
