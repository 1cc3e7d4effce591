"""Guards against what nbval does not see in a stored notebook: each yields what is wrong with it."""

import re

import execute
import exercises
import quiz
from myst import Directive, pieces

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
