"""A box at the end of every page that says how to cite the book and the paper, as BibTeX.

It is an HTML `details` element and needs no script. The book's data are those of `CITATION.cff`, the
paper's those of `references.bib`, both in one place only.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

import yaml

PAPER = "GlasgowWuBruna2025"


def book_entry(citation: dict[str, Any], address: str = "") -> str:
    """The book as a BibTeX entry, from the fields of `CITATION.cff`."""
    date = citation["date-released"]
    fields = {
        "title": citation["title"],
        "author": f"{{{citation['authors'][0]['name']}}}",  # one name: BibTeX must not invert it
        "year": date.year,
        "month": date.month,
        "version": citation["version"],
        "url": address,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return "@misc{mflib,\n" + ",\n".join(lines) + "\n}"


def paper_entry(references: str, key: str = PAPER) -> str:
    """One entry of a BibTeX file as it stands there.

    Raises:
        ValueError: No entry has that key.
    """
    found = re.search(rf"^@\w+\{{{re.escape(key)},\n.*?^\}}", references, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"references: an entry {key} was expected, there is none")
    return found[0]


def box(entries: list[str]) -> str:
    text = escape("\n\n".join(entries), quote=False)
    return (
        '<details class="mflib-cite"><summary>Cite this</summary>'
        f'<pre tabindex="0" aria-label="BibTeX entries">{text}</pre></details>'
    )


def _read(app: Any) -> None:
    root = Path(app.srcdir)
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    references = (root / "book" / "references.bib").read_text(encoding="utf-8")
    entries = [book_entry(citation, app.config.html_baseurl), paper_entry(references)]
    app.mflib_cite = box(entries)


def _append(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None:
        context["body"] += app.mflib_cite


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", _read)
    app.connect("html-page-context", _append)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
