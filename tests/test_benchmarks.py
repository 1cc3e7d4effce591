"""The benchmarks run, at a size at which only the code is tried; nothing here measures a speed."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.measure import compare, growth


def test_a_row_is_printed_and_stored(tmp_path, capsys):
    stored = tmp_path / "bench.json"
    assert main(["--quick", "--only", "rate", "--output", str(stored)]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["row", "case", "by", "seconds", "ratio", "memory", "found"]
    found = json.loads(stored.read_text(encoding="utf-8"))
    assert found["provenance"]["quick"] and found["provenance"]["cores"] >= 1
    assert {"jax", "numpy", "python"} <= set(found["provenance"]["versions"])
    by = {row["by"]: row for row in found["rows"]}
    assert list(by) == ["matrix product", "dense", "tiled"] and len(lines) == 3
    assert by["matrix product"]["ratio"] == 1
    # The dense form's scratch is its 2048×2048 overlaps; a tile's is not.
    assert by["dense"]["bytes"] >= 4 * 2048**2 > by["tiled"]["bytes"]
    assert all(row["seconds"] > 0 and row["memory"] == "compiled" for row in by.values())


def test_candidates_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    lines = compare("row", "case", calls, 2, reference="b", sizes={"a": (8, "compiled")})
    assert order == list("ababab")
    assert [(line.by, line.bytes) for line in lines] == [("a", 8), ("b", None)]
    assert lines[1].ratio == 1


def test_growth_is_the_exponent():
    sizes = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(growth(sizes, 3 * sizes**1.5), 1.5, rtol=1e-12)


def test_nothing_is_stored_of_a_part(capsys, monkeypatch):
    """A run of some rows does not touch the file of the book."""
    rows = dict.fromkeys(("rate", "steps"), lambda quick: [])
    monkeypatch.setattr("benchmarks.__main__.ROWS", rows)
    written = []
    monkeypatch.setattr("benchmarks.__main__.write_whole", lambda path, text: written.append(text))
    assert main(["--quick"]) == 0 == main(["--only", "rate"]) and not written
    assert main([]) == 0 and len(written) == 1
    assert json.loads(written[0])["provenance"]["command"] == "python -m benchmarks"
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "invalid choice" in capsys.readouterr().err
