"""The ledger: generated from stored outputs, complete, and refused when it cannot be."""

import json
from pathlib import Path

import pytest

import ledger
import mflib.claims
from chapters import chapters

ROOT = Path(__file__).parents[1]


def record(key="a", **changes):
    fields = {"source": "ours", "value": "1", "criterion": "at most 2", "why": "", "status": "ours"}
    return {"key": key, "statement": "$|x|$ is\nsmall"} | fields | changes


@pytest.fixture
def book(tmp_path):
    """Write a book of chapters with given claims; the first page is not numbered."""

    def write(*claims_of_chapters):
        (tmp_path / "book").mkdir(exist_ok=True)
        names = [f"chapter{number}" for number in range(len(claims_of_chapters))]
        for name, claims in zip(names, claims_of_chapters, strict=True):
            heading = {"cell_type": "markdown", "source": [f"# The {name}\n", "text"]}
            outputs = [{"output_type": "display_data", "data": {ledger.MIME: c}} for c in claims]
            outputs.append({"output_type": "stream", "name": "stdout", "text": "1"})
            code = {"cell_type": "code", "source": "claim(…)", "outputs": outputs}
            path = tmp_path / "book" / f"{name}.ipynb"
            path.write_text(json.dumps({"cells": [heading, code]}))
        numbered = "".join(f"      - file: book/{name}\n" for name in names[1:])
        toc = f"root: book/{names[0]}\nparts:\n  - numbered: 1\n    chapters:\n{numbered}"
        (tmp_path / "_toc.yml").write_text(toc + "  - chapters:\n      - file: book/notation\n")
        return chapters(tmp_path)

    return write


def test_type_is_that_of_the_claims():
    assert ledger.MIME == mflib.claims.MIME


def test_page(book):
    page = ledger.ledger(book([], [record("a"), record("b", why="because")], [record("c")]))
    assert "**3 claims**: 3 ours." in page
    assert "## 1. The chapter1" in page and "## 2. The chapter2" in page and "chapter0" not in page
    (row,) = [line for line in page.splitlines() if "claim-b" in line]
    assert row == (
        r'| $\|x\|$ is small <a href="chapter1.html#claim-b"><code>b</code></a> '
        "| ours | 1 | at most 2; because | ours |"
    )


def test_counts_by_status(book):
    abstract = {"source": "abstract", "status": "partly"}
    page = ledger.ledger(book([record("a", **abstract)], [record("b", **abstract)], [record("c")]))
    assert "**3 claims**: 1 ours, 2 partly." in page


def test_repeated_key_is_refused(book):
    with pytest.raises(ledger.LedgerError, match="same key: a"):
        ledger.ledger(book([], [record("a")], [record("b"), record("a")]))


def test_numbered_chapter_without_a_claim_is_refused(book):
    with pytest.raises(
        ledger.LedgerError, match="without a claim in their stored outputs: chapter2"
    ):
        ledger.ledger(book([], [record("a")], []))


def test_command_writes_the_page_or_fails(book, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ledger.py", str(tmp_path)])
    book([], [record("a")])
    assert ledger.main() == 0
    assert "claim-a" in (tmp_path / "book" / "ledger.md").read_text()
    book([], [])
    assert ledger.main() == 1
    assert "chapter1" in capsys.readouterr().err


def test_every_claim_of_the_book_has_its_row():
    book = chapters(ROOT)
    page = ledger.ledger(book)
    for chapter in book:
        called = sum(source.count("claim(\n") for source in _code(chapter))
        assert len(ledger.claims(chapter)) >= called
        assert all(f"#claim-{c['key']}" in page for c in ledger.claims(chapter))


def _code(chapter):
    cells = json.loads(chapter.path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
