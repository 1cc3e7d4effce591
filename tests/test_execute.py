"""Executing chapters: the normal form, and that a failure loses nothing."""

import base64
import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from PIL import Image, PngImagePlugin

import execute

ROOT = Path(__file__).parents[1]

PLOT = (
    "import matplotlib.pyplot as plt, sys\n"
    "fig, ax = plt.subplots(figsize=(1, 1))\n"
    "_ = ax.plot([0, 1])\n"
    "print('one', flush=True)\n"
    "print('two')"
)
WIDGETS = (
    "import ipywidgets as w\n"
    "a, b = w.IntSlider(), w.IntSlider()\n"
    "link = w.jslink((a, 'value'), (b, 'value'))\n"
    "display(w.VBox([a, b]))"
)


@pytest.fixture
def book(tmp_path):
    """Write a book of one chapter of code cells, and run the command on it."""

    class Book:
        path = tmp_path / "book" / "only.ipynb"

        def write(self, *sources):
            notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
            notebook.cells[0].metadata = {"tags": ["x"], "execution": {"started": "now"}}
            notebook.metadata.authors = [{"name": "somebody"}]
            nbformat.write(notebook, self.path)

        def run(self, *options):
            tool = [sys.executable, str(ROOT / "tools" / "execute.py"), "--root", str(tmp_path)]
            return subprocess.run([*tool, *options], capture_output=True, text=True)

    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/only\n")
    (tmp_path / "_config.yml").write_text("title: t\n")
    (tmp_path / "CITATION.cff").write_text("title: t\n")
    return Book()


def test_a_second_run_leaves_no_diff(book):
    book.write(PLOT, WIDGETS, "import os; print(os.path.basename(os.getcwd()))")
    first = book.run()
    assert first.returncode == 0 and "only" in first.stderr + first.stdout
    stored = book.path.read_bytes()
    notebook = nbformat.reads(stored.decode(), as_version=4)
    nbformat.validate(notebook)

    assert book.run("--check").returncode == 0
    assert book.run("only").returncode == 0
    assert book.path.read_bytes() == stored

    plot, widgets, where = notebook.cells
    assert plot.metadata == {"tags": ["x"]}
    assert [output.output_type for output in plot.outputs] == ["stream", "display_data"]
    assert plot.outputs[0].text == "one\ntwo\n"
    assert b"Software" not in base64.b64decode(plot.outputs[1].data["image/png"])
    assert where.outputs[0].text == "book\n"  # a chapter runs in its own folder
    assert set(notebook.metadata) == {"kernelspec", "language_info", "widgets"}
    assert "version" not in notebook.metadata.language_info
    state = notebook.metadata.widgets[execute.WIDGET_STATE]["state"]
    (view,) = [output.data for output in widgets.outputs]
    shown = view["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert list(state) == [f"{number:032x}" for number in range(len(state))]
    children = state[shown]["state"]["children"]
    assert [state[child.removeprefix("IPY_MODEL_")]["model_name"] for child in children] == [
        "IntSliderModel",
        "IntSliderModel",
    ]


def test_a_failure_leaves_the_chapter_and_says_where(book):
    book.write("print(1)", "x = 1 / 0", "print(2)")
    before = book.path.read_bytes()
    failed = book.run()
    assert failed.returncode == 1
    assert "only: cell 2 of 3" in failed.stderr
    assert "ZeroDivisionError" in failed.stderr
    assert book.path.read_bytes() == before
    assert list(book.path.parent.iterdir()) == [book.path]


def test_output_folder_leaves_the_source(book, tmp_path):
    book.write("print(1)")
    before = book.path.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stale").touch()
    assert book.run("--output", str(tmp_path / "out")).returncode == 0
    assert book.path.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "CITATION.cff",
        "_config.yml",
        "_toc.yml",
        "book",
    ]
    copy = json.loads((tmp_path / "out" / "book" / "only.ipynb").read_text())
    assert copy["cells"][0]["outputs"][0]["text"] == ["1\n"]


def test_the_record_of_a_run_is_that_of_the_stored_outputs(book, tmp_path):
    book.write("print(1)")
    record = tmp_path / "book" / "data" / "execution.json"
    assert book.run().returncode == 0
    first = json.loads(record.read_text())
    assert set(first["only"]) == {"seconds", "date", "python", "jax", "numpy", "device", "cores"}
    assert first["only"]["cores"] >= 1 and first["only"]["device"] == "cpu"

    old = json.dumps({"only": first["only"] | {"seconds": -1}})
    record.write_text(old)
    assert book.run().returncode == 0
    assert record.read_text() == old  # nothing changed
    assert book.run("--output", str(tmp_path / "out")).returncode == 0
    assert record.read_text() == old
    copy = json.loads((tmp_path / "out" / "book" / "data" / "execution.json").read_text())
    assert copy["only"]["seconds"] >= 0  # of this run
    book.write("print(2)")
    assert book.run().returncode == 0
    assert json.loads(record.read_text())["only"]["seconds"] >= 0


def test_check_and_normalise(book):
    book.write("print(1)")
    untidy = book.run("--check")
    assert untidy.returncode == 1 and "only.ipynb: not in normal form" in untidy.stdout
    assert book.run("--normalise").returncode == 0
    assert book.run("--check").returncode == 0


def test_unknown_chapter(book):
    book.write("print(1)")
    assert "no such chapter: nothing" in book.run("nothing").stderr


def test_cells_without_an_id_get_stable_ones(tmp_path):
    old = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    cell = {"cell_type": "markdown", "metadata": {}, "source": "text"}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old | {"cells": [cell, cell | {"id": "cell-0"}, cell]}))
    assert [c.id for c in execute.read(path).cells] == ["cell-0a", "cell-0", "cell-2"]


def test_png_keeps_its_picture_and_loses_its_texts():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Software", "somebody's, version 1")
    texts.add_itxt("Creation Time", "today")
    picture = Image.effect_noise((20, 20), 50)
    annotated, plain = io.BytesIO(), io.BytesIO()
    picture.save(annotated, "png", pnginfo=texts, dpi=(100, 100))
    picture.save(plain, "png", dpi=(100, 100))
    assert b"somebody" in annotated.getvalue()
    bare = execute.bare_png(annotated.getvalue())
    assert bare == plain.getvalue() == execute.bare_png(bare)
    assert Image.open(io.BytesIO(bare)).info["dpi"] == pytest.approx((100, 100), abs=0.1)


def test_png_of_a_time_stamp():
    png = io.BytesIO()
    Image.new("L", (2, 2)).save(png, "png")
    stamp = b"tIME" + struct.pack(">HBBBBB", 2025, 1, 2, 3, 4, 5)
    chunk = struct.pack(">I", 7) + stamp + struct.pack(">I", zlib.crc32(stamp))
    stamped = png.getvalue()[:33] + chunk + png.getvalue()[33:]  # after the header
    assert execute.bare_png(stamped) == png.getvalue()
