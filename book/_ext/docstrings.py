"""Sphinx extension: docstrings in the notation of the chapters.

The library's docstrings are written to be read in the source, as the chapters are: formulas
between dollars, code between single backticks, displayed formulas indented. Sphinx expects its own
markup, so they are translated while the page *mflib API* is built.
"""

import re
from itertools import groupby
from typing import Any

import jax
from sphinx.util.typing import stringify_annotation

INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\$(?P<formula>[^$]+)\$|(?P<bold>\*\*\w[^*\n]*\*\*)|(?P<markup>[|*]|_(?!\w))"
)


def translate(lines: list[str]) -> list[str]:
    """Translate one docstring, given and returned as a list of lines."""
    translated: list[str] = []
    for displayed, group in groupby(
        zip(lines, _displayed(lines), strict=True), key=lambda pair: pair[1]
    ):
        block = [line for line, _ in group]
        if displayed:
            translated += ["::", "", *block, ""]
        else:
            translated += INLINE.sub(_marked_up, "\n".join(block)).split("\n")
    return translated


def _displayed(lines: list[str]) -> list[bool]:
    """Which lines are displayed formulas: indented after an empty line, outside a list."""
    marks: list[bool] = []
    for number, line in enumerate(lines):
        begins = (
            number > 1
            and not lines[number - 1].strip()
            and (marks[number - 2] or not lines[number - 2].startswith((" ", "- ")))
        )
        marks.append(line.startswith("    ") and bool(begins or (marks and marks[-1])))
    return marks


def _marked_up(found: re.Match[str]) -> str:
    # Escaped spaces print nothing; Sphinx wants them where a literal touches a word, `block`×m.
    if found["code"]:
        return f"\\ ``{' '.join(found['code'].split())}``\\ "
    if found["formula"]:
        return f"\\ :math:`{' '.join(found['formula'].split())}`\\ "
    return found["bold"] or f"\\{found['markup']}"  # a character that would be read as markup


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = translate(lines)


def _signature(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    arguments: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    for text, alias in app.mflib_aliases.items():
        arguments = arguments and arguments.replace(text, alias)
    return arguments, returned


def setup(app: Any) -> dict[str, bool]:
    jax.Array.__name__ = "Array"  # annotations quote this name, which is that of a private module
    from mflib._check import Scalar, Values

    # Unions are shown by the names that the source gives them.
    app.mflib_aliases = {
        stringify_annotation(Values, "smart"): "Values",
        stringify_annotation(Scalar, "smart"): "Scalar",
    }
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True}
