"""Read the directives in a chapter's text: its exercises with their solutions, and its quizzes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

FENCE = re.compile(r"(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<argument>.*)")
OPTION = re.compile(r":(?P<name>[\w-]+):[ \t]*(?P<value>.*)")


@dataclass(frozen=True)
class Directive:
    """A fenced block with a name in braces."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


@dataclass(frozen=True)
class Exercise:
    """What an exercise says of itself."""

    label: str
    title: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Piece:
    """A code cell, or a part of a markdown cell: text or one directive; and where it stands."""

    cell: NotebookNode
    content: str | Directive | None = None  # None for a code cell
    exercise: Exercise | None = None
    solution: bool = False
    tags: frozenset[str] = field(default_factory=frozenset)


def blocks(text: str) -> Iterator[str | Directive]:
    """The parts of a text, directives and what stands between them."""
    lines, plain = iter(text.split("\n")), []
    for line in lines:
        found = FENCE.fullmatch(line.rstrip())
        if not found:
            plain.append(line)
            continue
        if any(map(str.strip, plain)):
            yield "\n".join(plain).strip("\n")
        plain, body = [], []
        for inner in lines:
            closing = inner.rstrip()
            if set(closing) == {found["fence"][0]} and len(closing) >= len(found["fence"]):
                break
            body.append(inner)
        options = {}
        while body and (option := OPTION.fullmatch(body[0].rstrip())):
            options[option["name"]] = option["value"]
            body.pop(0)
        yield Directive(found["name"], found["argument"], options, "\n".join(body).strip("\n"))
    if any(map(str.strip, plain)):
        yield "\n".join(plain).strip("\n")


def pieces(notebook: NotebookNode) -> Iterator[Piece]:
    """The pieces of a chapter in order; the directives that only mark exercises and solutions are gone."""
    exercises: dict[str, Exercise] = {}
    exercise, solution = None, False
    for cell in notebook.cells:
        tags = frozenset(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            yield Piece(cell, None, exercise, solution, tags)
            continue
        for block in blocks(cell.source):
            name = block.name if isinstance(block, Directive) else ""
            if name in ("exercise", "exercise-start"):
                classes = tuple(block.options.get("class", "").split())
                label = block.options.get("label", "")
                exercise, solution = Exercise(label, block.argument, classes), False
                exercises[label] = exercise
            elif name in ("solution", "solution-start"):
                exercise, solution = exercises.get(block.argument), True
            elif not name.endswith(("exercise-end", "solution-end")):
                yield Piece(cell, block, exercise, solution, tags)
            if name in ("exercise", "solution"):
                for inner in blocks(block.body):
                    yield Piece(cell, inner, exercise, solution, tags)
            if name in ("exercise", "exercise-end", "solution", "solution-end"):
                exercise, solution = None, False
