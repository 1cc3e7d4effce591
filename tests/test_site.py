"""The site: it builds without a warning from the stored outputs, and no link in it is dead."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

import docstrings
import ledger
import page_metadata
from chapters import chapters, pages

ROOT = Path(__file__).parents[1]


@cache
def parsed(page):
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(page):
    return {tag["id"] for tag in parsed(page).select("[id]")} | {
        tag["name"] for tag in parsed(page).select("a[name]")
    }


def dead_links(page):
    """The addresses on a page that lead to no file, or to no anchor in it."""
    for tag in parsed(page).select("[href], [src]"):
        link = tag.get("href") or tag.get("src") or ""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or link in ("", "#"):
            continue  # an address of another site, or a button
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
        if not target.is_file():
            yield link
        elif parts.fragment and target.suffix == ".html":
            if unquote(parts.fragment) not in anchors(target):
                yield link


def outside(page):
    """What a page would load from another site: all but the links a reader may follow."""
    for tag in parsed(page).select("[src], link[href], [data], [poster], [srcset]"):
        for name in ("src", "href", "data", "poster", "srcset"):
            link = tag.get(name, "")
            known = tag.name == "link" and {"canonical", "license"} & set(tag.get("rel", ()))
            if urlsplit(link).netloc and not known:
                yield link


def untitled_dropdowns(page):
    """Collapsible blocks without a title bar: they stop the script that collapses all others."""
    blocks = parsed(page).select(".admonition.dropdown")
    return [block for block in blocks if not block.select(".admonition-title")]


def test_every_page_is_there(site):
    for page, _ in pages(ROOT):
        built = site / page.relative_to(ROOT).with_suffix(".html")
        assert parsed(built).select_one("article h1"), f"{built.name} has no heading"
    assert (site / "index.html").is_file()


def test_no_link_is_dead(site):
    built = [*site.glob("*.html"), *site.glob("book/*.html")]
    assert len(built) > len(pages(ROOT))
    assert {page.name: dead for page in built if (dead := [*dead_links(page)])} == {}


def test_no_page_loads_from_outside(site):
    built = [*site.glob("*.html"), *site.glob("book/*.html")]
    assert {page.name: found for page in built if (found := [*outside(page)])} == {}
    # A style sheet can load too, and so can a script: the browser test sees those.
    for sheet in (site / "_static").rglob("*.css"):
        assert not re.search(r"url\(.?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_page_says_what_it_is(site):
    for page, _ in pages(ROOT):
        built = site / page.relative_to(ROOT).with_suffix(".html")
        head = {
            tag.get("name") or tag.get("property"): tag["content"]
            for tag in parsed(built).select("meta[content]")
        }
        assert 10 < len(head["description"]) <= 400 and "\\" not in head["description"]
        assert head["og:description"] == head["description"]
        assert head["og:title"] and head["twitter:card"] == "summary_large_image"
        card = (built.parent / head["og:image"]).resolve()
        with Image.open(card) as picture:
            assert picture.size == page_metadata.CARD_SIZE
        assert parsed(built).select_one("link[rel=icon]")
    titles = [parsed(page).title.text for page in site.glob("book/*.html")]
    assert len(set(titles)) == len(titles)


def test_every_page_says_how_to_cite(site):
    for page, _ in pages(ROOT):
        built = site / page.relative_to(ROOT).with_suffix(".html")
        (box,) = parsed(built).select("details.mflib-cite")
        assert "@misc{mflib," in box.pre.text and "GlasgowWuBruna2025" in box.pre.text


def test_every_chapter_says_how_it_was_executed(site):
    for chapter in chapters(ROOT):
        (line,) = parsed(site / "book" / chapter.page).select("p.mflib-execution")
        assert re.match(
            r"Executed in \d+ s on \d+ cores?.*, Python 3.*\d{4}-\d\d-\d\d\.$", line.text
        )


def test_every_chapter_can_be_downloaded_with_its_outputs(site):
    for chapter in chapters(ROOT):
        page = site / "book" / chapter.page
        link = parsed(page).select_one("a.btn-download-source-button")["href"]
        assert (page.parent / link).read_bytes() == chapter.path.read_bytes()


def test_what_needs_an_address_is_absent_without(site):
    if yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["html"]["baseurl"]:
        pytest.skip("the book has an address")
    for page in site.glob("book/*.html"):
        unwanted = "link[rel=canonical], meta[property='og:url'], .dropdown-launch-buttons"
        assert parsed(page).select(unwanted) == []
    assert not (site / "sitemap.xml").exists() and not (site / "robots.txt").exists()


def test_every_claim_can_be_linked_to(site):
    for chapter in chapters(ROOT):
        wanted = {f"claim-{record['key']}" for record in ledger.claims(chapter)}
        assert wanted <= anchors(site / "book" / chapter.page)


def test_collapsible_blocks_have_titles(site):
    for page in site.glob("book/*.html"):
        assert untitled_dropdowns(page) == []


def test_every_module_is_in_the_reference(site):
    """The page is generated from a list of modules, in which a new one must not be forgotten."""
    public = {path.stem for path in (ROOT / "mflib").glob("[!_]*.py")}
    assert {f"module-mflib.{name}" for name in public} <= anchors(site / "book" / "api.html")


@pytest.mark.parametrize(
    ("body", "dead"),
    [
        ('<a href="other.html#there">', []),
        ('<a href="#here"><p id="here">', []),
        ('<a href="https://example.org/x"><a href="#">', []),
        ('<a href="other.html#gone">', ["other.html#gone"]),
        ('<a href="#gone">', ["#gone"]),
        ('<a href="gone.html">', ["gone.html"]),
        ('<img src="gone.png">', ["gone.png"]),
    ],
)
def test_dead_links_are_found(tmp_path, body, dead):
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(body)
    assert list(dead_links(tmp_path / "page.html")) == dead


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<script src="//example.org/x.js">', ["//example.org/x.js"]),
        ('<link rel="stylesheet" href="https://example.org/x.css">', ["https://example.org/x.css"]),
        ('<img src="http://example.org/x.png">', ["http://example.org/x.png"]),
        ('<img src="x.png"><img src="data:image/png;base64,AA==">', []),
        ('<a href="https://example.org"><link rel="canonical" href="https://example.org">', []),
    ],
)
def test_outside_addresses_are_found(tmp_path, body, found):
    (tmp_path / "page.html").write_text(body)
    assert list(outside(tmp_path / "page.html")) == found


def test_untitled_dropdowns_are_found(tmp_path):
    titled = '<div class="admonition dropdown"><p class="admonition-title">Proof</p></div>'
    (tmp_path / "page.html").write_text(titled + '<div class="proof admonition dropdown"></div>')
    assert len(untitled_dropdowns(tmp_path / "page.html")) == 1


@pytest.mark.parametrize(
    ("docstring", "translated"),
    [
        ("plain text", ["plain text"]),
        ("the `code` here", [r"the \ ``code``\  here"]),
        ("$α_k$ and\n$a\n+ b$", [r"\ :math:`α_k`\  and", r"\ :math:`a + b`\ "]),
        ("|x| and w* and p_", [r"\|x\| and w\* and p\_"]),
        ("**Arguments**\n\n- `a`: b", ["**Arguments**", "", r"- \ ``a``\ : b"]),
        (
            "Text:\n\n    |x| = `y`\n\nmore",
            ["Text:", "", "::", "", "    |x| = `y`", "", "", "more"],
        ),
        ("A:\n\n    x\n\n    y", ["A:", "", "::", "", "    x", "", "", "::", "", "    y", ""]),
        ("- a list\n    goes on", ["- a list", "    goes on"]),
        ("- a list\n\n    goes on", ["- a list", "", "    goes on"]),
    ],
)
def test_docstrings_are_translated(docstring, translated):
    assert docstrings.translate(docstring.split("\n")) == translated
