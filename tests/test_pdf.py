"""The printed book: one document of all pages, its links, numbers and bookmarks."""

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

import browser
import pdf
from chapters import pages

ROOT = Path(__file__).parents[1]
CONFIG = {"title": "T", "author": "A", "copyright": "2026", "description": "D"}
HEAD = '<head><link rel="stylesheet" href="style.css"><script src="MathJax.js"></script></head>'
FIRST = f"""<html>{HEAD}<body><nav>Menu</nav><article><h1>First</h1>
<p id="here"><a href="#here">here</a> <a href="second.html#there">there</a>
<a href="../genindex.html">index</a> <a href="https://example.org/">out</a></p>
<h2>A <em>part</em> of it<a class="headerlink" href="#here">#</a></h2>
<details><summary>Proof</summary>Hidden</details><details class="hide">code</details>
<script>data</script></article></body></html>"""
SECOND = (
    f"""<html>{HEAD}<body><article><h1>Second</h1><p id="there">Text</p></article></body></html>"""
)


@pytest.fixture
def book(tmp_path):
    """A book of two pages: its root and its site."""
    (tmp_path / "_config.yml").write_text("{title: T, author: A, copyright: 2026, description: D}")
    (tmp_path / "CITATION.cff").write_text("version: 1.2.3")
    parts = "parts: [{caption: One, chapters: [{file: book/second}]}]"
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: book/first\n{parts}\n")
    (tmp_path / "site" / "book").mkdir(parents=True)
    (tmp_path / "book").mkdir()
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / "book" / f"{name}.md").write_text("# Here for its name")
        (tmp_path / "site" / "book" / f"{name}.html").write_text(text)
    return tmp_path


def document(book):
    names = [Path("book/first"), Path("book/second")]
    return BeautifulSoup(pdf.document(book / "site", names, CONFIG, "1.2.3"), "html.parser")


def titles(outline):
    """Those of all bookmarks, in order."""
    for mark in outline:
        if isinstance(mark, list):
            yield from titles(mark)
        else:
            yield mark.title


def test_links_and_anchors_are_those_of_one_document(book):
    whole = document(book)
    links = [link.get("href") for link in whole.select("#first-- a")]
    assert links == ["#first--here", "#second--there", None, "https://example.org/"]
    assert [link["href"] for link in whole.select(".pdf-contents a")] == ["#first--", "#second--"]
    ids = [tag["id"] for tag in whole.select("[id]")]
    assert len(set(ids)) == len(ids)
    assert {"first--here", "second--there", "first--", "second--"} <= set(ids)


def test_what_only_a_screen_can_use_is_left_out(book):
    whole = document(book)
    assert whole.select_one("details").has_attr("open") and "Hidden" in whole.text
    assert not {"Menu", "code", "data"} & set(whole.body.get_text("\n", strip=True).split("\n"))
    assert [tag["href"] for tag in whole.select("head link")] == ["style.css"]
    assert [tag["src"] for tag in whole.select("script")] == ["MathJax.js"]


def test_the_script_of_the_built_site_is_kept(site):
    """Under whatever name the site publishes it."""
    name = pages(ROOT)[0][0].relative_to(ROOT)
    whole = BeautifulSoup(pdf.document(site, [name], CONFIG, "1"), "html.parser")
    built = BeautifulSoup((site / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    typesetters = [tag["src"] for tag in built.select("script[src]") if "tex-" in tag["src"]]
    assert typesetters and [tag["src"] for tag in whole.select("script[src]")] == typesetters


def test_headings_are_in_order_with_their_formulas():
    text = r"<body><h1>One</h1><h2>The <span>\(h_4\)</span> law</h2><h1>Two</h1></body>"
    assert pdf.headings(text) == ["One", "The h_4 law", "Two"]


def test_the_book_is_printed(book, chromium):
    output = book / "out" / "book.pdf"
    pages = pdf.print_site(book, book / "site", output)
    reader = PdfReader(output)
    # Title, contents, and each page on a sheet of its own.
    assert pages == len(reader.pages) == 4
    text = [page.extract_text() for page in reader.pages]
    assert "version 1.2.3" in text[0]
    assert text[1].split() == ["Contents", "First", "3", "Second", "4", "2"]
    assert "Hidden" in text[2] and "Text" in text[3]
    assert list(titles(reader.outline)) == ["T", "Contents", "First", "A part of it", "Second"]
    assert reader.metadata.title == "T" and reader.metadata.author == "A"


def test_wide_formulas_are_made_to_fit(chromium):
    """Beside their number, if they have one; what fits is left alone."""
    formula = "<mjx-container><svg width='{}' height='40'></svg></mjx-container>"
    number = "<span class='eqno' style='float: right; width: 30px'>(1)</span>"
    body = "".join(
        f"<div class='math' style='width: 300px'>{before}{formula.format(width)}</div>"
        for before, width in (("", 600), (number, 600), ("", 200))
    )
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=chromium).new_page()
        page.set_content(body)
        page.evaluate(pdf.FIT)
        sizes = page.evaluate(
            "() => [...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect())"
            ".map(box => [box.width, box.height])"
        )
    assert sizes == [[300, 20], [262, pytest.approx(40 * 262 / 600, abs=0.1)], [200, 40]]


def test_a_page_that_is_not_built_is_named(book, chromium):
    (book / "site" / "book" / "second.html").unlink()
    tool = [sys.executable, ROOT / "tools" / "pdf.py", "--root", book, "--site", book / "site"]
    done = subprocess.run(tool, capture_output=True, text=True)
    assert done.returncode == 1
    assert "second.html is missing: build the site first" in done.stderr


def test_no_browser_is_said(book, monkeypatch):
    monkeypatch.setattr(browser, "BROWSERS", ())
    monkeypatch.setattr(browser, "_own", lambda: None)
    with pytest.raises(pdf.PdfError, match="install Chromium or Chrome"):
        pdf.print_site(book, book / "site", book / "book.pdf")


def test_formulas_that_stay_source_stop_the_printing(book, chromium):
    page = book / "site" / "book" / "second.html"
    page.write_text(SECOND.replace("Text", r'<span class="math">\(x\)</span>'))
    with pytest.raises(pdf.PdfError, match="MathJax was not loaded"):
        pdf.print_site(book, book / "site", book / "book.pdf")
    assert not (book / "book.pdf").exists()
    assert {path.name for path in page.parent.iterdir()} == {"first.html", "second.html"}
