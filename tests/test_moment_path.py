"""The limit as a function of time: against a solve at other times, and its own error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import (
    Activation,
    MultiIndex,
    SingleIndex,
    moment_path,
    solve_mean_field,
)
from mflib.moment_path import limit_path
from mflib.problem import check_single_index

EVEN = SingleIndex(16, Activation([0.0, 0.0, 0.6, 0.0, 0.8]))
MIXED = SingleIndex(16, Activation([0.0, 0.0, 0.0, 0.6, 0.8]))


@pytest.mark.parametrize("problem", [EVEN, MIXED], ids=["even", "mixed"])
def test_between_the_knots(problem):
    path = moment_path(problem, 4.0)
    assert path.error < 1e-5
    times = jnp.asarray([0.0, 0.031, 0.7, 2.22, 4.0])
    # Among as many times as the path is solved at, for which the solve is compiled.
    dense = np.union1d(times, np.linspace(0, 4, 254))
    assert dense.size == 257
    nodes = 64 if problem.even else None
    solved = solve_mean_field(problem, dense, nodes=nodes, tol=1e-6).moments
    found = jax.vmap(path.moments)(times)
    # A moment may err by more than the loss does: 10 times leaves room for the sum over harmonics.
    np.testing.assert_allclose(found, solved[np.isin(dense, times)], atol=10 * path.error)
    np.testing.assert_allclose(found[0, 1:], 0, atol=1e-8)
    repulsion, attraction = problem.harmonics()
    np.testing.assert_allclose(path.potential(times[2]), attraction - repulsion * found[2])


def test_interpolation_error_is_seen():
    """A limit that moves on a scale far below `until` cannot be interpolated, and says so."""
    fast = SingleIndex(16, Activation([0.0, 1.0, 0.0, 0.0, 0.2]))
    assert moment_path(fast, 5.0).error < 1e-5
    assert moment_path(fast, 5e6, tol=1e-4).error > 1e-3


def test_constant_outside():
    path = moment_path(EVEN, 4.0)
    np.testing.assert_array_equal(path.moments(jnp.asarray(9.0)), path.moments(jnp.asarray(4.0)))


@pytest.mark.parametrize("until", [0.0, -1.0, np.inf])
def test_bad_time_is_named(until):
    with pytest.raises(ValueError, match="`until`"):
        moment_path(EVEN, until)


def test_a_path_of_another_dimension_is_refused():
    """Also where the harmonics do not depend on d: P_1(s) = s."""
    h1 = Activation.hermite(1)
    path = moment_path(SingleIndex(16, h1), 1.0)
    with pytest.raises(ValueError, match="`path`"):
        limit_path(SingleIndex(64, h1), jnp.asarray([1.0]), path)


def test_several_directions_are_refused():
    problem = MultiIndex.circle(8, Activation.hermite(4))
    with pytest.raises(ValueError, match="`problem` must be a SingleIndex.*got MultiIndex"):
        check_single_index(problem)
