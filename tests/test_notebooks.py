"""Guards against what nbval does not see. Each is tried on a sample that it must refuse."""

import copy
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import execute
import exercises
import quiz
from chapters import chapters, pages
from myst import Directive, pieces

ROOT = Path(__file__).parents[1]
CHAPTERS = chapters(ROOT)
LONGEST_CELL = 40
EXERCISES = (3, 8)
QUIZZES = 3
SLIDES = (8, 14)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def prose(notebook):
    """The text of a chapter, in which a line ``<code>`` stands for each code cell."""
    parts = [cell.source if cell.cell_type == "markdown" else "<code>" for cell in notebook.cells]
    return "\n\n".join(parts)


@cache
def stored(chapter):
    return execute.read(chapter.path)


# Every guard takes a notebook and yields what is wrong with it.


def run_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"cells not run from first to last in one go: execution counts {counts}"


def no_error_and_no_stderr(notebook):
    for output in outputs(notebook):
        if output.output_type == "error":
            yield f"an error is stored: {output.ename}"
        elif output.output_type == "stream" and output.name != "stdout":
            yield f"output on {output.name}: {output.text[:60]!r}"


def figures_have_words(notebook):
    """A figure has an alternative text and a caption, and its cell prints its numbers."""
    for cell in code_cells(notebook):
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        if "image/png" not in kinds:
            continue
        words = cell.metadata.get("mystnb", {})
        figure = words.get("figure", {})
        given = {
            "an alternative text": words.get("image", {}).get("alt"),
            "a caption": figure.get("caption"),
            "a name": figure.get("name"),
            "printed numbers": any(output.output_type == "stream" for output in cell.outputs),
        }
        yield from (f"cell {cell.id}: its figure lacks {what}" for what in given if not given[what])
        if kinds.count("image/png") > 1:
            yield f"cell {cell.id}: more than one figure"


def only_png_images(notebook):
    kinds = {kind for output in outputs(notebook) for kind in output.get("data", {})}
    yield from (f"{kind} is stored" for kind in kinds if re.match(r"image/(?!png)", kind))


def sliders_are_stored(notebook):
    """A slider works without a kernel: its state is stored, and each of its frames has words."""
    stored = notebook.metadata.get("widgets", {}).get(execute.WIDGET_STATE, {}).get("state", {})
    for cell in code_cells(notebook):
        for output in cell.outputs:
            view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json")
            if view and view["model_id"] not in stored:
                yield f"cell {cell.id}: the state of its widget is not stored"
    for model in stored.values():
        if re.search(r"<img(?![^>]* alt=\"[^\"]+\")", str(model["state"].get("value", ""))):
            yield "a frame of a slider lacks an alternative text"
        if model["model_name"] == "OutputModel":
            yield "an Output widget is stored: it needs a kernel"


def unique_ids(notebook):
    ids = [cell.id for cell in notebook.cells]
    yield from (f"cell id {name} is used twice" for name in {i for i in ids if ids.count(i) > 1})


def short_cells(notebook):
    for cell in code_cells(notebook):
        if not 1 <= len(cell.source.splitlines()) <= LONGEST_CELL:
            yield f"cell {cell.id}: {len(cell.source.splitlines())} lines"


def only_timings_are_ignored(notebook):
    """Whatever makes nbval or the executor pass over a cell is for cells that show timings."""
    for cell in code_cells(notebook):
        tags = set(cell.metadata.get("tags", []))
        if "nbval-ignore-output" in tags and "timing" not in tags:
            yield f"cell {cell.id}: output ignored, and not tagged as a timing"
        for tag in tags & {
            "nbval-skip",
            "nbval-raises-exception",
            "raises-exception",
            "skip-execution",
        }:
            yield f"cell {cell.id}: tagged {tag}"
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source):
            yield f"cell {cell.id}: a comment to nbval"


def something_is_checked(notebook):
    if not any(re.search(r"\bassert|\bclaim\(", cell.source) for cell in code_cells(notebook)):
        yield "nothing is asserted or claimed"


def exercises_have_solutions(notebook):
    text = prose(notebook)
    exercises = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n((?::[^\n]*\n)*)", text)
    labels = [label for options in exercises for label in re.findall(r":label: *(\S+)", options)]
    if not EXERCISES[0] <= len(exercises) <= EXERCISES[1]:
        yield f"{len(exercises)} exercises"
    if len(labels) != len(exercises):
        yield "an exercise without a label"
    solution = r"\{solution(?:-start)?\} *(\S+)[^\n]*\n((?::[^\n]*\n)*)"
    solutions = dict(re.findall(solution, text))
    yield from (f"no solution to {label}" for label in labels if label not in solutions)
    yield from (
        f"the solution to {label} is not hidden"
        for label, options in solutions.items()
        if not re.search(r":class:.*\bdropdown\b", options)
    )
    bodies = re.findall(r"\{solution-start\}(.*?)\{solution-end\}", text, re.DOTALL)
    running = sum("<code>" in body for body in bodies)
    if running < EXERCISES[0]:
        yield f"only {running} solutions hold a code cell"


def exercises_are_graded(notebook):
    """Each is of one kind and one level, and a chapter has all kinds."""
    found = {piece.exercise for piece in pieces(notebook)} - {None}
    for exercise in found:
        for names in (exercises.KINDS, exercises.LEVELS):
            if sum(exercise.classes.count(name) for name in names) != 1:
                yield f"{exercise.label}: one of {', '.join(names)} was expected as its class"
    present = {name for exercise in found for name in exercise.classes}
    yield from (f"no exercise is of the kind {kind}" for kind in exercises.KINDS.keys() - present)


def solutions_are_checked(notebook):
    """What a computation defines is checked by a later cell, which students have too."""
    code = {}
    for piece in pieces(notebook):
        if piece.solution and piece.content is None:
            code.setdefault(piece.exercise, []).append("check" in piece.tags)
        elif "check" in piece.tags:
            yield f"cell {piece.cell.id}: a check outside a solution's code"
        if piece.exercise and "computation" in piece.exercise.classes:
            code.setdefault(piece.exercise, [])
    for exercise, checks in code.items():
        wanted = "computation" in exercise.classes or True in checks
        if wanted and (False not in checks or True not in checks[checks.index(False) :]):
            yield f"{exercise.label}: a cell and after it a check of it were expected"


def quizzes_are_there(notebook):
    """Their form is checked when the site is built; here, that they stand in their section."""
    titles, found = [], []
    for piece in pieces(notebook):
        if isinstance(piece.content, Directive) and piece.content.name == "quiz":
            found.append(titles[-1:])
            rights = re.findall(r"^- \[([xX ])\]", piece.content.body, re.MULTILINE)
            least, most = quiz.ANSWERS
            if sum(box != " " for box in rights) != 1 or not least <= len(rights) <= most:
                yield f"{piece.content.argument}: one right answer of three or four was expected"
        elif isinstance(piece.content, str):
            titles += re.findall(r"^## (.+)$", piece.content, re.MULTILINE)
    if found != QUIZZES * [["Quiz"]]:
        yield f"{QUIZZES} quizzes in a section Quiz were expected, got {len(found)} in {found}"


def notes_follow_slides(notebook):
    """Notes are of the slide before them, or marking hints in a solution; the site leaves them out."""
    before = set()
    hints = {piece.cell.id for piece in pieces(notebook) if piece.solution}
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if "notes" in tags:
            if cell.cell_type != "markdown" or "remove-cell" not in tags:
                yield f"cell {cell.id}: notes are markdown with the tag remove-cell"
            if not before & {"slide", "slide-more"} and cell.id not in hints:
                yield f"cell {cell.id}: notes after no slide"
        elif cell.cell_type == "markdown" and "remove-cell" in tags:
            yield f"cell {cell.id}: text that is shown nowhere"
        before = tags


def slides_are_well_formed(notebook):
    begun = False
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        begun = begun or "slide" in tags
        if "slide-more" in tags and ("slide" in tags or not begun):
            yield f"cell {cell.id}: slide-more is for the cells after a slide's first"
        if "slide-code" in tags and not (
            cell.cell_type == "code" and tags & {"slide", "slide-more"}
        ):
            yield f"cell {cell.id}: slide-code is for code on a slide"


def has_slides(notebook):
    count = sum("slide" in cell.metadata.get("tags", []) for cell in notebook.cells)
    if not SLIDES[0] <= count <= SLIDES[1]:
        yield f"{count} slides"


GUARDS = [
    run_in_order,
    no_error_and_no_stderr,
    figures_have_words,
    only_png_images,
    sliders_are_stored,
    unique_ids,
    short_cells,
    only_timings_are_ignored,
    notes_follow_slides,
    slides_are_well_formed,
]
GUARDS_OF_NUMBERED = [
    something_is_checked,
    exercises_have_solutions,
    exercises_are_graded,
    solutions_are_checked,
    quizzes_are_there,
    has_slides,
]


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
