"""Write a deck of slides for each chapter, from its page: `_build/slides/NAME.html`.

    python tools/slides.py [--site _build/html] [--output _build/slides]

What is on a slide stands in the chapter's own cells, which the tags `slide` and `slide-more` choose; cut out
of the built pages, it has the numbers, references and pictures of the book. Speaker notes are the cells with
the tag `notes`. Each deck is one file that needs nothing else: reveal.js, MathJax and pictures are in it.
"""

import argparse
import base64
import copy
import html
import io
import json
import mimetypes
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup, Comment, NavigableString, Tag
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from PIL import Image

import execute
import plain
import runtime
from chapters import Chapter, chapters, write_whole

HERE = Path(__file__).parent
# What only a page can use: proofs and code that open, marks beside headings, and widgets.
LEFT_OUT = ("details:not(.hide)", ".headerlink", "script:not([type='application/json'])", "button")
# A picture that is not much wider than high stands beside the text, a wider one below it.
WIDE = 2.0


class SlidesError(Exception):
    """The slides cannot be made; the message says what is missing."""


@dataclass
class Slide:
    """What is on a slide, as HTML, and what is to be said."""

    section: str  # the heading that the slide stands under, for one without its own
    parts: list[Tag] = field(default_factory=list)
    notes: str = ""


def slides(chapter: Chapter, page: Path, labels: dict[str, str]) -> list[Slide]:
    """The slides of a chapter, cut out of its page.

    Raises:
        SlidesError: The page is not built, or not from this chapter.
    """
    if not page.is_file():
        raise SlidesError(f"{page} is missing: build the site first (make html)")
    article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article")
    shown = dict(_cells(article))
    found: list[Slide] = []
    for cell in execute.read(chapter.path).cells:
        tags = cell.metadata.get("tags", [])
        if "notes" in tags and found and not found[-1].notes:
            found[-1].notes = notes(plain.text(cell.source, labels))
        if not {"slide", "slide-more"} & set(tags):
            continue
        if cell.id not in shown:
            raise SlidesError(f"{page} does not hold the cell {cell.id}: build the site anew")
        section, parts = shown[cell.id]
        if "slide" in tags:
            found.append(Slide(section))
        found[-1].parts += [cleaned(part, page, "slide-code" in tags) for part in parts]
    return found


def _cells(article: Tag) -> Iterator[tuple[str, tuple[str, list[Tag]]]]:
    """By the cells' ids, the heading above each and its elements on the page."""
    heading, name, parts = "", "", []
    for node in _flat(article):
        if isinstance(node, Comment):
            if start := re.fullmatch(r" slide-cell (\S+) ", node):
                name, parts, above = start[1], [], heading
            elif node == " slide-cell-end ":
                yield name, (above, parts)
                name = ""
        elif isinstance(node, Tag):
            if name:
                parts.append(node)
            if re.fullmatch("h[1-6]", node.name):
                heading = _without(node, [".headerlink"]).decode_contents()


def _flat(node: Tag) -> Iterator[Tag | NavigableString]:
    """What stands in an article, sections opened up."""
    for child in node.children:
        if isinstance(child, Tag) and child.name == "section":
            yield from _flat(child)
        else:
            yield child


def _without(node: Tag, selectors: list[str] | tuple[str, ...]) -> Tag:
    node = copy.copy(node)
    for tag in node.select(", ".join(selectors)):
        tag.decompose()
    return node


def cleaned(part: Tag, page: Path, code: bool) -> Tag:
    """An element of a page as it is on a slide; of a code cell the source only if that is wanted."""
    if part.name == "details":
        return BeautifulSoup("", "html.parser")
    part = _without(part, LEFT_OUT)
    for hidden in part.select("details.hide"):
        hidden.replace_with(hidden.select_one(".cell_input") or "")
    if not code:
        for source in part.select(".cell_input"):
            source.decompose()
    for link in part.select("a.internal"):
        link.unwrap()  # to a page, which the deck is not
    for picture in part.select("img"):
        picture["src"] = embedded((page.parent / picture["src"]).resolve())
    for caption in part.select(".caption-text"):
        shorten(caption)
    for tag in [part, *part.select("[id]")]:
        del tag["id"]
    return part


def embedded(path: Path) -> str:
    kind, _ = mimetypes.guess_type(path.name)
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def shorten(caption: Tag) -> None:
    """Leave a caption's first sentence, formulas and all."""
    ended = False
    for node in list(caption.children):
        if ended:
            node.extract()
        elif type(node) is NavigableString and (end := re.search(r"[.?!](?=\s+[A-Z])", node)):
            node.replace_with(node[: end.end()])
            ended = True


def notes(text: str) -> str:
    """Speaker notes as HTML."""
    markdown = MarkdownIt("commonmark").enable("table")
    return markdown.use(dollarmath_plugin, renderer=_formula).render(text)


def _formula(source: str, options: dict[str, bool]) -> str:
    opening, closing = ("\\[", "\\]") if options["display_mode"] else ("\\(", "\\)")
    return f"{opening}{html.escape(source)}{closing}"


def section(slide: Slide) -> str:
    """A slide as an element of a deck."""
    body = BeautifulSoup("".join(map(str, slide.parts)), "html.parser")
    heading = body.find(re.compile("^h[1-6]$"))
    title = f"<h2>{slide.section}</h2>" if heading is None else str(heading.extract())
    pictures = body.select("img")
    beside = len(pictures) == 1 and _narrow(pictures[0]["src"]) and len(body.contents) > 1
    return (
        f'<section><div class="slide {"beside" if beside else "below"}">{title}'
        f'<div class="body">{body}</div></div><aside class="notes">{slide.notes}</aside></section>'
    )


def _narrow(address: str) -> bool:
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return picture.width < WIDE * picture.height


def deck(title: str, found: list[Slide], site: Path, config: dict[str, Any], parts: Path) -> str:
    """A chapter's slides as one file; `parts` holds what `tools/runtime.py` fetched."""
    sections = [section(slide) for slide in found]
    if "<h1" not in sections[0]:
        first = f"<h1>{html.escape(title)}</h1><p>{html.escape(config['title'])}</p>"
        sections.insert(0, f'<section><div class="slide">{first}</div></section>')
    static = site / "_static"
    styles = [parts / "slides" / "reveal.css", static / "pygments.css", static / "explore.css"]
    scripts = [parts / "slides" / "reveal.js", parts / "slides" / "notes.js", static / "explore.js"]
    styles, scripts = [*styles, HERE / "slides.css"], [*scripts, HERE / "slides.js"]
    # An unknown command is an error, which the tests see, and not words in red.
    tex = {
        "packages": {"[-]": ["noundefined"]},
        **config["sphinx"]["config"]["mathjax3_config"]["tex"],
    }
    mathjax = f"window.MathJax = {json.dumps({'tex': tex})};"
    mathjax += _read(parts / "site" / "vendor" / "tex-svg-full.js")
    return (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{''.join(map(_read, styles))}</style></head><body>"
        f'<div class="reveal measuring"><div class="slides">{"".join(sections)}</div></div>'
        f'<button type="button" id="notes-toggle" aria-pressed="false">Notes (T)</button>'
        f"<script>{mathjax}</script>{''.join(f'<script>{_read(path)}</script>' for path in scripts)}"
        "</body></html>\n"
    )


def _read(path: Path) -> str:
    """A style sheet or script, without what would end its element."""
    return re.sub(
        "</(script|style)", r"<\\/\1", path.read_text(encoding="utf-8"), flags=re.IGNORECASE
    )


def index(config: dict[str, Any], rows: list[tuple[str, str, int]]) -> str:
    """The page that leads to the decks, from their files, titles and numbers of slides."""
    items = "".join(
        f'<li><a href="{name}">{html.escape(title)}</a> ({count} slides)</li>'
        for name, title, count in rows
    )
    title = f"{html.escape(config['title'])}: slides"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body { font: 1.1rem sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }"
        f" li {{ margin: 0.4rem 0 }}</style></head><body><h1>{title}</h1><ul>{items}</ul>"
        "<p>Keys: arrows to move, <kbd>T</kbd> shows the speaker notes beside the slide, <kbd>S</kbd> opens"
        " them in a window, <kbd>O</kbd> shows all slides, <kbd>F</kbd> fills the screen.</p></body></html>\n"
    )


def write_all(root: Path, site: Path, output: Path) -> int:
    """Write the decks of the chapters that have slides, and the page that leads to them; their number.

    Raises:
        SlidesError: The site is not built, or what the decks run cannot be fetched.
    """
    try:
        parts = runtime.fetch()
    except runtime.NoRuntime as error:
        raise SlidesError(str(error)) from error
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    labels, rows = plain.names(root), []
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("*.html"):
        old.unlink()
    for chapter in chapters(root):
        if found := slides(chapter, site / "book" / chapter.page, labels):
            text = deck(chapter.title, found, site, config, parts)
            write_whole(output / chapter.page, text)
            rows.append((chapter.page, chapter.title, len(found)))
    write_whole(output / "index.html", index(config, rows))
    return len(rows)


def main() -> int:
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description="Write the chapters' slides from the built site.")
    parser.add_argument("--root", type=Path, default=root, help=argparse.SUPPRESS)
    parser.add_argument("--site", type=Path, default=root / "_build" / "html")
    parser.add_argument("--output", type=Path, default=root / "_build" / "slides")
    args = parser.parse_args()
    try:
        count = write_all(args.root, args.site, args.output)
    except SlidesError as error:
        print(f"slides: {error}", file=sys.stderr)
        return 1
    print(f"{args.output / 'index.html'}: {count} decks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
