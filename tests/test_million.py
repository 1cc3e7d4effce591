"""The run of wide networks: its gap is that of `measure_gap`, and what is stored agrees with the law."""

import json
from pathlib import Path

import jax
import numpy as np

import mflib
from experiments.million import _gap
from mflib.drift import loss

DATA = Path(__file__).parents[1] / "book" / "data" / "million.json"


def test_the_gap_through_moments_is_the_measured_gap():
    problem = mflib.SingleIndex(8, mflib.Activation([0, 0, 0, 0, 1]))
    start = mflib.sample_sphere(jax.random.key(3), 60, 8)
    path = mflib.moment_path(problem, 3.0)
    expected = mflib.measure_gap(problem, start, [0.0, 3.0], path=path)
    particles = (expected.vectors + expected.limit)[-1]
    found = _gap(problem, path, expected.times[-1], particles, loss(problem, particles))
    np.testing.assert_allclose(found, expected.function[-1], atol=1e-13)


def test_stored_widths_and_gaps():
    """m‖f_m − f‖² at time 0 is near its mean, and the loss near the limit's."""
    runs = json.loads(DATA.read_text(encoding="utf-8"))["runs"]
    assert [r["m"] for r in runs] == [10**4, 10**5, 10**6]
    # E‖σ(w·) − f‖² = 1 − a_0 for h_4, whose f at the start is the constant part of g: 3/(d(d+2)).
    mean = 1 - 3 / (16 * 18)
    for r in runs:
        # Of 3,876 independent coordinates (polynomials of degree 4): the spread is a few per cent.
        np.testing.assert_allclose(r["m"] * r["function"][0], mean, rtol=0.1)
        assert np.max(np.abs(np.array(r["loss"]) - np.array(r["limit"]))) < 1 / np.sqrt(r["m"])
