"""Write what a lecturer hands out: the chapters as notebooks of students and of instructors.

    python tools/course.py [--output _build/course]

Both come from the chapters, which hold the exercises with their solutions. A student's notebook has a
stub in place of a solution's code and the public checks after it; an instructor's has the solutions,
and the speaker notes of the slides. The data that chapters read are copied beside them.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

import execute
import plain
import stubs
from chapters import Chapter, chapters, write_whole
from myst import Exercise, Piece, pieces

KINDS = {
    "understanding": "Check your understanding",
    "computation": "Computation",
    "proof": "Proof",
    "level-1": "level 1 (minutes)",
    "level-2": "level 2 (half an hour)",
    "level-3": "level 3 (an evening)",
}
INTRODUCTION = {
    "student": "Student's notebook. Run it from the top; where a cell raises `NotImplementedError`, it is your"
    " turn, and the cell after it checks what you did.",
    "instructor": "Instructor's notebook, with solutions and speaker notes. Not for students.",
}
ANSWER = "*Your answer:*"


def notebook(chapter: Chapter, audience: str, labels: dict[str, str], macros: str) -> NotebookNode:
    """A chapter for students or instructors."""
    source = execute.read(chapter.path)
    introduction = f"{INTRODUCTION[audience]}\n\n{macros}"
    write = _student if audience == "student" else _instructor
    cells = [_markdown("introduction", introduction), *write(source, labels)]
    return nbformat.from_dict({**source, "cells": cells})


def _instructor(source: NotebookNode, labels: dict[str, str]) -> Iterator[NotebookNode]:
    begun: set[tuple[Exercise | None, bool]] = set()
    for number, group in enumerate(_groups(source)):
        first = group[0]
        if first.exercise and (first.exercise, first.solution) not in begun:
            begun.add((first.exercise, first.solution))
            words = "**Solution**" if first.solution else _heading(first.exercise, labels)
            yield _markdown(f"begin-{number}", words)
        if first.content is None:
            yield first.cell
            yield from _caption(first.cell, labels)
            continue
        words = _words(group, labels)
        if "notes" in first.tags:
            title = "Marking hints" if first.solution else "Speaker notes"
            words = plain.quotation(f"**{title}**", words)
        yield _markdown(f"text-{number}", words)


def _student(source: NotebookNode, labels: dict[str, str]) -> Iterator[NotebookNode]:
    begun: set[tuple[Exercise | None, bool]] = set()
    for number, group in enumerate(_groups(source)):
        first = group[0]
        if first.exercise and (first.exercise, first.solution) not in begun:
            begun.add((first.exercise, first.solution))
            if first.solution:
                yield from _answer(source, first.exercise, labels)
            else:
                yield _markdown(f"begin-{number}", _heading(first.exercise, labels))
        if first.content is not None:
            if not first.solution and "notes" not in first.tags:
                yield _markdown(f"text-{number}", _words(group, labels))
        elif not first.solution or "check" in first.tags:
            cell = nbformat.from_dict(first.cell)
            if begun:
                cell.outputs, cell.execution_count = [], None
            yield cell
            if not begun:
                yield from _caption(cell, labels)


def _answer(
    source: NotebookNode, exercise: Exercise, labels: dict[str, str]
) -> Iterator[NotebookNode]:
    """Where a student writes: a stub where something is checked, and a cell for words where it is not all."""
    code = [
        piece
        for piece in pieces(source)
        if piece.exercise == exercise and piece.solution and piece.content is None
    ]
    checks = [piece.cell.source for piece in code if "check" in piece.tags]
    if "computation" not in exercise.classes or not checks:
        yield _markdown(f"answer-{exercise.label}", ANSWER)
    if checks:
        solution = [piece.cell.source for piece in code if "check" not in piece.tags]
        title = f"{labels[exercise.label]} ({_bare(exercise.title)})"
        text = stubs.stub(title, solution, checks)
        yield v4.new_code_cell(text, id=f"stub-{exercise.label}"[:64], metadata={"tags": ["stub"]})


def _groups(source: NotebookNode) -> list[list[Piece]]:
    """Pieces that stand side by side in one cell and belong to the same exercise or solution."""
    groups = groupby(pieces(source), key=lambda p: (p.cell.id, p.exercise, p.solution))
    return [list(group) for _, group in groups]


def _words(group: list[Piece], labels: dict[str, str]) -> str:
    return "\n\n".join(plain.plain(piece.content, labels) for piece in group)


def _markdown(name: str, words: str) -> NotebookNode:
    return v4.new_markdown_cell(words, id=name[:64])


def _heading(exercise: Exercise, labels: dict[str, str]) -> str:
    said = " · ".join(KINDS[name] for name in exercise.classes if name in KINDS)
    title = plain.text(exercise.title, labels)
    return f"### {labels[exercise.label]}. {title}" + (f"\n\n*{said}*" if said else "")


def _caption(cell: NotebookNode, labels: dict[str, str]) -> Iterator[NotebookNode]:
    """The words of a figure, which the site takes from its cell's metadata."""
    if figure := cell.metadata.get("mystnb", {}).get("figure"):
        words = f"**{labels[figure['name']]}** {plain.text(figure['caption'], labels)}"
        yield _markdown(f"caption-{cell.id}", words)


def _bare(title: str) -> str:
    """A title as a message shows it."""
    return re.sub(r"[$*`\\]", "", title)


def write_all(root: Path, output: Path) -> int:
    """Write the notebooks of every numbered chapter; how many chapters there were."""
    labels, macros = plain.names(root), plain.macros(root)
    book = [chapter for chapter in chapters(root) if chapter.number]
    for audience in INTRODUCTION:
        folder = output / audience
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root / "book" / "data", folder / "data")
        for chapter in book:
            made = notebook(chapter, audience, labels, macros)
            write_whole(folder / chapter.path.name, execute.write(made))
    return len(book)


def main() -> int:
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description="Write the notebooks of students and instructors.")
    parser.add_argument("--root", type=Path, default=root, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=root / "_build" / "course")
    args = parser.parse_args()
    count = write_all(args.root, args.output)
    print(f"{args.output}: {count} chapters, in student/ and instructor/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
