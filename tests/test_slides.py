"""The decks: cut out of the pages as the tags say, and, in a browser at 1280 × 720, whole and alone."""

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import v4
from PIL import Image

import execute
import slide_marks
import slides
from chapters import Chapter, chapters

ROOT = Path(__file__).parents[1]
CHAPTERS = [chapter for chapter in chapters(ROOT) if chapter.number]
SCREEN = {"width": 1280, "height": 720}
# What is cut off on any slide: it reaches out of the text's room, or out of the slide.
OVERFLOW = """() => Array.from({ length: Reveal.getTotalSlides() }, (_, number) => {
  Reveal.slide(number);
  const slide = document.querySelector("section.present .slide");
  const over = [...slide.querySelectorAll("*:not(svg *, mjx-assistive-mml, mjx-assistive-mml *)")]
    .filter((e) => {
      const box = (e.parentElement.closest(".body") ?? slide).getBoundingClientRect();
      const own = e.getBoundingClientRect();
      return own.width && (own.right > box.right + 1 || own.bottom > box.bottom + 1 ||
        own.left < box.left - 1 || own.top < box.top - 1);
    });
  return over.slice(0, 1).map((e) => `slide ${number}: ${e.outerHTML.slice(0, 120)}`);
}).flat()"""
# Formulas that are left as they were written, notes included, or not understood.
FORMULAS = r"""() => {
  const wrong = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")];
  const walk = document.createTreeWalker(document.querySelector(".slides"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (/\\[([]/.test(walk.currentNode.data) && !parent.closest("pre, code, script")) wrong.push(parent);
  }
  return wrong.map((e) => e.textContent.slice(0, 60));
}"""
SMALL = """() => [...document.querySelectorAll(".slide")]
  .filter((e) => parseFloat(e.style.fontSize) < 20).map((e) => e.textContent.slice(0, 60))"""


def opened(window, path):
    """A deck opened from its folder; and the list of what went wrong, which grows."""
    page = window.new_page(viewport=SCREEN)
    faults = []

    def requested(request):
        if not request.url.startswith((path.as_uri(), "data:", "blob:", "about:")):
            faults.append(f"asks for {request.url[:80]}")

    page.on("request", requested)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("() => window.deckReady")
    return page, faults


def looked_at(window, path):
    """What is wrong with a deck."""
    page, faults = opened(window, path)
    found = {
        "overflow": page.evaluate(OVERFLOW),
        "formulas": page.evaluate(FORMULAS),
        "small type": page.evaluate(SMALL),
        "errors": faults,
    }
    page.close()
    return {check: what for check, what in found.items() if what}


@pytest.fixture(scope="module")
def decks(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    slides.write_all(ROOT, site, folder)
    return folder


def test_every_chapter_has_its_slides(decks):
    index = BeautifulSoup((decks / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [a["href"] for a in index.select("a")] == [chapter.page for chapter in CHAPTERS]
    for chapter in CHAPTERS:
        deck = BeautifulSoup((decks / chapter.page).read_text(encoding="utf-8"), "html.parser")
        cells = execute.read(chapter.path).cells
        tags = [set(cell.metadata.get("tags", [])) for cell in cells]
        wanted = sum("slide" in each for each in tags)
        found = deck.select(".slides > section")
        assert len(found) in (wanted, wanted + 1), chapter.name  # with a title of its own
        said = [section for section in found if section.select_one("aside.notes").text.strip()]
        assert len(said) == sum("notes" in each for each in tags) - hints(cells), chapter.name
        assert not deck.select("img:not([src^=data])") and not deck.select("img:not([alt])")


def hints(cells):
    """How many notes are marking hints: those after the heading of the exercises."""
    begun, count = False, 0
    for cell in cells:
        begun = begun or cell.source.startswith("## Exercises")
        begun = begun or "\n## Exercises" in cell.source
        count += begun and "notes" in cell.metadata.get("tags", [])
    return count


def test_every_slide_is_whole_in_a_browser(decks, window):
    faults = {chapter.name: looked_at(window, decks / chapter.page) for chapter in CHAPTERS}
    assert {name: found for name, found in faults.items() if found} == {}


# A small chapter and its page, as the site would hold it.

FORMULA = r'<span class="math">\(x\)</span>'
PAGE = f"""<html><body><article><section id="a"><h1>A chapter<a class="headerlink" href="#a">#</a></h1>
<section id="b"><h2>First<a class="headerlink" href="#b">#</a></h2>
<!-- slide-cell one -->
<p id="here">See <a class="reference internal" href="#there">(1.1)</a>, {FORMULA}.</p>
<details class="sd-dropdown"><summary>Proof</summary>Long</details>
<!-- slide-cell-end --><p>Not on it.</p>
<!-- slide-cell two -->
<div class="cell"><details class="hide"><div class="cell_input"><pre>draw()</pre></div></details>
<div class="cell_output"><figure><img alt="a square" src="../square.png"><figcaption><span
class="caption-text">A {FORMULA} e.g. of it. And more.</span></figcaption></figure></div></div>
<!-- slide-cell-end --></section><section id="c">
<!-- slide-cell three -->
<h2>Second</h2><!-- slide-cell-end -->
<!-- slide-cell four -->
<div class="cell"><div class="cell_input"><pre>1 + 1</pre></div></div><!-- slide-cell-end -->
</section></section></article></body></html>"""


def cell(name, source, *tags):
    make = v4.new_markdown_cell if tags[0] != "code" else v4.new_code_cell
    return make(source, id=name, metadata={"tags": list(tags)})


@pytest.fixture
def small(tmp_path):
    """The folder of a chapter of two slides and of its site."""
    cells = [
        cell("one", "See", "slide"),
        cell("two", "draw()", "code", "slide-more"),
        cell("said", "Say {eq}`eq-a`: $a<b$.", "notes", "remove-cell"),
        cell("three", "## Second", "slide"),
        cell("four", "1 + 1", "code", "slide-more", "slide-code"),
    ]
    (tmp_path / "book").mkdir()
    text = nbformat.writes(v4.new_notebook(cells=cells))
    (tmp_path / "book" / "a.ipynb").write_text(text, encoding="utf-8")
    (tmp_path / "book" / "a.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "_static").mkdir()
    for name in ("pygments.css", "explore.css", "explore.js"):
        (tmp_path / "_static" / name).touch()
    Image.new("RGB", (40, 40)).save(tmp_path / "square.png")
    return tmp_path


def cut(folder):
    chapter = Chapter(folder / "book" / "a.ipynb", 1)
    return slides.slides(chapter, folder / "book" / "a.html", {"eq-a": "1.1"})


def test_slides_are_cut_out_of_the_page(small):
    first, second = cut(small)
    assert (first.section, second.section) == ("First", "First")
    paragraph, proof, figure = first.parts
    assert str(paragraph) == f"<p>See (1.1), {FORMULA}.</p>"
    assert str(proof) == ""
    assert "draw()" not in str(figure) and figure.img["src"].startswith("data:image/png;base64,")
    caption = figure.select_one(".caption-text")
    assert caption.decode_contents() == f"A {FORMULA} e.g. of it."
    assert first.notes == ('<p>Say (1.1): <span class="math inline">\\(a&lt;b\\)</span>.</p>\n')
    heading, code = second.parts
    assert str(heading) == "<h2>Second</h2>" and code.pre.text == "1 + 1"
    assert second.notes == ""
    assert '<div class="slide beside"><h2>First</h2>' in slides.section(first)
    assert '<div class="slide below"><h2>Second</h2>' in slides.section(second)


def test_a_page_of_another_chapter_is_refused(small):
    page = small / "book" / "a.html"
    page.write_text(PAGE.replace("slide-cell two", "slide-cell 2"), encoding="utf-8")
    with pytest.raises(slides.SlidesError, match="build the site anew"):
        cut(small)
    page.unlink()
    with pytest.raises(slides.SlidesError, match="is missing"):
        cut(small)


@pytest.fixture
def deck(small):
    """Write a deck of the small chapter, its page changed, and return its path."""
    config = {"title": "Book", "sphinx": {"config": {"mathjax3_config": {"tex": {}}}}}

    def write(old="", new=""):
        page = small / "book" / "a.html"
        page.write_text(PAGE.replace(old, new), encoding="utf-8")
        text = slides.deck("1. A chapter", cut(small), small, config, slides.runtime.fetch())
        (small / "a.html").write_text(text, encoding="utf-8")
        return small / "a.html"

    return write


def test_a_good_deck_has_no_faults(deck, window):
    assert looked_at(window, deck()) == {}


@pytest.mark.parametrize(
    ("check", "new"),
    [
        ("overflow", "<p>Much</p>" * 40),
        ("overflow", '<div style="width: 1300px">Wide</div>'),
        ("formulas", r'<span class="math">\(\nothing\)</span>'),
        ("formulas", r'<span class="mathjax_ignore">\(x\)</span>'),
        ("small type", "<p>Much</p>" * 16),
        ("errors", '<iframe src="http://localhost:9/"></iframe>'),
    ],
)
def test_faults_of_a_deck_are_found(deck, window, check, new):
    assert looked_at(window, deck("<h2>Second</h2>", f"<h2>Second</h2>{new}"))[check]


def test_notes_are_shown_beside_a_slide_and_in_a_window(deck, window):
    page, faults = opened(window, deck())
    page.evaluate("() => Reveal.slide(1)")
    beside = page.locator(".speaker-notes")
    assert not beside.is_visible()
    page.keyboard.press("t")
    assert "Say (1.1)" in beside.text_content() and beside.is_visible()
    assert beside.locator("mjx-container").count() == 1
    page.get_by_role("button", name="Notes").click()
    assert not beside.is_visible()
    with page.expect_popup() as speaker:
        page.keyboard.press("s")
    speaker.value.get_by_text("Say (1.1)").wait_for()
    assert faults == []
    page.close()


def test_marks_stand_around_the_cells_of_slides():
    cells = [
        cell("one", "See", "slide"),
        cell("two", "Or", "hide"),
        cell("x", "1", "code", "slide-more"),
    ]
    notebook = slide_marks.marked({"cells": cells, "nbformat": 4})
    assert [each["source"] for each in notebook["cells"]] == [
        *("<!-- slide-cell one -->", "See", "<!-- slide-cell-end -->", "Or"),
        *("<!-- slide-cell x -->", "1", "<!-- slide-cell-end -->"),
    ]
    assert [each for each in notebook["cells"] if each in cells] == cells
