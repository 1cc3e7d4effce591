"""The run of a million neurons: its gap is that of `measure_gap`."""

import jax
import numpy as np

import mflib
from experiments.million import _gap
from mflib.drift import loss


def test_the_gap_through_moments_is_the_measured_gap():
    problem = mflib.SingleIndex(8, mflib.Activation([0, 0, 0, 0, 1]))
    start = mflib.sample_sphere(jax.random.key(3), 60, 8)
    path = mflib.moment_path(problem, 3.0)
    expected = mflib.measure_gap(problem, start, [0.0, 3.0], path=path)
    particles = (expected.vectors + expected.limit)[-1]
    found = _gap(problem, path, expected.times[-1], particles, loss(problem, particles))
    np.testing.assert_allclose(found, expected.function[-1], atol=1e-13)
