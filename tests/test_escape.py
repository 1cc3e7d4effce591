"""Escape times: exact antiderivatives, asymptotics, times to a loss."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.integrate import quad

from mflib import Activation, SingleIndex, SolverError, escape_time, time_to_loss


@given(st.integers(2, 9), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_escape_time_is_the_integral_of_the_slowness(k, a, b):
    start, stop = sorted((a, b))
    expected, _ = quad(lambda x: 1 / (k * x ** (k - 1) * (1 - x * x)), start, stop, epsrel=1e-12)
    np.testing.assert_allclose(escape_time(k, start, stop), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("k", "antiderivative"),
    [
        (2, lambda a: np.log(a**2 / (1 - a**2)) / 4),
        (3, lambda a: (np.arctanh(a) - 1 / a) / 3),
        (4, lambda a: (-1 / (2 * a**2) + np.log(a) - 0.5 * np.log(1 - a**2)) / 4),
    ],
)
def test_antiderivatives_in_closed_form(k, antiderivative):
    a, b = 0.013, 0.8
    np.testing.assert_allclose(
        escape_time(k, a, b), antiderivative(b) - antiderivative(a), rtol=1e-12
    )


@pytest.mark.parametrize("k", [3, 4, 6, 8])
def test_power_law_to_a_million_dimensions(k):
    """t = d^{(k−2)/2}/(k(k−2)) (1 + O(1/√d)) from z = 1."""
    d = 1e6
    ratio = escape_time(k, d**-0.5, 0.5) * k * (k - 2) / d ** (0.5 * k - 1)
    np.testing.assert_allclose(ratio, 1, atol=3 / np.sqrt(d))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((1, 0.1, 0.2), "k"),
        ((4, 0.0, 0.2), "start"),
        ((4, 0.3, 0.2), "start"),
        ((4, 0.1, 1.0), "stop"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        escape_time(*arguments)


def test_time_to_loss_of_an_exactly_solvable_limit():
    """σ = h_1: everything linear, p_1 solves ṗ = (1−p)(1−q), checked by the loss it reaches."""
    problem = SingleIndex(30, Activation.hermite(4))
    level = 0.3
    t = time_to_loss(problem, level)
    from mflib import solve_mean_field

    # 65 times, as `time_to_loss` itself asks for: in part compiled.
    loss = solve_mean_field(problem, np.linspace(0, t, 65), nodes=64, tol=1e-6).loss[-1]
    np.testing.assert_allclose(loss, level, atol=2e-5)  # twice the default accuracy


def test_levels_that_are_never_reached():
    problem = SingleIndex(16, Activation.hermite(4))
    for level in (0.0, -1.0, 0.6, float("nan")):
        with pytest.raises(ValueError, match="`level` must be"):
            time_to_loss(problem, level)
    # The target has a part no network of this activation can represent: ½·0.75.
    # 1e-200 makes the degree that of the solves before, which are compiled, and squares to zero.
    short = SingleIndex(
        16, Activation([0, 0, 1.0, 0, 1e-200]), Activation([0, 0, 0.5, 0, 0.75**0.5])
    )
    with pytest.raises(SolverError, match="plateau"):
        time_to_loss(short, 0.3)
    assert jnp.isfinite(time_to_loss(short, 0.45))
