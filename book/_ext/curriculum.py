"""Sphinx extension: the chapters as a course, measured when the site is built, so that it cannot drift.

    ```{curriculum}
    particles:
    single_index: particles
    ```

A line is a numbered chapter and, after the colon, the chapters that it builds on. The page gets a picture of
that, and a table: what each chapter builds on, how long it takes to read and to run, and how many exercises
and slides it has.
"""

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

WORDS_A_MINUTE = 60
KINDS = ("understanding", "computation", "proof")
ROW, ARC, LEFT, WIDTH, LONGEST = 26, 13, 118, 430, 36  # of the picture: pixels, and letters


@dataclass(frozen=True)
class Measured:
    """What can be counted in a chapter: words before its quiz and exercises, and what it offers."""

    title: str
    words: int
    exercises: tuple[int, ...]  # of each of KINDS
    slides: int

    @property
    def minutes(self) -> int:
        """To read it once, to the next five minutes."""
        return 5 * max(1, round(self.words / WORDS_A_MINUTE / 5))


def words(text: str) -> int:
    """The words of a text in MyST; a formula is one word, marks of directives and labels are none."""
    text = re.sub(r"\$\$.*?\$\$(?: \([\w-]+\))?|\$[^$]*\$", " x ", text, flags=re.DOTALL)
    text = re.sub(r"^([`:]{3}.*|:[\w-]+:.*|\([\w-]+\)=)$", "", text, flags=re.MULTILINE)
    return len(re.findall(r"\w[^\s]*", text))


def measure(notebook: dict[str, Any]) -> Measured:
    """Count a chapter, given as the content of its file."""
    tags = [set(cell["metadata"].get("tags", ())) for cell in notebook["cells"]]
    texts = [
        "".join(cell["source"])
        for cell, own in zip(notebook["cells"], tags, strict=True)
        if cell["cell_type"] == "markdown" and "notes" not in own
    ]
    text = "\n\n".join(texts)
    classes = re.findall(r"\{exercise(?:-start)?\}.*\n(?::.*\n)*?:class:(.*)\n", text)
    title = re.search(r"^# +(.+)$", text, re.MULTILINE)
    if not title:
        raise ValueError("notebook: a first-level heading was expected, there is none")
    return Measured(
        title[1],
        words(re.split(r"^## (?:Quiz|Exercises)$", text, maxsplit=1, flags=re.MULTILINE)[0]),
        tuple(sum(kind in found.split() for found in classes) for kind in KINDS),
        sum("slide" in own for own in tags),
    )


def parts(contents: dict[str, Any]) -> dict[str, list[str]]:
    """The numbered parts of `_toc.yml` and the names of their chapters."""
    return {
        part["caption"]: [Path(entry["file"]).name for entry in part["chapters"]]
        for part in contents["parts"]
        if part.get("numbered")
    }


def needs(lines: list[str], names: list[str]) -> dict[str, list[str]]:
    """What each chapter builds on, from the directive's lines.

    Raises:
        ValueError: A chapter is missing or is not one, or it builds on one that comes later.
    """
    found = {name.strip(): on.split() for name, _, on in (line.partition(":") for line in lines)}
    if list(found) != names:
        raise ValueError(f"curriculum: the chapters {names} were expected, got {list(found)}")
    for position, (name, on) in enumerate(found.items()):
        if later := set(on) - set(names[:position]):
            raise ValueError(f"{name}: earlier chapters were expected, got {sorted(later)}")
    return found


def picture(groups: dict[str, list[str]], on: dict[str, list[str]], titles: dict[str, str]) -> str:
    """The chapters from top to bottom, and an arc to each from those that it builds on."""
    number = {name: place for place, name in enumerate(on, 1)}
    height, shapes, y = 0, [], {}
    for caption, names in groups.items():
        height += ROW
        shapes.append(f'<text class="part" x="{LEFT}" y="{height}">{escape(caption)}</text>')
        for name in names:
            height += ROW
            y[name] = height
            full = f"{number[name]}. {titles[name]}"
            label = full if len(full) <= LONGEST else full[: LONGEST - 1].rstrip() + "…"
            shapes.append(f'<circle cx="{LEFT}" cy="{height - 5}" r="4"/>')
            shapes.append(f'<text x="{LEFT + 14}" y="{height}">{escape(label)}</text>')
    arcs = []
    for name, above in on.items():
        for other in above:
            reach = LEFT - 6 - ARC * (number[name] - number[other])
            begin, end = y[other] - 2, y[name] - 8  # out below, in above
            arcs.append(
                f'<path d="M{LEFT - 6} {begin}C{reach} {begin} {reach} {end} {LEFT - 7} {end}"/>'
            )
    said = [
        f"{number[name]} on {' and '.join(str(number[other]) for other in above)}"
        for name, above in on.items()
        if above
    ]
    return (
        f'<svg class="mflib-map" viewBox="0 0 {WIDTH} {height + 12}" role="img" '
        'aria-labelledby="mflib-map-title mflib-map-words">'
        '<title id="mflib-map-title">Which chapter builds on which</title>'
        f'<desc id="mflib-map-words">Chapter {"; ".join(said)}.</desc>'
        '<defs><marker id="mflib-map-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f'<g class="arcs">{"".join(arcs)}</g>{"".join(shapes)}</svg>'
    )


def table(
    on: dict[str, list[str]], counted: dict[str, Measured], runs: dict[str, Any]
) -> list[str]:
    """The table in MyST, with a row of sums."""
    number = {name: place for place, name in enumerate(on, 1)}
    lines = [
        "| chapter | builds on | reading | running | exercises | slides |",
        "|---|---|--:|--:|--:|--:|",
    ]
    minutes, seconds = 0, 0
    for name, above in on.items():
        one, took = counted[name], runs[name]["seconds"]
        minutes, seconds = minutes + one.minutes, seconds + took
        lines.append(
            f"| {number[name]}. {{doc}}`{name}` | {', '.join(str(number[n]) for n in above)} "
            f"| {one.minutes} min | {took} s | {' + '.join(map(str, one.exercises))} | {one.slides} |"
        )
    total = [sum(one.exercises[i] for one in counted.values()) for i in range(len(KINDS))]
    slides = sum(one.slides for one in counted.values())
    lines.append(
        f"| together | | {minutes / 60:.0f} h | {seconds / 60:.0f} min "
        f"| {' + '.join(map(str, total))} | {slides} |"
    )
    return lines


class Curriculum(SphinxDirective):
    """The directive."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        record = root / "book" / "data" / "execution.json"
        groups = parts(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
        names = [name for group in groups.values() for name in group]
        counted = {}
        for name in names:
            chapter = root / "book" / f"{name}.ipynb"
            self.env.note_dependency(str(chapter))
            counted[name] = measure(json.loads(chapter.read_text(encoding="utf-8")))
        self.env.note_dependency(str(record))
        try:
            on = needs(list(self.content), names)
        except ValueError as error:
            raise self.error(str(error)) from error
        drawn = picture(groups, on, {name: one.title for name, one in counted.items()})
        runs = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        if missing := [name for name in names if name not in runs]:
            raise self.error(f"curriculum: no recorded run of {', '.join(missing)}: make run")
        content = nodes.container()
        content += nodes.raw("", drawn, format="html")
        lines = StringList(table(on, counted, runs), source=self.env.docname)
        self.state.nested_parse(lines, self.content_offset, content)
        return content.children


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("curriculum", Curriculum)
    app.add_css_file("curriculum.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
