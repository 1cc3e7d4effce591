"""Sphinx extension: a question with answers to choose from, each with its feedback, in a static page.

    ```{quiz} Title
    :label: quiz-chapter-word

    The question.

    - [ ] A wrong answer.

      Why it is wrong.

    - [x] The right answer.

      Why it is right.
    ```

The page holds a group of radio buttons and, below a title that opens, the feedback to every answer; that is
what readers without scripts have, and paper. `quiz.js` adds a button for the
feedback to the chosen answer.
"""

import re
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

ANSWERS = (3, 4)
BOX = re.compile(r"\[([ xX])\]\s+")
VERDICTS = {True: "Right.", False: "Not so."}


class tag(nodes.General, nodes.TextElement):
    """An HTML element, its name in `kind` and its attributes in `html`; it may hold links and text."""


def _element(kind: str, *children: nodes.Node, id: str = "", classes: str = "", **html: str) -> tag:
    ids = [id] if id else []
    return tag("", "", *children, kind=kind, html=html, ids=ids, classes=classes.split())


class Quiz(SphinxDirective):
    """The directive: exactly one answer is right, and each has feedback."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"label": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        label = self.options.get("label")
        if not label:
            raise self.error("quiz: a :label: was expected")
        content = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, content)
        *question, answers = content.children or [None]
        if not (question and isinstance(answers, nodes.bullet_list)):
            raise self.error(f"{label}: a question was expected, and after it a list of answers")
        rights = [self._taken_box(label, item) for item in answers]
        if rights.count(True) != 1:
            raise self.error(f"{label}: one right answer was expected, got {rights.count(True)}")
        if not ANSWERS[0] <= len(rights) <= ANSWERS[1]:
            raise self.error(f"{label}: three or four answers were expected, got {len(rights)}")
        if re.search(r"[$*`]", self.arguments[0]):  # `{ref}` shows it as it stands
            raise self.error(f"{label}: a title of plain words was expected")
        title, messages = self.state.inline_text(self.arguments[0], self.lineno)
        box = self._box(label, title, question, list(zip(answers.children, rights, strict=True)))
        self._register(label)
        return [box, *messages]

    def _taken_box(self, label: str, item: nodes.list_item) -> bool:
        """Whether an answer is the right one; its `[ ]` or `[x]` is taken away."""
        text = next(iter(item.findall(nodes.Text)), None)
        found = BOX.match(text) if text and isinstance(item[0], nodes.paragraph) else None
        if not found or text.parent is not item[0]:
            raise self.error(f"{label}: an answer was expected to begin with [ ] or [x]")
        if len(item) == 1:
            raise self.error(f"{label}: an answer without feedback: {item.astext()!r}")
        text.parent.replace(text, nodes.Text(text[found.end() :]))
        return found[1] != " "

    def _box(
        self, label: str, title: list, question: list, answers: list[tuple[nodes.list_item, bool]]
    ) -> tag:
        choices, feedback = [], []
        for letter, (item, right) in zip("abcd", answers, strict=False):
            name = f"{label}-{letter}"
            first, *why = item.children
            choices.append(
                _element(
                    "li",
                    _element("input", type="radio", name=label, id=name, autocomplete="off"),
                    _element("label", *first.children, **{"for": name}),
                )
            )
            verdict = nodes.strong("", f"{letter}. {VERDICTS[right]}")
            if not isinstance(why[0], nodes.paragraph):
                why.insert(0, nodes.paragraph())
            why[0].insert(0, [verdict, nodes.Text(" ")])
            classes = f"mflib-quiz-feedback {'right' if right else 'wrong'}"
            feedback.append(_element("div", *why, classes=classes, **{"data-answer": name}))
        asked = f"{label}-question"
        group = _element(
            "fieldset",
            _element("legend", *title),
            _element("div", *question, classes="mflib-quiz-question", id=asked),
            _element("ol", *choices, type="a"),
            **{"aria-describedby": asked},
        )
        key = _element("details", _element("summary", nodes.Text("Answers")), *feedback)
        return _element("div", group, key, id=label, classes="mflib-quiz")

    def _register(self, label: str) -> None:
        """Make the label one that `{ref}` knows."""
        labels = self.env.get_domain("std")
        if label in labels.labels:
            raise self.error(f"duplicate label: {label}")
        labels.anonlabels[label] = self.env.docname, label
        labels.labels[label] = self.env.docname, label, self.arguments[0]


def _visit(translator: Any, node: tag) -> None:
    translator.body.append(translator.starttag(node, node["kind"], "", **node["html"]))


def _depart(translator: Any, node: tag) -> None:
    if node["kind"] != "input":
        translator.body.append(f"</{node['kind']}>\n")


def setup(app: Any) -> dict[str, bool]:
    app.add_node(tag, html=(_visit, _depart))
    app.add_directive("quiz", Quiz)
    app.add_css_file("quiz.css")
    app.add_js_file("quiz.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
