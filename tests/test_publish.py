"""The public address: written once, read by all that needs one; what the extensions add to pages."""

import importlib.util
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import v4
from sphinx.util.docutils import new_document

import citation
import execute
import execution
import page_metadata
import publish
from chapters import Chapter

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/example/book"
SITE = "https://example.org/chaos/"


def run(root, *arguments):
    tool = [sys.executable, ROOT / "tools" / "publish.py", "--root", root]
    return subprocess.run([*tool, *arguments], capture_output=True, text=True)


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The built site of a copy with an example address, cut to two pages."""
    folder = tmp_path_factory.mktemp("published")
    source = folder / "source"
    execute.copy_book(ROOT, source)
    part = {"caption": "One", "chapters": [{"file": "book/particles"}]}
    toc = {"format": "jb-book", "root": "book/welcome", "parts": [part]}
    (source / "_toc.yml").write_text(yaml.safe_dump(toc))
    done = run(source, REPOSITORY + ".git/", "--site", SITE.rstrip("/"))
    assert (done.returncode, done.stdout) == (0, "3 files changed\n"), done.stderr
    before = contents(source)
    again = run(source, REPOSITORY, "--site", SITE)
    assert (again.returncode, again.stdout) == (0, "0 files changed\n")
    assert contents(source) == before
    # References lead to pages that are cut: their warnings are expected here, so no -W.
    book = Path(sys.executable).parent / "jupyter-book"
    command = [book, "build", source, "--path-output", folder, "-q"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    return folder / "_build" / "html"


def parsed(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_launch_buttons_lead_to_the_chapter(published):
    links = {a["href"] for a in parsed(published / "book/particles.html").select("a.dropdown-item")}
    path = "book/particles.ipynb"
    assert f"https://mybinder.org/v2/gh/example/book/main?urlpath=lab/tree/{path}" in links
    assert f"https://colab.research.google.com/github/example/book/blob/main/{path}" in links


def test_pages_name_their_address(published):
    for name in ("welcome", "particles"):
        page = parsed(published / "book" / f"{name}.html")
        assert page.select_one("link[rel=canonical]")["href"] == f"{SITE}book/{name}.html"
        assert page.select_one("meta[property='og:url']")["content"] == f"{SITE}book/{name}.html"
        image = page.select_one("meta[property='og:image']")["content"]
        assert image.startswith(SITE) and (published / image.removeprefix(SITE)).is_file()
        assert f"url = {{{SITE}}}" in page.select_one("details.mflib-cite pre").text
    sitemap = (published / "sitemap.xml").read_text(encoding="utf-8")
    listed = re.findall("<loc>(.*?)</loc>", sitemap)
    assert listed == [f"{SITE}book/particles.html", f"{SITE}book/welcome.html"]
    robots = (published / "robots.txt").read_text(encoding="utf-8")
    assert robots == f"User-agent: *\nAllow: /\nSitemap: {SITE}sitemap.xml\n"
    assert parsed(published / "index.html").select_one("meta[property='og:url']")


def test_the_cell_is_not_shown(published):
    page = parsed(published / "book/particles.html")
    assert "find_spec" not in page.select_one("article").text


def notebook(tmp_path, *sources):
    path = tmp_path / "only.ipynb"
    cells = [v4.new_markdown_cell("# Only"), *map(v4.new_code_cell, sources)]
    path.write_text(execute.write(v4.new_notebook(cells=cells)), encoding="utf-8")
    return path


SOURCE = publish.SOURCE.format(repository=REPOSITORY, branch="main")


def test_the_cell_changes_nothing_where_mflib_is_installed(tmp_path):
    path = notebook(tmp_path, "import mflib\nprint(mflib.Activation([0, 1]).degree)", "1 + 1")
    path.write_text(execute.write(execute.execute(Chapter(path, None))), encoding="utf-8")
    path.write_text(publish.with_cell(path, SOURCE), encoding="utf-8")
    after = execute.read(path)
    assert [cell.execution_count for cell in after.cells[1:]] == [1, 2, 3]
    assert (after.cells[1].outputs, after.cells[1].metadata.tags) == ([], ["remove-cell"])
    assert publish.with_cell(path, SOURCE) == path.read_text(encoding="utf-8")
    executed = execute.write(execute.execute(Chapter(path, None)))
    assert executed == path.read_text(encoding="utf-8")


def test_the_cell_fetches_the_library_elsewhere(monkeypatch):
    said = []
    shell = SimpleNamespace(
        system=lambda line: said.append(line),
        run_line_magic=lambda name, line: said.append(f"{name} {line}"),
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(TransformerManager().transform_cell(SOURCE), {"get_ipython": lambda: shell})
    assert said == [
        f"git clone --quiet --depth 1 --branch main {REPOSITORY} book-source",
        "pip install --quiet ./book-source",
        "cd -q book-source/book",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["github.com/example/book"],
        ["https://github.com/example"],
        ["https://gitlab.com/example/book"],
        [REPOSITORY, "--site", "example.org"],
        [REPOSITORY, "--site", "https://example.org/?page"],
    ],
)
def test_bad_addresses_are_refused(tmp_path, arguments):
    refused = run(tmp_path, *arguments)
    assert refused.returncode == 2
    assert "expected https://" in refused.stderr and repr(arguments[-1]) in refused.stderr


@pytest.mark.parametrize("config", ["", 'repository:\n  url: ""\n'])
def test_a_config_without_the_keys_is_refused(tmp_path, config):
    (tmp_path / "_config.yml").write_text(config)
    refused = run(tmp_path, REPOSITORY)
    assert refused.returncode == 1 and "_config.yml: " in refused.stderr
    assert contents(tmp_path) == {tmp_path / "_config.yml": config.encode()}


def test_no_address_is_set_that_does_not_exist_yet():
    """Chapters have their first cell if, and only if, the repository has an address."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    with_cell = [
        path.name
        for path in (ROOT / "book").glob("*.ipynb")
        if any(cell.id == publish.CELL for cell in execute.read(path).cells)
    ]
    assert bool(with_cell) == bool(config["repository"]["url"])


@pytest.mark.parametrize(
    ("paragraphs", "text"),
    [
        (["One. Two? Three!"], "One. Two? Three!"),
        (["Of Wu et al. [W25] we know."], "Of Wu et al. [W25] we know."),
        ([r"As \frac{1}{2} grows.", "Then. More."], "Then. More."),
        ([r"First \frac{1}{2}. Second. The \int third. Fourth."], "Second."),
        ([r"Of order 1/\sqrt d with w^*."], "Of order 1/√d with w*."),
        (["Short. " + "L" * 200 + "."], "Short."),
        (["L" * 300 + "."], "L" * 300 + "."),
        ([r"\frac{1}{2}"], ""),
    ],
)
def test_description(paragraphs, text):
    document = new_document("page")
    document += [nodes.paragraph(text=paragraph) for paragraph in paragraphs]
    assert page_metadata.description(document) == text


def test_values_in_tags_are_escaped_and_empty_ones_left_out():
    found = page_metadata.tags("S", 'a "b" <c>', "", "card.png", "")
    assert 'content="a &quot;b&quot; &lt;c&gt;"' in found
    assert "description" not in found and "og:url" not in found


def test_citation_of_the_book():
    fields = {"title": "T", "authors": [{"name": "The authors"}], "version": "1.2"}
    fields["date-released"] = date(2026, 3, 4)
    assert citation.book_entry(fields) == (
        "@misc{mflib,\n  title = {T},\n  author = {{The authors}},\n  year = {2026},\n"
        "  month = {3},\n  version = {1.2}\n}"
    )
    assert "  url = {x}\n}" in citation.book_entry(fields, "x")


def test_citation_of_the_paper():
    references = "@a{one,\n  x = {}\n}\n\n@b{two,\n  y = {z}\n}\n"
    assert citation.paper_entry(references, "two") == "@b{two,\n  y = {z}\n}"
    with pytest.raises(ValueError, match="an entry three was expected"):
        citation.paper_entry(references, "three")


def test_the_record_of_a_run_in_words():
    record = {"seconds": 31, "cores": 2, "device": "cpu", "date": "2026-03-04"}
    record |= {"python": "3.11.2", "jax": "0.7", "numpy": "2.1"}
    words = "Executed in 31 s on 2 cores, Python 3.11.2, JAX 0.7, NumPy 2.1; 2026-03-04."
    assert execution.sentence(record) == words
    assert "on 1 core and GPU X," in execution.sentence(record | {"cores": 1, "device": "GPU X"})
