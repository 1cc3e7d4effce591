"""Sphinx extension: where in a page the cells stand that are on the slides.

A comment before and one after each cell with the tag `slide` or `slide-more`, which a reader does not see,
let `tools/slides.py` cut the slides out of the pages. The notebooks themselves stay as they are.
"""

import json
from typing import Any

TAGS = ("slide", "slide-more")


def marked(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook with the comments."""
    cells = []
    for cell in notebook["cells"]:
        if not any(tag in cell["metadata"].get("tags", []) for tag in TAGS):
            cells.append(cell)
            continue
        mark = {"cell_type": "markdown", "metadata": {}}
        cells += [
            mark | {"source": f"<!-- slide-cell {cell['id']} -->", "id": f"{cell['id']}-0"[-64:]},
            cell,
            mark | {"source": "<!-- slide-cell-end -->", "id": f"{cell['id']}-1"[-64:]},
        ]
    return notebook | {"cells": cells}


def _mark(app: Any, name: str, source: list[str]) -> None:
    if app.env.doc2path(name).endswith(".ipynb"):
        source[0] = json.dumps(marked(json.loads(source[0])))


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
