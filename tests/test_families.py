"""The experiments of the authors: one small run against its parts, the summary, and what is stored."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import families
from experiments.families import BINS, SAVED, Run, Size, measure, nested_starts, summarise
from mflib import descend, proxy_gap
from mflib.families import NAMES, family
from mflib.sphere import legendre_coefficients

STORED = Path(__file__).parents[1] / "book" / "data" / "families.json"
STUDY = json.loads(STORED.read_text(encoding="utf-8"))
SIZE = Size(dim=8, time=16, step=0.5, widths=(8, 32), samples=256, batch=64)


def test_run_is_what_its_parts_say():
    """A run against two descents by hand, with the distance of the functions on all inputs."""
    run = Run("XOR_2", "descent", 3, SIZE)
    found = measure(run)
    assert found["loss"].shape == found["function"].shape == (1, SAVED)
    task, starts = family("XOR_2", 8).task, nested_starts(run, jnp.float32)
    settings = {"step": 0.5, "steps": 32, "samples": 256, "batch": 64, "key": jax.random.key(3)}
    narrow, wide = (descend(task, starts[:m], **settings) for m in SIZE.widths)
    np.testing.assert_allclose(found["loss"][0, -1], narrow.loss[-1], rtol=1e-5)
    np.testing.assert_allclose(found["reference_pool"][-1], wide.pool_loss[-1], rtol=1e-5)
    moved = np.linalg.norm(narrow.particles[-1] - wide.particles[-1, :8], axis=1)
    np.testing.assert_allclose(found["mean"][0, -1], moved.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["mean_square"][0, -1], (moved**2).mean(), rtol=1e-5)
    assert found["final"].sum() == found["largest"].sum() == 8
    np.testing.assert_array_equal(found["final"][0], np.histogram(np.log10(moved), BINS)[0])
    assert found["mean"][0, 0] == 0  # nested starts


def test_summary_corrects_the_proxy():
    rng = np.random.default_rng(0)
    results = [
        {
            name: rng.random((1, 3))
            for name in ("loss", "pool_loss", "function", "mean", "mean_square")
        }
        | {name: np.ones((1, BINS.size - 1), int) for name in ("final", "largest")}
        | {"times": np.arange(3.0), "reference": np.ones(3)}
        for _ in range(5)
    ]
    runs = [(Run("XOR_2", "descent", seed, SIZE), r) for seed, r in enumerate(results)]
    (row,) = summarise(runs)["rows"]
    function, displacement = (
        np.stack([r[name][0] for r in results]) for name in ("function", "mean_square")
    )
    expected = proxy_gap(function, displacement, m=8, reference=32)
    for name in ("function", "displacement", "function_error", "displacement_error"):
        np.testing.assert_allclose(row[name], getattr(expected, name), rtol=1e-2)
    assert row["final"] == [5] * (BINS.size - 1)
    # The exact limit has no bias.
    flow = [(Run("He4", "flow", run.seed, SIZE), r) for run, r in runs]
    (exact,) = summarise(flow)["rows"]
    np.testing.assert_allclose(np.array(exact["function"]) / row["function"], 1 - 8 / 32, rtol=1e-3)


def test_published_sizes_are_those_of_the_authors():
    """Half-loss clock: their times and steps, doubled."""
    he4, hop = families.size("He4", True), families.size("Hop_1_3", True)
    assert (he4.dim, he4.time, he4.step, he4.widths[-1]) == (32, 128, 0.04, 32768)
    assert (hop.dim, hop.time, hop.step, hop.widths[-1]) == (128, 1200, 0.5, 32768)
    assert families.size("XOR_4", True).widths[-1] == 131072
    assert families.size("He4_misspecified", True).step == 0.01
    assert {(families.size(n, True).samples, families.size(n, True).batch) for n in NAMES} == {
        (131072, 8192)
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--names", "He5"], "argument --names"),
        (["--methods", "ascent"], "argument --methods"),
        (["--collect", "--names", "He3"], "argument --collect: no finished run"),
    ],
)
def test_bad_options_are_named(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        families.main([*options, "--folder", str(tmp_path)])
    assert message in capsys.readouterr().err


def test_every_family_is_stored():
    assert {(s["name"], s["method"]) for s in STUDY["settings"]} >= {
        (name, "descent") for name in NAMES
    }
    assert STORED.stat().st_size < 2**20
    for row in STUDY["rows"]:
        # Where 32 does not divide the number of steps, the last state follows the one before sooner.
        assert len(row["function"]) - SAVED in (0, 1) and row["displacement"][0] < 1e-20


def test_stored_flows_begin_as_they_must():
    """m E‖u_0‖² = g(1) − a_0 at every width, within five standard errors."""
    for setting in STUDY["settings"]:
        if setting["method"] != "flow":
            continue
        problem = family(setting["name"], setting["dim"]).problem
        repulsion = legendre_coefficients(problem.kernel_coefficients, setting["dim"])
        expected = float(problem.activation.kernel(1.0) - repulsion[0])
        for row in STUDY["rows"]:
            if (row["name"], row["method"]) == (setting["name"], "flow"):
                assert abs(row["function"][0] - expected) < 5 * row["function_error"][0]
