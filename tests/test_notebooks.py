"""Every stored notebook passes the guards of `guards.py`. Each is tried on a sample that it must refuse."""

import copy
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import execute
from chapters import chapters, pages
from guards import (
    GUARDS,
    GUARDS_OF_NUMBERED,
    code_cells,
    exercises_are_graded,
    exercises_have_solutions,
    figures_have_words,
    has_slides,
    no_error_and_no_stderr,
    notes_follow_slides,
    only_png_images,
    only_timings_are_ignored,
    quizzes_are_there,
    run_in_order,
    short_cells,
    sliders_are_stored,
    slides_are_well_formed,
    solutions_are_checked,
    something_is_checked,
    unique_ids,
)

ROOT = Path(__file__).parents[1]
CHAPTERS = chapters(ROOT)


@cache
def stored(chapter):
    return execute.read(chapter.path)


def test_every_page_of_the_contents_exists():
    generated = {ROOT / "book" / "ledger"}
    missing = [
        page.name
        for page, _ in pages(ROOT)
        if page not in generated
        and not page.with_suffix(".ipynb").exists()
        and not page.with_suffix(".md").exists()
    ]
    assert not missing


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_chapter(chapter, guard):
    assert list(guard(stored(chapter))) == []


@pytest.mark.parametrize("guard", GUARDS_OF_NUMBERED)
@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if c.number], ids=lambda c: c.name)
def test_numbered_chapter(chapter, guard):
    assert list(guard(stored(chapter))) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_normal_form(chapter):
    text = chapter.path.read_text(encoding="utf-8")
    assert text == execute.write(stored(chapter)), "run tools/execute.py --normalise"


# A chapter that passes every guard, and what to do to it to fail one of them.


def sample():
    figure = {"image": {"alt": "a line"}, "figure": {"caption": "A line.", "name": "fig-a"}}
    cells = [
        v4.new_markdown_cell("# Title"),
        v4.new_code_cell("assert 1 + 1 == 2"),
        v4.new_code_cell(
            "fig",
            metadata={"mystnb": figure},
            outputs=[
                v4.new_output("stream", name="stdout", text="1\n"),
                v4.new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"}),
            ],
        ),
    ]
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}}
    cells[1].outputs.append(v4.new_output("display_data", data=view))
    for label, kind in (("ex-a", "understanding"), ("ex-b", "computation"), ("ex-c", "proof")):
        options = f":label: {label}\n:class: {kind} level-1"
        start = f"```{{solution-start}} {label}\n:class: dropdown\n```\nThus:"
        cells += [
            v4.new_markdown_cell(f"```{{exercise-start}} Why\n{options}\n```\nWhy?"),
            v4.new_markdown_cell("```{exercise-end}\n```\n\n" + start),
            v4.new_code_cell("one = 1"),
            v4.new_code_cell("assert one", metadata={"tags": ["check"]}),
            v4.new_markdown_cell("```{solution-end}\n```"),
        ]
    answers = "- [ ] No.\n\n  Why.\n\n- [x] Yes.\n\n  Why.\n\n- [ ] No.\n\n  Why."
    question = f"```{{quiz}} A\n:label: quiz-a\n\nWhy?\n\n{answers}\n```"
    cells.append(v4.new_markdown_cell("\n\n".join(["## Quiz", *3 * [question]])))
    for number in range(8):
        cells += [
            v4.new_markdown_cell(f"## {number}", metadata={"tags": ["slide"]}),
            v4.new_code_cell("1", metadata={"tags": ["slide-more", "slide-code"]}),
            v4.new_markdown_cell("Say it.", metadata={"tags": ["notes", "remove-cell"]}),
        ]
    notebook = v4.new_notebook(cells=cells)
    state = {"a": {"model_name": "HTMLModel", "state": {"value": '<img alt="a line" src="x">'}}}
    notebook.metadata.widgets = nbformat.from_dict({execute.WIDGET_STATE: {"state": state}})
    for count, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
    return notebook


def replaced(notebook, old, new, count=-1):
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new, count)


def tag(cell, *tags):
    cell.metadata.tags = [*tags]


def frame(notebook, **model):
    """The state of the slider's only frame, its model changed by `model`."""
    found = notebook.metadata.widgets[execute.WIDGET_STATE].state.a
    found.update(model)
    return found.state


def stream(name):
    return v4.new_output("stream", name=name, text="x")


BROKEN = [
    (run_in_order, lambda n: n.cells[1].update(execution_count=None)),
    (run_in_order, lambda n: [c.update(execution_count=None) for c in code_cells(n)]),
    (run_in_order, lambda n: n.cells[1].update(execution_count=2)),
    (no_error_and_no_stderr, lambda n: n.cells[1].outputs.append(stream("stderr"))),
    (
        no_error_and_no_stderr,
        lambda n: n.cells[1].outputs.append(v4.new_output("error", ename="E")),
    ),
    (figures_have_words, lambda n: n.cells[2].metadata.clear()),
    (figures_have_words, lambda n: n.cells[2].metadata.mystnb.image.clear()),
    (figures_have_words, lambda n: n.cells[2].metadata.mystnb.figure.update(caption="")),
    (figures_have_words, lambda n: n.cells[2].metadata.mystnb.figure.pop("name")),
    (figures_have_words, lambda n: n.cells[2].outputs.pop(0)),
    (figures_have_words, lambda n: n.cells[2].outputs.append(n.cells[2].outputs[1])),
    (only_png_images, lambda n: n.cells[2].outputs[1].data.update({"image/svg+xml": ""})),
    (sliders_are_stored, lambda n: n.metadata.widgets[execute.WIDGET_STATE].state.clear()),
    (sliders_are_stored, lambda n: frame(n).update(value='<img src="x">')),
    (sliders_are_stored, lambda n: frame(n).update(value='<img alt="" src="x">')),
    (sliders_are_stored, lambda n: frame(n, model_name="OutputModel")),
    (unique_ids, lambda n: n.cells[1].update(id=n.cells[0].id)),
    (short_cells, lambda n: n.cells[1].update(source="x\n" * 41)),
    (short_cells, lambda n: n.cells[1].update(source="")),
    (only_timings_are_ignored, lambda n: n.cells[1].metadata.update(tags=["nbval-ignore-output"])),
    (only_timings_are_ignored, lambda n: n.cells[1].metadata.update(tags=["nbval-skip"])),
    (only_timings_are_ignored, lambda n: replaced(n, "assert", "# NBVAL_SKIP\nassert")),
    (something_is_checked, lambda n: replaced(n, "assert", "")),
    (exercises_have_solutions, lambda n: n.cells.pop(3)),
    (exercises_have_solutions, lambda n: n.cells.extend(6 * n.cells[3:8])),
    (
        exercises_have_solutions,
        lambda n: replaced(n, "solution-start} ex-b", "solution-start} ex-z"),
    ),
    (exercises_have_solutions, lambda n: replaced(n, ":class: dropdown", "")),
    (exercises_have_solutions, lambda n: replaced(n, ":label:", "")),
    (exercises_have_solutions, lambda n: [n.cells.pop(5), n.cells.pop(5)]),
    (exercises_are_graded, lambda n: replaced(n, "computation level-1", "proof level-1")),
    (exercises_are_graded, lambda n: replaced(n, "computation", "computation proof")),
    (exercises_are_graded, lambda n: replaced(n, "proof level-1", "proof")),
    (exercises_are_graded, lambda n: replaced(n, "proof level-1", "proof level-4")),
    (solutions_are_checked, lambda n: tag(n.cells[11])),
    (solutions_are_checked, lambda n: tag(n.cells[10], "check")),
    (solutions_are_checked, lambda n: [n.cells.pop(10), n.cells.pop(10)]),
    (solutions_are_checked, lambda n: tag(n.cells[1], "check")),
    (quizzes_are_there, lambda n: replaced(n, "## Quiz", "## Questions")),
    (quizzes_are_there, lambda n: replaced(n, "[x]", "[ ]")),
    (quizzes_are_there, lambda n: replaced(n, "- [ ]", "- [x]", 1)),
    (quizzes_are_there, lambda n: replaced(n, "{quiz}", "{note}", 1)),
    (notes_follow_slides, lambda n: tag(n.cells[1], "notes", "remove-cell")),
    (notes_follow_slides, lambda n: tag(n.cells[0], "notes", "remove-cell")),
    (notes_follow_slides, lambda n: tag(n.cells[0], "remove-cell")),
    (notes_follow_slides, lambda n: tag(n.cells[-1], "notes")),
    (slides_are_well_formed, lambda n: tag(n.cells[0], "slide-more")),
    (slides_are_well_formed, lambda n: tag(n.cells[-2], "slide", "slide-more")),
    (slides_are_well_formed, lambda n: tag(n.cells[1], "slide-code")),
    (slides_are_well_formed, lambda n: tag(n.cells[-1], "slide", "slide-code")),
    (has_slides, lambda n: tag(n.cells[-3])),
    (has_slides, lambda n: [tag(cell, "slide") for cell in n.cells]),
]


@pytest.mark.parametrize("guard", GUARDS + GUARDS_OF_NUMBERED)
def test_guard_accepts_the_sample(guard):
    assert list(guard(sample())) == []


@pytest.mark.parametrize(("guard", "damage"), BROKEN)
def test_guard_refuses_a_broken_sample(guard, damage):
    notebook = sample()
    damage(notebook)
    assert list(guard(notebook))


def test_every_guard_has_a_broken_sample():
    assert {guard for guard, _ in BROKEN} == {*GUARDS, *GUARDS_OF_NUMBERED}


@pytest.mark.parametrize(
    "damage",
    [
        lambda n: n.metadata.update(authors=[]),
        lambda n: n.cells[0].metadata.update(collapsed=True),
        lambda n: n.cells[1].outputs.extend([stream("stdout"), stream("stdout")]),
    ],
)
def test_normal_form_is_not_any_form(damage):
    notebook = sample()
    tidy = execute.write(notebook)
    assert tidy == execute.write(nbformat.reads(tidy, as_version=4))
    damaged = copy.deepcopy(notebook)
    damage(damaged)
    assert nbformat.writes(damaged) + "\n" != execute.write(damaged)
