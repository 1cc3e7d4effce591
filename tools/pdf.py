"""Print the built site as one PDF, with the system's Chromium or Chrome and no LaTeX.

    python tools/pdf.py [--site _build/html] [--output _build/pdf/book.pdf]

The pages become one document, so that references between chapters stay links and the page numbers
run through. Proofs and solutions are open; sliders and hidden code are left out, since a figure
beside each tells the same.
"""

import argparse
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Error as BrowserError, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

import browser
from chapters import pages

MINUTES = 10
# Its settings and its script, which the site has under the name of its output (book/_ext/offline.py).
MATHJAX = r"(?i)mathjax|/tex-svg"
# What only a screen can use; a widget's view is a script of data.
LEFT_OUT = ("script", "button", ".headerlink", "details.hide", ".mflib-cite", ".toctree-wrapper")
STYLE = """
@page { size: A4; margin: 18mm 17mm 20mm; }
html { font-size: 12px; scroll-padding: 0; }
body { display: block; max-width: none; margin: 0; background: #fff; color: #000; }
.pdf-page, .pdf-contents { break-before: page; }
.pdf-title { padding-top: 30vh; text-align: center; }
.pdf-title h1 { font-size: 3rem; }
.pdf-contents a { display: flex; color: inherit; text-decoration: none; margin: 0.5rem 0; }
.pdf-contents a span:first-child { flex: 1; }
figure, img, table, .mflib-claim, div.math, .sd-card-header { break-inside: avoid; }
h1, h2, h3, h4 { break-after: avoid; }
pre, code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
img { max-width: 85% !important; height: auto; }
table { font-size: 0.8rem; }
mjx-container { overflow: visible !important; }
summary::marker, summary .sd-summary-state-marker { display: none; }
"""
# What is left of a sheet between its margins, in the browser's pixels (96 an inch).
SHEET = {"width": 665, "height": 900}
# Formulas that are wider than their line, or than what its number leaves of it, are made smaller.
FIT = """() => {
  for (const formula of document.querySelectorAll("mjx-container")) {
    const block = formula.closest("div.math, p, li, td, th, dd, figcaption, h1, h2, h3, h4");
    const style = block && getComputedStyle(block), number = block?.querySelector(".eqno");
    const room = block?.clientWidth - parseFloat(style?.paddingLeft) - parseFloat(style?.paddingRight) -
      (number ? number.getBoundingClientRect().width + 8 : 0);
    const svg = formula.querySelector("svg"), { width, height } = svg?.getBoundingClientRect() ?? {};
    // Not by the size of its font: its unit, ex, is rounded to whole pixels.
    if (width > room) {
      svg.style.width = `${room}px`;
      svg.style.height = `${height * room / width}px`;
    }
  }
}"""
FOOTER = (
    '<div style="width: 100%; text-align: center; font: 8px sans-serif">'
    '<span class="pageNumber"></span></div>'
)


class PdfError(Exception):
    """The book cannot be printed; the message says what is missing."""


def anchor(page: str, fragment: str) -> str:
    """A name that is unique in the whole document."""
    return f"{page}--{fragment}"


def printable(page: Path, names: set[str]) -> Tag:
    """A page's own text, its anchors and links as they are in a document of all pages.

    Raises:
        PdfError: The page is not built.
    """
    if not page.is_file():
        raise PdfError(f"{page} is missing: build the site first (make html)")
    article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article")
    for selector in LEFT_OUT:
        for tag in article.select(selector):
            tag.decompose()
    for details in article.select("details"):
        details["open"] = ""
    for tag in article.select("[id]"):
        tag["id"] = anchor(page.stem, tag["id"])
    for link in article.select("a[href]"):
        parts = urlsplit(link["href"])
        target = Path(parts.path).stem if parts.path else page.stem
        if parts.scheme:
            continue
        if target in names:
            link["href"] = f"#{anchor(target, parts.fragment)}"
        else:
            del link["href"]  # a page that is only on the site
    article.name = "section"
    article["class"] = "pdf-page"
    article["id"] = anchor(page.stem, "")
    return article


def document(site: Path, names: list[Path], config: dict[str, Any], version: str) -> str:
    """The whole book as one page of HTML: title, contents, and the pages in order."""
    bodies = [printable(site / f"{name}.html", {path.name for path in names}) for name in names]
    first = BeautifulSoup((site / f"{names[0]}.html").read_text(encoding="utf-8"), "html.parser")
    kept = [
        *first.head.select("link[rel=stylesheet]"),
        *(script for script in first.head.select("script") if re.search(MATHJAX, str(script))),
    ]
    contents = "".join(
        f'<a href="#{body["id"]}"><span>{body.h1.text}</span><span class="pdf-number"></span></a>'
        for body in bodies
    )
    return (
        '<!DOCTYPE html>\n<html lang="en" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"><title>{config["title"]}</title>{"".join(map(str, kept))}'
        f"<style>{STYLE}</style></head><body>"
        f'<div class="pdf-title"><h1>{config["title"]}</h1><p>{config["description"]}</p>'
        f"<p>{config['author']}<br>version {version}, {config['copyright']}</p></div>"
        f'<div class="pdf-contents"><h2>Contents</h2>{contents}</div>'
        f"{''.join(map(str, bodies))}</body></html>"
    )


def typeset(page: Page) -> None:
    """Wait until every formula is typeset.

    Raises:
        PdfError: MathJax is not there, or a formula has an error.
    """
    if not page.locator(".math").count():
        return
    if not page.evaluate("() => !!window.MathJax?.startup?.promise"):
        raise PdfError("the formulas cannot be typeset: MathJax was not loaded")
    page.evaluate("() => window.MathJax.startup.promise.then(() => null)")
    raw, wrong = page.evaluate(
        "() => [[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')),"
        " [...document.querySelectorAll('mjx-merror, [data-mjx-error]')]]"
        ".map(found => found.map(e => e.textContent.slice(0, 60)))"
    )
    if raw or wrong:
        raise PdfError(f"formulas that are not typeset: {[*raw, *wrong][:3]}")


def numbered(reader: PdfReader) -> dict[str, int]:
    """The page number of every anchor that something links to."""
    return {
        name.lstrip("/"): reader.get_destination_page_number(destination) + 1
        for name, destination in reader.named_destinations.items()
    }


def headings(text: str) -> list[str]:
    """The headings of the document in order, formulas as their source."""
    found = BeautifulSoup(text, "html.parser").body.select("h1, h2, h3, h4, h5, h6")
    return [re.sub(r"\\[()]", "", " ".join(heading.text.split())) for heading in found]


def retitle(writer: PdfWriter, titles: list[str]) -> None:
    """Name the bookmarks by the headings: Chromium leaves out formulas, and repeats other words.

    Raises:
        PdfError: There are not as many bookmarks as headings.
    """
    marks = list(_bookmarks(writer.root_object["/Outlines"]))
    if len(marks) != len(titles):
        raise PdfError(f"{len(titles)} headings were expected as bookmarks, got {len(marks)}")
    for mark, title in zip(marks, titles, strict=True):
        mark[NameObject("/Title")] = TextStringObject(title)


def _bookmarks(parent: DictionaryObject) -> Iterator[DictionaryObject]:
    """Those below one in the outline, in the order of the pages."""
    child = parent.get("/First")
    while child is not None:
        mark = child.get_object()
        yield mark
        yield from _bookmarks(mark)
        child = mark.get("/Next")


def print_site(root: Path, site: Path, output: Path) -> int:
    """Print the pages of `root`'s table of contents, built in `site`; the number of pages printed.

    Raises:
        PdfError: Something is missing: the browser, a page, a formula's typesetting.
    """
    try:
        executable = browser.find()
    except browser.NoBrowser as error:
        raise PdfError(str(error)) from error
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    names = [path.relative_to(root) for path, _ in pages(root)]
    # Beside the pages, so that their pictures and styles are found.
    draft = site / names[0].parent / "print.html"
    text = document(site, names, config, citation["version"])
    try:
        draft.write_text(text, encoding="utf-8")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=executable)
            page = chromium.new_page(color_scheme="light")
            page.set_default_timeout(MINUTES * 60_000)
            page.goto(draft.resolve().as_uri(), wait_until="load")
            typeset(page)
            page.emulate_media(media="print")
            page.set_viewport_size(SHEET)
            page.evaluate(FIT)
            # Numbers for the contents come from a first printing.
            places = numbered(PdfReader(io.BytesIO(_print(page, final=False))))
            page.evaluate(
                "places => document.querySelectorAll('.pdf-contents a').forEach(a =>"
                " { a.lastChild.textContent = places[a.hash.slice(1)] ?? '' })",
                places,
            )
            printed = _print(page, final=True)
            chromium.close()
    except BrowserError as error:
        raise PdfError(f"{executable}: {error.message.splitlines()[0]}") from error
    finally:
        draft.unlink(missing_ok=True)
    writer = PdfWriter(clone_from=io.BytesIO(printed))
    retitle(writer, headings(text))
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.compress_identical_objects()
    output.parent.mkdir(parents=True, exist_ok=True)
    writer.write(output)
    return len(writer.pages)


def _print(page: Page, final: bool) -> bytes:
    return page.pdf(
        prefer_css_page_size=True,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        tagged=final,
        outline=final,
    )


def main() -> int:
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description="Print the built site as one PDF.")
    parser.add_argument("--root", type=Path, default=root, help=argparse.SUPPRESS)
    parser.add_argument("--site", type=Path, default=root / "_build" / "html")
    parser.add_argument("--output", type=Path, default=root / "_build" / "pdf" / "book.pdf")
    args = parser.parse_args()
    try:
        count = print_site(args.root, args.site, args.output)
    except PdfError as error:
        print(f"pdf: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {count} pages, {args.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
