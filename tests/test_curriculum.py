"""The pages for teachers say of every chapter what is true of it."""

import json
import re
from pathlib import Path

import pytest

import curriculum
from chapters import chapters
from mflib import explore

ROOT = Path(__file__).parents[1]
NUMBERED = [chapter for chapter in chapters(ROOT) if chapter.number]
EXPLORERS = [it for name in explore.__all__ if isinstance(it := getattr(explore, name), type)]
NAMES = [chapter.name for chapter in NUMBERED]
SYLLABUS = (ROOT / "book" / "syllabus.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "book" / "instructor.md").read_text(encoding="utf-8")


def builds_on():
    lines = re.search(r"```\{curriculum\}\n(.*?)```", SYLLABUS, re.DOTALL)[1].splitlines()
    return curriculum.needs(lines, NAMES)


def prose(chapter):
    cells = json.loads(chapter.path.read_text(encoding="utf-8"))["cells"]
    captions = [cell["metadata"].get("mystnb", {}).get("figure", {}) for cell in cells]
    text = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return "\n\n".join(text + [caption.get("caption", "") for caption in captions])


def test_every_dependency_is_in_the_text():
    """If a chapter builds on another, one of the two refers to the other or to a label in it."""
    texts = {chapter.name: prose(chapter) for chapter in NUMBERED}
    label = r"^\(([\w-]+)\)=|:label: *([\w-]+)|\$\$ \(([\w-]+)\)"
    labels = {
        name: {name} | {"".join(found) for found in re.findall(label, text, re.MULTILINE)}
        for name, text in texts.items()
    }
    role = r"\{(?:doc|ref|eq|prf:ref|numref)\}`(?:[^`<]*<)?([\w-]+)>?`"
    cited = {name: set(re.findall(role, text)) for name, text in texts.items()}
    for name, above in builds_on().items():
        for other in above:
            assert cited[name] & labels[other] or cited[other] & labels[name], (name, other)


def test_every_chapter_is_in_one_week_or_optional():
    weeks = SYLLABUS.partition("## Six weeks")[2].partition("###")[0]
    rows = re.findall(r"^\| (\d|optional) \|(.*)$", weeks, re.MULTILINE)
    taught = [name for _, row in rows for name in re.findall(r"\{doc\}`(\w+)`", row)]
    assert taught == NAMES
    assert [week for week, _ in rows if week != "optional"] == list("123456")


def test_the_guide_has_a_section_for_every_chapter_and_every_explorer():
    sections = re.split(r"^### ", GUIDE, flags=re.MULTILINE)[1:]
    for chapter in NUMBERED:
        title = re.sub(r"^\d+\. ", "", chapter.title)
        (section,) = (text for text in sections if text.startswith(f"{title}\n"))
        assert f"{{doc}}`{chapter.name}`" in section
    for explorer in EXPLORERS:
        assert f"`mflib.explore.{explorer.call}()`" in GUIDE


def test_counts():
    def cell(kind, source, *tags):
        return {"cell_type": kind, "source": [source], "metadata": {"tags": list(tags)}}

    exercise = "```{exercise-start} Why\n:label: ex-a\n:class: proof level-2\n```"
    notebook = {
        "cells": [
            cell("markdown", "(ch-a)=\n# A title\n\nTwo $x + y$ words.", "slide"),
            cell("markdown", "Not counted.", "notes", "remove-cell"),
            cell("code", "this = neither", "slide"),
            cell("markdown", "$$\na = b\n$$ (eq-a)\n\n:::{dropdown} Proof\nSo it is.\n:::"),
            cell("markdown", f"## Exercises\n\n{exercise}\n\nWhy?"),
        ]
    }
    # "A title", "Two x words.", "x", "So it is."; not the label of the formula
    assert curriculum.measure(notebook) == curriculum.Measured("A title", 9, (0, 0, 1), 2)
    with pytest.raises(ValueError, match="first-level heading"):
        curriculum.measure({"cells": [cell("markdown", "No title.")]})


@pytest.mark.parametrize("lines", [["a:"], ["a:", "c: a"], ["b: a", "a:"], ["a: b", "b:"]])
def test_a_wrong_curriculum_is_refused(lines):
    assert curriculum.needs(["a:", "b: a"], ["a", "b"]) == {"a": [], "b": ["a"]}
    with pytest.raises(ValueError, match="were expected, got"):
        curriculum.needs(lines, ["a", "b"])


def test_the_picture_says_what_it_shows():
    drawn = curriculum.picture(
        {"Part & part": ["a", "b"]}, {"a": [], "b": ["a"]}, {"a": "First", "b": "S" * 99}
    )
    assert "Chapter 2 on 1." in drawn and "Part &amp; part" in drawn
    assert drawn.count('<path d="M112') == 1 and "S" * 99 not in drawn
