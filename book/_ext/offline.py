"""Sphinx extension: a site that asks nobody for anything.

Formulas and sliders run from the files that `tools/runtime.py` fetched, published as `vendor/`.
Where it could not fetch them, MathJax and the widgets come from public copies, and the build says so.
"""

from pathlib import Path
from typing import Any

from sphinx.util import logging

# Builds are run from the project's folder, also that of a copy, which has no files of its own.
RUNTIME = Path.cwd() / "_build" / "runtime"

# Jupyter's embedder hands labels to MathJax in the manner of MathJax's version 2, a call that this makes
# one of version 3. Both scripts load before the embedder begins, which is when the page has loaded.
BRIDGE = (
    'addEventListener("DOMContentLoaded", () => { if (window.MathJax) MathJax.Hub ??= '
    "{ Queue: (call) => MathJax.typesetPromise([call[2]]) }; });"
)


def _configure(app: Any, config: Any) -> None:
    _without_thebe(app)
    # The theme complains in the browser's console when nothing is said about it.
    config.html_context.setdefault("default_mode", "auto")
    if not (RUNTIME / "stamp").is_file():
        logging.getLogger(__name__).info(
            "offline: no files in _build/runtime (see tools/runtime.py); the pages load public copies"
        )
        return
    config.html_extra_path = [*config.html_extra_path, str(RUNTIME / "site")]
    config.mathjax_path = "../vendor/tex-svg-full.js"
    config.nb_ipywidgets_js = {"../vendor/embed.js": {"defer": "defer"}}


def _without_thebe(app: Any) -> None:
    """Take away what would load code from another site, to run cells there.

    Jupyter Book has the extension always; its two scripts also define one name twice.
    """
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__.split(".")[0] == "sphinx_thebe":
                app.disconnect(listener.id)
    sheets = app.registry.css_files
    sheets[:] = [sheet for sheet in sheets if "sphinx-thebe.css" not in sheet]


def setup(app: Any) -> dict[str, bool]:
    app.connect("config-inited", _configure, priority=100)  # before MyST-NB reads its settings
    app.add_js_file(None, body=BRIDGE)
    return {"parallel_read_safe": True}
