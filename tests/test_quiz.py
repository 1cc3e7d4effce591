"""The quiz directive: its HTML, and the forms that it refuses. Its pages are tried in `test_browser.py`."""

import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import exercises

EXTENSIONS = Path(__file__).parents[1] / "book" / "_ext"
GOOD = """\
```{quiz} Which clock?
:label: quiz-a

The question $x$.

- [ ] Wrong, see {ref}`quiz-a`.

  Why not.

- [x] Right.

  Why.

  More.

- [ ] Wrong too.

  - Why not.
```
"""
BROKEN = {
    "no-plain-title": (GOOD.replace("clock", "*clock*"), "a title of plain words"),
    "no-label": (GOOD.replace(":label: quiz-a", ""), "a :label: was expected"),
    "no-question": (GOOD.replace("The question $x$.", ""), "a question was expected"),
    "no-answers": (GOOD.split("- [ ]")[0] + "```", "after it a list of answers"),
    "none-right": (GOOD.replace("[x]", "[ ]"), "one right answer was expected, got 0"),
    "all-right": (GOOD.replace("[ ]", "[x]"), "one right answer was expected, got 3"),
    "too-few": (GOOD.replace("- [ ] Wrong too.\n\n  - Why not.", ""), "three or four answers"),
    "no-feedback": (GOOD.replace("  Why not.\n", "", 1), "an answer without feedback"),
    "no-box": (GOOD.replace("[ ] Wrong, ", "Wrong, "), "begin with [ ] or [x]"),
    "twice": (GOOD + "\n" + GOOD, "duplicate label: quiz-a"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages of one build, and what it said."""
    folder = tmp_path_factory.mktemp("quizzes")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.append({str(EXTENSIONS)!r})\n"
        "extensions = ['myst_parser', 'quiz']\nmyst_enable_extensions = ['dollarmath']\n"
    )
    pages = {"index": GOOD} | {name: text for name, (text, _) in BROKEN.items()}
    for number, (name, text) in enumerate(pages.items()):
        own = text if name == "index" else text.replace("quiz-a", f"quiz-{number}")
        (folder / f"{name}.md").write_text(f"# Title\n\n{own}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", folder, folder / "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / "out", done.stderr


def test_a_quiz_is_a_group_of_radio_buttons_with_feedback(built):
    page = BeautifulSoup((built[0] / "index.html").read_text(encoding="utf-8"), "html.parser")
    (quiz,) = page.select("div.mflib-quiz#quiz-a")
    assert quiz.legend.decode_contents() == "Which clock?"
    described = quiz.fieldset["aria-describedby"]
    assert page.find(id=described).text.strip() == r"The question \(x\)."
    inputs = quiz.select("fieldset > ol > li > input[type=radio]")
    assert [page.select_one(f"label[for={i['id']}]").text for i in inputs] == [
        "Wrong, see Which clock?.",
        "Right.",
        "Wrong too.",
    ]
    assert {button["name"] for button in inputs} == {"quiz-a"}
    feedback = quiz.select("details > .mflib-quiz-feedback")
    assert [each["data-answer"] for each in feedback] == [button["id"] for button in inputs]
    assert [each.p.text.strip() for each in feedback] == [
        "a. Not so. Why not.",
        "b. Right. Why.",
        "c. Not so.",
    ]
    assert ["right" in each["class"] for each in feedback] == [False, True, False]
    assert "index.md" not in built[1]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_quiz_is_a_warning(built, name):
    said = [line for line in built[1].splitlines() if f"{name}.md:" in line]
    expected = BROKEN[name][1].replace("quiz-a", "quiz-")
    assert any("ERROR" in line and expected in line for line in said), built[1]


def test_words_of_an_exercise():
    assert exercises.words(["exercise", "level-2", "proof"]) == "Proof · level 2 (half an hour)"
    assert exercises.words(["exercise"]) == ""
