"""A line at the end of every chapter: how long its last run took, on what and when."""

import json
from html import escape
from pathlib import Path
from typing import Any


def sentence(record: dict[str, Any]) -> str:
    """One chapter's record, as `tools/execute.py` stores it, in words."""
    cores = f"{record['cores']} core{'s' if record['cores'] > 1 else ''}"
    device = "" if record["device"] == "cpu" else f" and {record['device']}"
    return (
        f"Executed in {record['seconds']} s on {cores}{device}, Python {record['python']}, "
        f"JAX {record['jax']}, NumPy {record['numpy']}; {record['date']}."
    )


def _read(app: Any) -> None:
    path = Path(app.srcdir) / "book" / "data" / "execution.json"
    app.mflib_runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _append(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if record := app.mflib_runs.get(page.removeprefix("book/")):
        context["body"] += f'<p class="mflib-execution">{escape(sentence(record))}</p>'


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", _read)
    app.connect("html-page-context", _append)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
