"""Flip books: what is stored works without a kernel, and every frame has words."""

import re

import pytest
from ipywidgets.embed import dependency_state

from mflib.explore import flip_book


def draw(ax, value):
    _ = ax.plot([0, 1], [0, value])
    return f'A line of slope "{value}".'


def test_one_frame_for_each_value_with_its_words():
    book = flip_book(draw, [1.0, 2.0, 3.0], label="slope", start=1)
    slider, pages = book.children
    assert len(pages.children) == len(slider.options) == 3
    assert pages.selected_index == slider.index == 1
    for value, frame in zip((1.0, 2.0, 3.0), pages.children, strict=True):
        assert f'alt="A line of slope &quot;{value}&quot;."' in frame.value
        assert re.search(r'src="data:image/webp;base64,[A-Za-z0-9+/=]{500,}"', frame.value)
    assert len({frame.value for frame in pages.children}) == 3


def test_slider_and_pages_are_linked_in_the_browser():
    book = flip_book(draw, [1.0, 2.0], label="slope")
    slider, pages = book.children
    state = dependency_state([book])
    links = [model["state"] for model in state.values() if model["model_name"] == "LinkModel"]
    ends = [(link["source"], link["target"]) for link in links]
    names = [f"IPY_MODEL_{widget.model_id}" for widget in (slider, pages)]
    assert ends == [([names[0], "index"], [names[1], "selected_index"])]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"values": [1.0]}, "values"),
        ({"values": [1.0, 2.0], "start": 2}, "start"),
        ({"draw": lambda ax, value: None}, "draw"),
    ],
)
def test_bad_input_is_named(arguments, name):
    arguments = {"draw": draw, "values": [1.0, 2.0]} | arguments
    with pytest.raises(ValueError, match=f"`{name}`"):
        flip_book(arguments.pop("draw"), arguments.pop("values"), label="x", **arguments)
