"""The notebooks of students and instructors: complete, readable, and the former without a solution."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4

import course
import execute
import exercises
import plain
import stubs
from chapters import chapters, pages
from myst import Directive, blocks, pieces

ROOT = Path(__file__).parents[1]
CHAPTERS = [chapter for chapter in chapters(ROOT) if chapter.number]
# Shorter lines, such as `axes` or `)`, stand in many places.
LONG = 12
# What Jupyter would show as it is written: fences, roles, labels.
MARKUP = re.compile(r"^(?:`{3}|:{3,})\{|\{[\w:]+\}`|^\([\w-]+\)=$|^\$\$ \(", re.MULTILINE)

# Where the site shows a number: of an equation, of a figure, of statements and exercises.
SHOWN = (
    re.compile(r'id="equation-([\w-]+)">\s*<span class="eqno">\(([\d.]+)\)<'),
    re.compile(
        r'<figure[^>]* id="([\w-]+)">\s*<img[^>]*>\s*<figcaption>\s*<p><span class="caption-number">(.*?) <'
    ),
    re.compile(
        r'admonition" id="([\w-]+)">\s*<p class="admonition-title"><span class="caption-number">(.*?) <'
    ),
)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(text):
    return {" ".join(line.split()) for line in text.splitlines() if len(line.strip()) >= LONG}


def leaks(chapter, student):
    """The lines of solutions that a student's notebook holds, and the outputs after its first exercise.

    What a solution has in common with the rest of the chapter is not its own, and the stubs tell what
    is imported and which functions are asked for.
    """
    solved, common = set(), set()
    for piece in pieces(chapter):
        if isinstance(piece.content, Directive):
            found = lines(piece.content.body)
        else:
            found = lines(piece.content if piece.content else piece.cell.source)
        hidden = piece.solution and "check" not in piece.tags
        (solved if hidden else common).update(found)
    public = {line for line in solved if line.startswith(("import ", "from ", "def ", "class "))}
    shown = set().union(*(lines(cell.source) for cell in student.cells))
    yield from sorted((solved - common - public) & shown)
    first = next(
        n for n, cell in enumerate(student.cells) if cell.source.startswith("### Exercise")
    )
    yield from (
        f"{cell.id}: outputs"
        for cell in student.cells[first:]
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count)
    )


def before_exercises(notebook):
    """The code cells before the first exercise, with all they hold."""
    first = next(piece.cell.id for piece in pieces(notebook) if piece.exercise)
    ids = [cell.id for cell in notebook.cells]
    return code(nbformat.from_dict({"cells": notebook.cells[: ids.index(first)]}))


@pytest.fixture(scope="module")
def labels():
    return plain.names(ROOT)


@pytest.fixture(scope="module")
def made(labels):
    """Of each chapter the original, the student's and the instructor's notebook."""
    macros = plain.macros(ROOT)
    return {
        chapter.name: (
            execute.read(chapter.path),
            *(
                course.notebook(chapter, audience, labels, macros)
                for audience in course.INTRODUCTION
            ),
        )
        for chapter in CHAPTERS
    }


@pytest.mark.parametrize("name", [chapter.name for chapter in CHAPTERS])
def test_an_instructor_has_the_code_that_is_tested(made, name):
    chapter, _, instructor = made[name]
    assert code(instructor) == code(chapter)
    nbformat.validate(instructor)


@pytest.mark.parametrize("name", [chapter.name for chapter in CHAPTERS])
def test_a_student_has_the_chapter_and_no_solution(made, name):
    chapter, student, _ = made[name]
    nbformat.validate(student)
    before = before_exercises(chapter)
    assert len(before) > 5 and code(student)[: len(before)] == before
    assert list(leaks(chapter, student)) == []
    checks = [cell.source for cell in code(student) if "check" in cell.metadata.get("tags", [])]
    assert checks == [piece.cell.source for piece in pieces(chapter) if "check" in piece.tags]


@pytest.mark.parametrize("name", [chapter.name for chapter in CHAPTERS])
def test_every_checked_exercise_has_a_stub(made, name):
    chapter, student, _ = made[name]
    wanted = list(dict.fromkeys(p.exercise.label for p in pieces(chapter) if "check" in p.tags))
    given = [cell for cell in code(student) if "stub" in cell.metadata.get("tags", [])]
    assert [cell.id for cell in given] == [f"stub-{label}" for label in wanted]
    for cell in given:
        assert cell.source.splitlines()[-1].startswith("raise NotImplementedError('Exercise ")


@pytest.mark.parametrize("name", [chapter.name for chapter in CHAPTERS])
def test_jupyter_shows_no_markup_of_the_site(made, name):
    for notebook in made[name][1:]:
        found = [MARKUP.search(cell.source) for cell in notebook.cells if cell.cell_type != "code"]
        assert [match[0] for match in found if match] == []


def test_numbers_are_those_of_the_site(site, labels):
    shown = {}
    for page, _ in pages(ROOT):
        built = (site / page.relative_to(ROOT)).with_suffix(".html").read_text(encoding="utf-8")
        for shape in SHOWN:
            shown.update(shape.findall(built))
    assert len(shown) > 400
    assert {name: labels.get(name) for name in shown} == shown


def test_kinds_are_those_of_the_site():
    assert course.KINDS == exercises.KINDS | exercises.LEVELS


# A small chapter, without what takes time.

EXERCISE = """\
```{exercise-start} Twice $n$
:label: ex-a
:class: computation level-2
```
Write `double(n)` and let `four` be its value at 2, see {eq}`eq-a`.
```{exercise-end}
```

```{solution-start} ex-a
:label: sol-a
:class: dropdown
```
A sum of the number and itself, by {prf:ref}`prop-a`.
"""
TEXT = """\
(ch-a)=
# A chapter

```{prf:proposition} Sum
:label: prop-a

$$
n + n = 2n
$$ (eq-a)
```

:::{dropdown} Proof of {prf:ref}`prop-a`
See {doc}`a`, {func}`mflib.a.b` and [the sum](ch-a). $\\square$
:::
"""
PROOF = """\
```{exercise} Why
:label: ex-b
:class: proof level-1

Why?
```

```{solution} ex-b
:label: sol-b
:class: dropdown

Because it has to be so.
```
"""
LABELS = {
    "eq-a": "1.1",
    "prop-a": "Proposition 1.1",
    "ch-a": "*A chapter*",
    "a": "*A chapter* (chapter 1)",
    "ex-a": "Exercise 1.1",
    "ex-b": "Exercise 1.2",
}


def sample():
    notes = {"tags": ["notes", "remove-cell"]}
    cells = [
        v4.new_markdown_cell(TEXT),
        v4.new_code_cell("start = 1", execution_count=1),
        v4.new_markdown_cell("Say *this*.", metadata=notes),
        v4.new_markdown_cell("## Exercises\n\n" + EXERCISE),
        v4.new_code_cell(
            "from math import pi, tau\n\n\n@staticmethod\ndef double(n, by=start + 1):\n    return n * by"
        ),
        v4.new_code_cell("four, unused = double(2), pi", outputs=[]),
        v4.new_code_cell(
            "assert four == double(2) == sum(2 for four in (1, 2)) and tau",
            metadata={"tags": ["check"]},
            execution_count=4,
        ),
        v4.new_markdown_cell("One point for the sum.", metadata=notes),
        v4.new_markdown_cell("```{solution-end}\n```\n\n" + PROOF),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return v4.new_notebook(cells=cells)


@pytest.fixture
def small(tmp_path):
    """A chapter of the small book, as a function of the audience."""
    path = tmp_path / "a.ipynb"
    path.write_text(nbformat.writes(sample()), encoding="utf-8")
    (chapter,) = [type(CHAPTERS[0])(path, 1)]
    return lambda audience: course.notebook(chapter, audience, LABELS, r"$\newcommand{\R}{R}$")


def test_a_student_notebook(small):
    text = [cell.source for cell in small("student").cells]
    assert text[1].startswith("# A chapter\n\n<blockquote>\n\n**Proposition 1.1** (Sum)\n\n$$")
    assert "\\tag{1.1}\n$$" in text[1]
    assert "<summary><b>Proof of Proposition 1.1</b></summary>" in text[1]
    assert "See *A chapter* (chapter 1), `mflib.a.b` and the sum." in text[1]
    assert text[2:] == [
        "start = 1",
        "## Exercises",
        "### Exercise 1.1. Twice $n$\n\n*Computation · level 2 (half an hour)*",
        "Write `double(n)` and let `four` be its value at 2, see (1.1).",
        "# Exercise 1.1 (Twice n): replace this cell by your own.\n"
        "# The cell after it checks what is named here.\n"
        "from math import tau\nfour = ...\n\n\n"
        "def double(n, by=...):\n    raise NotImplementedError('double')\n\n\n"
        "raise NotImplementedError('Exercise 1.1 (Twice n)')",
        "assert four == double(2) == sum(2 for four in (1, 2)) and tau",
        "### Exercise 1.2. Why\n\n*Proof · level 1 (minutes)*",
        "Why?",
        "*Your answer:*",
    ]


def test_an_instructor_notebook(small):
    text = [cell.source for cell in small("instructor").cells]
    assert "<blockquote>\n\n**Speaker notes**\n\nSay *this*.\n\n</blockquote>" in text
    assert "<blockquote>\n\n**Marking hints**\n\nOne point for the sum.\n\n</blockquote>" in text
    assert text.index("**Solution**") + 1 == text.index(
        "A sum of the number and itself, by Proposition 1.1."
    )
    assert text[-1] == "Because it has to be so." and text.count("**Solution**") == 2


def test_a_student_notebook_runs_to_its_first_stub(small):
    with pytest.raises(CellExecutionError) as stopped:
        NotebookClient(small("student")).execute()
    assert stopped.value.ename == "NotImplementedError"
    assert stopped.value.evalue == "Exercise 1.1 (Twice n)"


def test_an_instructor_notebook_runs_through(small):
    notebook = small("instructor")
    NotebookClient(notebook).execute()
    assert [cell.execution_count for cell in code(notebook)] == [1, 2, 3, 4]


def cell_with(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": [*tags]}, outputs=[])


@pytest.mark.parametrize(
    "leak",
    [
        cell_with("four, unused = double(2), pi"),
        cell_with("    return n * by"),
        v4.new_markdown_cell("A sum of the number and itself, by {prf:ref}`prop-a`."),
        v4.new_markdown_cell("Because it has to be so."),
        v4.new_code_cell("4", execution_count=1),
        v4.new_code_cell("4", outputs=[v4.new_output("stream", text="4")]),
    ],
)
def test_leaks_are_found(small, leak):
    notebook = small("student")
    assert list(leaks(sample(), notebook)) == []
    notebook.cells.append(leak)
    assert list(leaks(sample(), notebook))


@pytest.mark.parametrize(
    ("solution", "check", "named"),
    [
        ("a = 1", "assert a", ["a = ..."]),
        ("a = b = 1", "assert b", ["b = ..."]),
        ("(a, *b), c[0] = x", "assert a + b + c", ["a = ...", "b = ..."]),
        ("for a in b: c = a", "assert c", ["c = ..."]),
        ("with a as b: pass", "b", ["b = ..."]),
        ("a = 1\na = 2", "a", ["a = ..."]),
        ("a = [b for b in c]", "assert b, b", []),
        ("a = 1", "a = 2\nassert a", []),
        ("a = 1", "def f(a): return a\nf(1)", []),
        ("a = 1", "def f(x): return a + x\nf(1)", ["a = ..."]),
        ("a = 1", "assert all(a for x in y)", ["a = ..."]),
        ("import numpy as np, math", "np.all(1)", ["import numpy as np"]),
    ],
)
def test_a_stub_names_what_the_checks_use(solution, check, named):
    kept = stubs.stub("Exercise 1.1", [solution], [check]).splitlines()
    assert [line for line in kept if not line.startswith(("#", "raise"))] == named


def test_blocks():
    text = "a\n\n````{one} two\n:b: c\n\nd\n```{in}\n```\n````\n:::{e}\n:::\nf"
    first, one, e, f = blocks(text)
    assert (first, f) == ("a", "f")
    assert one == Directive("one", "two", {"b": "c"}, "d\n```{in}\n```")
    assert e == Directive("e", "", {}, "")


def test_all_are_written(tmp_path):
    """Those of another book, with one numbered chapter; what else is in the folder stays."""
    book = tmp_path / "book"
    (book / "data").mkdir(parents=True)
    (book / "data" / "a.json").touch()
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy(ROOT / name, tmp_path / name)
    parts = "parts: [{caption: A, numbered: 1, chapters: [{file: book/a}]}]"
    (tmp_path / "_toc.yml").write_text(f"root: book/welcome\n{parts}\n")
    (book / "welcome.md").write_text("# Welcome")
    (book / "a.ipynb").write_text(nbformat.writes(sample()), encoding="utf-8")
    output = tmp_path / "made"
    output.mkdir()
    (output / "mine").touch()
    assert course.write_all(tmp_path, output) == course.write_all(tmp_path, output) == 1
    written = {str(path.relative_to(output)) for path in output.rglob("*.*")}
    assert written == {
        f"{who}/{name}" for who in course.INTRODUCTION for name in ("a.ipynb", "data/a.json")
    }
    assert (output / "mine").exists()
    student = nbformat.read(output / "student" / "a.ipynb", as_version=4)
    assert "**Proposition 1.1** (Sum)" in student.cells[1].source
