"""What a page says of itself to search engines and to sites that show a link to it.

A picture and an address in it must be absolute, so that they are right only once `html.baseurl` is
set in `_config.yml`; then the site also gets a list of its pages, `sitemap.xml`, and a `robots.txt`
that names it.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes

CARD = "_static/social_card.png"
CARD_SIZE = (1200, 630)
CARD_ALT = "Paths of particles that leave the equator of the sphere for its poles, against time."
LONGEST = 200
SIGNS = {r"\sqrt ": "√", "^*": "*", r"\infty": "∞", r"\sigma": "σ"}


def description(doctree: nodes.document) -> str:
    """The first sentence that can be read without LaTeX, and those that follow it, if they fit."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        for command, sign in SIGNS.items():
            text = text.replace(command, sign)
        sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z*])", text)
        readable = [not re.search(r"[\\{}]", sentence) for sentence in sentences]
        if any(readable):
            first = readable.index(True)
            last = first + 1
            while last < len(sentences) and readable[last]:
                if len(" ".join(sentences[first : last + 1])) > LONGEST:
                    break
                last += 1
            return " ".join(sentences[first:last])
    return ""


def tags(site: str, title: str, text: str, image: str, address: str) -> str:
    """The elements for the head of a page; what is empty is left out."""
    values = {
        "description": text,
        "og:title": title,
        "og:description": text,
        "og:type": "article",
        "og:site_name": site,
        "og:url": address,
        "og:image": image,
        "og:image:width": str(CARD_SIZE[0]),
        "og:image:height": str(CARD_SIZE[1]),
        "og:image:alt": CARD_ALT,
        "twitter:card": "summary_large_image",
    }
    return "".join(
        f'\n    <meta {"property" if ":" in name and "twitter" not in name else "name"}="{name}" '
        f'content="{escape(value, quote=True)}" />'
        for name, value in values.items()
        if value
    )


def _add(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is None:
        return  # the index and the search have no text of their own
    site, base = app.config.html_title, app.config.html_baseurl
    text, address = description(doctree), context["pageurl"] or ""
    if page == app.config.root_doc:
        context["title"] = "Welcome"  # the site's title follows in any case
        image = f"{base.rstrip('/')}/{CARD}" if base else CARD
        app.mflib_index = tags(site, site, text, image, address)
    image = f"{base.rstrip('/')}/{CARD}" if base else context["pathto"](CARD, 1)
    title = site if page == app.config.root_doc else app.env.titles[page].astext()
    context["metatags"] += tags(site, title, text, image, address)


def _index(app: Any, failure: Exception | None) -> None:
    """The site's own address leads to the first page; links are often to it, so it has metadata."""
    if failure or not app.mflib_index:
        return  # not built, or only other pages were
    first = app.builder.get_target_uri(app.config.root_doc)
    Path(app.outdir, "index.html").write_text(
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8" />\n'
        f"    <title>{escape(app.config.html_title)}</title>{app.mflib_index}\n"
        f'    <meta http-equiv="refresh" content="0; url={first}" />\n  </head>\n'
        f'  <body><a href="{first}">{escape(app.config.html_title)}</a></body>\n</html>\n',
        encoding="utf-8",
    )


def _sitemap(app: Any, failure: Exception | None) -> None:
    base = app.config.html_baseurl.rstrip("/")
    if failure or not base:
        return
    pages = sorted(app.builder.get_target_uri(name) for name in app.env.found_docs)
    rows = "".join(f" <url><loc>{escape(f'{base}/{page}')}</loc></url>\n" for page in pages)
    Path(app.outdir, "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}</urlset>\n',
        encoding="utf-8",
    )
    Path(app.outdir, "robots.txt").write_text(
        f"User-agent: *\nAllow: /\nSitemap: {base}/sitemap.xml\n", encoding="utf-8"
    )


def setup(app: Any) -> dict[str, bool]:
    app.mflib_index = ""
    app.connect("html-page-context", _add)
    app.connect("build-finished", _sitemap)
    app.connect("build-finished", _index)
    return {"parallel_read_safe": True}
