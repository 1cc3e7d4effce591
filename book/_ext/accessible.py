"""Sphinx extension: what a screen reader stumbles over in the pages that others' extensions write."""

from typing import Any

from docutils import nodes
from sphinx_design.dropdown import dropdown_title

# A list of references is announced as one only if its entries have the role of a list's.
ENTRY, LISTED = 'role="doc-biblioentry"', 'role="listitem"'


def unlink_titles(app: Any, doctree: Any, page: str) -> None:
    """Leave of a link in a collapsible block's title only its text: the title is a button already."""
    for title in doctree.findall(dropdown_title):
        for link in list(title.findall(nodes.reference)):
            link.replace_self(link.children)


def list_references(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    if "body" in context:
        context["body"] = context["body"].replace(ENTRY, LISTED)


def setup(app: Any) -> dict[str, bool]:
    app.connect("doctree-resolved", unlink_titles, priority=900)  # after references have their text
    app.connect("html-page-context", list_references)
    app.add_js_file("sliders.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
