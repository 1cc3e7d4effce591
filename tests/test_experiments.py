"""Sweeps that can be killed at any time, and the study of widths, whose stored results are checked."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import widths
from experiments.sweep import Sweep, rounded
from experiments.width_table import measured_width
from experiments.widths import Run, measure, nested_start
from mflib import Activation, SingleIndex

ROOT = Path(__file__).parents[1]
STORED = ROOT / "book" / "data" / "widths.json"
STUDY = json.loads(STORED.read_text(encoding="utf-8"))


@dataclasses.dataclass(frozen=True)
class Square:
    x: float


SQUARES = [Square(x / 3) for x in (4, 1, 3, 2)]


@pytest.fixture
def sweep(tmp_path):
    """Squares of numbers, and the list of those that were computed."""
    computed = []

    def square(config):
        computed.append(config.x)
        if config.x < 0:
            raise RuntimeError("negative")
        return {"square": np.array([config.x**2])}

    return Sweep("toy", "1", square, lambda config: config.x, tmp_path), computed


def summary(runs):
    return {"rows": [{"x": config.x, **result} for config, result in runs]}


def test_a_finished_run_is_not_run_again(sweep):
    sweep, computed = sweep
    outcome = sweep.start(SQUARES[:3])
    assert (outcome.done, outcome.total, outcome.failed, outcome.interrupted) == (3, 3, 0, False)
    assert computed == sorted(computed)  # cheapest first
    stamps = {config: sweep.path(config).stat().st_mtime_ns for config in SQUARES[:3]}
    assert sweep.start(SQUARES).done == 4
    assert computed[3:] == [SQUARES[3].x]
    assert all(sweep.path(config).stat().st_mtime_ns == old for config, old in stamps.items())
    assert sweep.record(SQUARES[0])["result"] == {"square": [SQUARES[0].x ** 2]}  # every digit


def test_a_damaged_file_counts_as_missing(sweep):
    sweep, computed = sweep
    sweep.start(SQUARES)
    text = sweep.path(SQUARES[0]).read_text()
    result = str(SQUARES[0].x ** 2)
    for damaged in (text[:-9], "", "[1]", "{}", text.replace(result, result[:-1] + "0")):
        assert damaged != text
        sweep.path(SQUARES[0]).write_text(damaged)
        computed.clear()
        assert sweep.record(SQUARES[0]) is None
        sweep.start(SQUARES)
        assert computed == [SQUARES[0].x]


def test_hash_is_of_all_that_decides(sweep):
    sweep, _ = sweep
    keys = {
        sweep.key(Square(1.0)),
        sweep.key(Square(1.0 + 1e-15)),
        dataclasses.replace(sweep, version="2").key(Square(1.0)),
        dataclasses.replace(sweep, name="other").key(Square(1.0)),
    }
    assert len(keys) == 4
    assert sweep.key(Square(1.0)) == sweep.key(Square(1.0))


def test_budget_failure_and_order(sweep, capsys):
    sweep, computed = sweep
    assert sweep.start(SQUARES, budget=0).done == 0 and computed == []
    outcome = sweep.start([Square(-1.0), *SQUARES], order=lambda config: -config.x)
    assert (outcome.done, outcome.failed) == (4, 1)
    assert computed == sorted(computed, reverse=True)
    assert "failed: Square(x=-1.0): negative" in capsys.readouterr().err


def test_interruption_keeps_what_is_done(sweep):
    sweep, _ = sweep

    def stop(config):
        if config.x == 1:
            raise KeyboardInterrupt
        return sweep.run(config)

    outcome = dataclasses.replace(sweep, run=stop).start(SQUARES)
    assert (outcome.done, outcome.interrupted) == (2, True)


def test_interruption_on_several_devices(sweep):
    """What is in flight on the other device is finished, and nothing new begun."""
    sweep, _ = sweep
    both = threading.Barrier(2, timeout=60)

    def stop(config):
        if config.x < 2:
            both.wait()
        if config.x == 1:
            raise KeyboardInterrupt
        time.sleep(0.2)
        return {}

    configs = [Square(float(x)) for x in range(30)]
    outcome = dataclasses.replace(sweep, run=stop).start(configs, devices=2 * jax.devices())
    assert outcome.interrupted and outcome.failed == 0
    assert 1 <= outcome.done < 15  # 1, if this process gets to run within 0.2 seconds
    assert sweep.record(configs[0]) and not sweep.record(configs[-1])


def test_two_at_a_time_are_refused(sweep):
    sweep, _ = sweep
    nested = dataclasses.replace(sweep, run=lambda config: sweep.start(SQUARES) and {})
    assert nested.start(SQUARES[:1]).failed == 1


def test_collect_does_not_mix_versions_silently(sweep, tmp_path, monkeypatch):
    sweep, _ = sweep
    output = tmp_path / "data" / "toy.json"
    with pytest.raises(ValueError, match="no finished run"):
        sweep.collect(SQUARES, summary, output, command="c")
    sweep.start(SQUARES[:1])
    old = sweep.record(SQUARES[0])["versions"]
    monkeypatch.setattr("experiments.sweep.versions", lambda: old | {"jax": "0.0.1"})
    sweep.start(SQUARES)
    with pytest.raises(ValueError, match=r"different versions: 3 of .*0\.0\.1.*; 1 of "):
        sweep.collect(SQUARES, summary, output, command="c")
    assert not output.exists()
    provenance = sweep.collect(SQUARES, summary, output, command="c", mix=True)["provenance"]
    assert [made["jax"] for made in provenance["made_by"]] == sorted(["0.0.1", old["jax"]])
    assert json.loads(output.read_text())["provenance"] == provenance


TOY = """
import dataclasses, sys, time
from pathlib import Path
from experiments.sweep import Sweep

@dataclasses.dataclass(frozen=True)
class Square:
    x: float

folder, hang = Path(sys.argv[1]), sys.argv[2:]

def square(config):
    with open(folder / "log", "a") as log:
        print(config.x, file=log)
    if hang and config.x == 2:
        (folder / "toy" / ".left-over.json.tmp").write_text("{")
        (folder / "hanging").touch()
        time.sleep(100)
    return {"square": config.x**2 / 3}

configs = [Square(float(x)) for x in range(5)]
sweep = Sweep("toy", "1", square, lambda config: 1.0, folder)
sweep.start(configs)
sweep.collect(configs, lambda runs: {"rows": [[c.x, r] for c, r in runs]}, folder / "all.json", command="c")
"""


def test_a_killed_sweep_goes_on(tmp_path):
    """kill -9 in the middle: the next start computes what was in flight and what was not begun."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir(), whole.mkdir()
    command = [sys.executable, "-c", TOY]
    options = {"cwd": ROOT, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, str(killed), "hang"], **options)
    while not (killed / "hanging").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = subprocess.Popen([*command, str(killed)], **options)
    subprocess.run([*command, str(whole)], check=True, **options)
    assert again.wait() == 0

    assert (killed / "log").read_text().split() == ["0.0", "1.0", "2.0", "2.0", "3.0", "4.0"]
    assert not list(killed.glob("toy/.*"))

    def without_clock(folder):
        collected = json.loads((folder / "all.json").read_text())
        assert collected["provenance"].pop("seconds") >= 0
        return collected

    assert without_clock(killed) == without_clock(whole)


def test_starts_are_nested():
    run = Run("h4", 0.25, 8, 16, seed=3)
    wide = nested_start(dataclasses.replace(run, width=40))
    np.testing.assert_array_equal(nested_start(run), wide[:16])
    np.testing.assert_array_equal(nested_start(dataclasses.replace(run, problem="h6")), wide[:16])
    half = nested_start(dataclasses.replace(run, problem="h3", width=40))
    np.testing.assert_array_equal(half, wide.at[:, 0].set(abs(wide[:, 0])))
    assert abs(wide - nested_start(dataclasses.replace(run, width=40, seed=4))).max() > 0.1


def test_width_study_from_the_command_line(tmp_path, capsys):
    """A small study, run and collected; the stored file says the same of it."""
    output = tmp_path / "widths.json"
    options = "--problems h3 --levels 0.25 0.02 --dims 16 --widths 32 --seeds 2".split()
    options += ["--folder", str(tmp_path), "--output", str(output)]
    assert widths.main(options) == 0
    # The level 0.02 is left out: the loss of h_3 never gets there.
    assert "2 of 2 runs are finished." in capsys.readouterr().out
    assert widths.main([*options, "--collect"]) == 0
    assert "h3        0.25   16" in capsys.readouterr().out

    assert str(tmp_path) not in output.read_text(encoding="utf-8")
    collected = json.loads(output.read_text(encoding="utf-8"))
    assert "--problems h3 --levels 0.25 0.02" in collected["provenance"]["command"]
    (cell,) = collected["cells"]
    assert cell["seeds"] == [0, 1] and (cell["dim"], cell["width"]) == (16, 32)
    for name in ("gap", "gap_bar", "loss", "displacement", "farthest", "limit_loss"):
        assert len(cell[name]) == len(collected["grid"]) == 24
    np.testing.assert_allclose(cell["limit_loss"][-1] / cell["limit_loss"][0], 0.25, atol=1e-3)
    # Both seeds by hand: the mean, its error bar and the largest over time.
    gaps = np.array([measure(Run("h3", 0.25, 16, 32, seed))["gap"] for seed in (0, 1)])
    np.testing.assert_allclose(cell["gap"], gaps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(cell["gap_bar"], abs(gaps[0] - gaps[1]) / 2, rtol=5e-3)
    np.testing.assert_allclose(cell["sup_gap"], np.sqrt(gaps.max(1)), rtol=1e-5)
    assert cell["displacement"][0] < 1e-20

    (stored,) = (
        c for c in STUDY["cells"] if (c["problem"], c["dim"], c["width"]) == ("h3", 16, 32)
    )
    for name in ("until", "limit_loss", "sup_gap", "sup_loss", "sup_displacement"):
        ours = np.atleast_1d(cell[name])
        np.testing.assert_allclose(ours, np.atleast_1d(stored[name])[: ours.size], rtol=1e-4)


def test_measured_width():
    """Exact for a power law, and honest about what was not measured."""
    cells = [
        {"width": m, "seeds": [0, 1, 2], "sup_gap": [scale / np.sqrt(m) for scale in (1, 2, 3)]}
        for m in (1024, 32)
    ]
    mean = np.sqrt(14 / 3)  # of 1, 2, 3
    cells.append({"width": 256, "seeds": [0, 2], "sup_gap": [mean / 16, mean / 16]})
    found = measured_width(cells, 0.1)
    np.testing.assert_allclose(found["width"], (mean / 0.1) ** 2, rtol=1e-3)
    assert found["low"] <= found["width"] <= found["high"]
    assert measured_width(cells, 10.0) == {"width": 32, "low": 32, "high": 32}
    assert measured_width(cells, 1e-3) == {"width": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dims", "16", "2"], "argument --dims: expected an integer from 3 up, got '2'"),
        (["--widths", "x"], "argument --widths: expected an integer from 1 to 8192, got 'x'"),
        (["--levels", "2"], "argument --levels: expected a number from 0.001 to 0.99, got '2'"),
        (["--seeds", "0"], "argument --seeds"),
        (["--budget", "-1"], "argument --budget"),
        (["--problems", "h5"], "argument --problems"),
        (["--device", "tpu"], "argument --device"),
        (["--collect", "--seeds", "1"], "argument --collect: no finished run"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        widths.main([*options, "--folder", str(tmp_path)])
    assert message in capsys.readouterr().err


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is one here")
def test_missing_gpu_is_said(capsys):
    with pytest.raises(SystemExit):
        widths.main(["--device", "gpu"])
    assert "argument --device: JAX finds no gpu here" in capsys.readouterr().err


def test_rounding():
    assert rounded(np.array([1 / 3, 12345678.0]), 3) == [0.333, 12300000.0]
    assert rounded([1e-9 / 7]) == [1.42857e-10]


def test_stored_study_begins_as_it_must():
    """At the start every cell has E‖u_0‖² = (g(1) − a_0)/m, to five standard errors."""
    for cell in STUDY["cells"]:
        if len(cell["seeds"]) >= 8 and cell["problem"] != "h3":
            coefficients, _, _ = widths.PROBLEMS[cell["problem"]]
            repulsion, _ = SingleIndex(cell["dim"], Activation(coefficients)).harmonics()
            expected = (np.sum(np.square(coefficients)) - float(repulsion[0])) / cell["width"]
            assert abs(cell["gap"][0] - expected) < 5 * cell["gap_bar"][0], cell["dim"]


def test_stored_study_is_whole():
    assert STUDY["provenance"]["runs"] == sum(len(cell["seeds"]) for cell in STUDY["cells"])
    assert STORED.stat().st_size < 2**20
    settings = [(c["problem"], c["level"], c["dim"], c["width"]) for c in STUDY["cells"]]
    assert len(set(settings)) == len(settings)
