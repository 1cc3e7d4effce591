"""Sphinx extension: the kind and the level of an exercise, which are its classes, in words beside its title."""

from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import is_exercise_node

KINDS = {
    "understanding": "Check your understanding",
    "computation": "Computation",
    "proof": "Proof",
}
LEVELS = {
    "level-1": "level 1 (minutes)",
    "level-2": "level 2 (half an hour)",
    "level-3": "level 3 (an evening)",
}


def words(classes: list[str]) -> str:
    """What is said of an exercise with these classes."""
    said = [names[name] for names in (KINDS, LEVELS) for name in classes if name in names]
    return " · ".join(said)


class Words(SphinxPostTransform):
    """Add the words to the titles."""

    default_priority = 30  # after sphinx-exercise has made its titles

    def run(self, **kwargs: Any) -> None:
        for exercise in self.document.findall(is_exercise_node):
            if said := words(exercise["classes"]):
                title = exercise[0]
                title += [nodes.Text(" "), nodes.inline("", said, classes=["mflib-exercise-kind"])]


def setup(app: Any) -> dict[str, bool]:
    app.add_post_transform(Words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
