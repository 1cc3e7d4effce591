"""Make the graded problem sets: what students get, and a course folder for nbgrader.

    python tools/assignments.py          write _build/course/assignments/
    python tools/assignments.py --grade  then let nbgrader grade a full and an empty submission

The source of an assignment is `course/NAME.ipynb`, with solutions, hidden tests and rubrics, in nbgrader's
format. What is written:

- `student/NAME.ipynb`: regions of solutions are stubs, hidden tests and model answers are gone. It needs
  nothing but the book's own environment.
- `nbgrader/`: the folder in which `nbgrader` is run, with the sources and a configuration.

Both are written afresh, unless somebody works in them. `--grade` rehearses in a folder of its own, and needs
nbgrader (`.venv/bin/python -m pip install -e '.[course]'`); the rest does not.
"""

import argparse
import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from chapters import write_whole

ROOT = Path(__file__).parents[1]
CODE_STUB, TEXT_STUB = "# YOUR CODE HERE\nraise NotImplementedError()", "YOUR ANSWER HERE"
SOLUTION, HIDDEN = (
    re.compile(rf"^([ \t]*)### BEGIN {name}\n.*?^[ \t]*### END {name}$\n?", re.M | re.S)
    for name in ("SOLUTION", "HIDDEN TESTS")
)
CONFIG = """\
# What nbgrader needs to know of the course; its documentation lists everything else.
c = get_config()
c.CourseDirectory.course_id = "propagation-of-chaos"
c.ExecutePreprocessor.timeout = 300  # seconds a cell, compilation included
"""


# What nbgrader and the lecturer put there.
WORK = ("gradebook.db", "submitted", "autograded", "feedback")


class InUse(Exception):
    """The folder holds submissions or grades; the message says which."""


def assignments(root: Path = ROOT) -> list[Path]:
    """The sources, in order."""
    return sorted((root / "course").glob("*.ipynb"))


def role(cell: nbformat.NotebookNode) -> str:
    """What a cell is to the grader: text, given, solution, test or proof."""
    info = cell.metadata.get("nbgrader")
    if info is None:
        return "text"
    if info.solution:
        return "proof" if info.grade else "solution"
    return "test" if info.grade else "given"


def student(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy for students: stubs instead of solutions, no hidden tests, no answers, no rubrics."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        kind = role(cell)
        if kind == "solution":
            cell.source = SOLUTION.sub(_stub, cell.source).rstrip("\n")
        elif kind == "test":
            cell.source = HIDDEN.sub("", cell.source).rstrip("\n")
        elif kind == "proof":
            cell.source = TEXT_STUB
        if kind not in ("solution", "text"):
            cell.metadata.deletable = False
        if kind in ("given", "test"):
            cell.metadata.editable = False
    return notebook


def _stub(region: re.Match) -> str:
    return "".join(f"{region[1]}{line}\n" for line in CODE_STUB.splitlines())


def build(output: Path, root: Path = ROOT) -> None:
    """Write both folders afresh.

    Raises:
        InUse: The course folder there holds submissions or grades.
    """
    course = output / "nbgrader"
    if kept := [name for name in WORK if (course / name).exists()]:
        raise InUse(
            f"{course} holds {', '.join(kept)}, which would be deleted: move the folder elsewhere"
        )
    shutil.rmtree(output, ignore_errors=True)
    for source in assignments(root):
        target = course / "source" / source.stem / source.name
        for folder in (output / "student", target.parent):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        text = nbformat.writes(student(nbformat.read(source, as_version=4))).rstrip("\n") + "\n"
        write_whole(output / "student" / source.name, text)
    write_whole(course / "nbgrader_config.py", CONFIG)


def grade(output: Path) -> bool:
    """Let nbgrader release, collect and grade; True if the points are what they must be."""
    course, names = output / "nbgrader", [path.stem for path in assignments()]
    # nbgrader calls alembic, its neighbour, by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def nbgrader(*arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments, "--log-level=ERROR"]
        subprocess.run(command, cwd=course, env=os.environ | {"PATH": path}, check=True)

    same, expected = True, {}
    for name in names:
        nbgrader("generate_assignment", name, "--create")
        source, ours, theirs = (
            nbformat.read(folder / f"{name}.ipynb", as_version=4)
            for folder in (
                course / "source" / name,
                output / "student",
                course / "release" / name,
            )
        )
        differs = [
            mine.id
            for mine, other in zip(ours.cells, theirs.cells, strict=True)
            if mine.source.strip() != other.source.strip()
        ]
        same &= not differs
        print(f"{name}: nbgrader releases {'what we do' if not differs else differs}")
        for who, folder in (
            ("full", course / "source" / name),
            ("empty", course / "release" / name),
        ):
            handed_in = course / "submitted" / who / name
            handed_in.mkdir(parents=True)
            shutil.copy(folder / f"{name}.ipynb", handed_in)
        nbgrader("autograde", name, "--create")
        tests = [cell.metadata.nbgrader.points for cell in source.cells if role(cell) == "test"]
        expected |= {(name, "full"): sum(tests), (name, "empty"): 0}
    nbgrader("export", "--to=grades.csv")
    with (course / "grades.csv").open(encoding="utf-8") as table:
        rows = {(row["assignment"], row["student_id"]): row for row in csv.DictReader(table)}
    for key, points in expected.items():
        row = rows[key]
        print(
            f"{' '.join(key)}: {float(row['score']):g} of {float(row['max_score']):g}, {points} by tests"
        )
        same &= float(row["score"]) == points
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the graded problem sets.")
    parser.add_argument("--grade", action="store_true", help="and rehearse the grading by nbgrader")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "_build/course/assignments", help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.grade and importlib.util.find_spec("nbgrader") is None:
        parser.error("--grade needs nbgrader: .venv/bin/python -m pip install 'nbgrader>=0.9.6'")
    try:
        build(args.output.resolve())
    except InUse as error:
        print(f"assignments: {error}", file=sys.stderr)
        return 1
    print(f"The problem sets are in {args.output}: student/, and nbgrader/ for the lecturer")
    if not args.grade:
        return 0
    with tempfile.TemporaryDirectory() as rehearsal:
        build(Path(rehearsal))
        if grade(Path(rehearsal)):
            return 0
    print("failed: nbgrader does not give what is expected, see above", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
