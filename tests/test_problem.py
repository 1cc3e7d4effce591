"""Single-index problems: constants, parity, exponents, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mflib import Activation, SingleIndex, sample_sphere
from mflib._check import check_dim
from mflib.problem import check_particles
from mflib.sphere import legendre

H3, H4 = Activation.hermite(3), Activation.hermite(4)


def test_well_specified_by_default():
    problem = SingleIndex(16, H4)
    assert problem.link is problem.activation
    repulsion, attraction = problem.harmonics()
    np.testing.assert_array_equal(repulsion, attraction)


@pytest.mark.parametrize("dim", [3, 16, 10**6])
def test_harmonics_sum_to_the_kernel_at_one(dim):
    """Σ a_k = g(1) and Σ τ_k = F(1)."""
    problem = SingleIndex(
        dim, Activation([0.1, 0, 0.8, 0.3, 0.6]), Activation([0, 0, 0.5, 0, 1.0, 2.0])
    )
    repulsion, attraction = problem.harmonics()
    one = jnp.asarray(1.0)
    np.testing.assert_allclose(repulsion.sum(), problem.activation.kernel(one), rtol=1e-13)
    np.testing.assert_allclose(attraction.sum(), problem.target_kernel(one), rtol=1e-13)


@given(st.floats(-1, 1))
def test_target_kernel_is_its_harmonic_expansion(alpha):
    problem = SingleIndex(12, Activation([0, 0, 1, 0, 1.0]), Activation([0, 0, 0.6, 0.5, -0.3]))
    _, attraction = problem.harmonics()
    expected = attraction @ legendre(jnp.asarray(alpha), 4, 12)
    np.testing.assert_allclose(problem.target_kernel(alpha), expected, atol=1e-13)


def test_initial_loss():
    # theory.md §1: ½ (1 − a_0), a_0 = 3/(16·18), is 0.4948.
    np.testing.assert_allclose(SingleIndex(16, H4).initial_loss, 0.5 * (1 - 3 / 288), rtol=1e-13)


@pytest.mark.parametrize(
    ("sigma", "link", "exponent", "even"),
    [
        ([0, 0, 0, 0, 1], None, 4, True),
        ([0, 0, 0, 1], None, 3, False),
        ([0, 0, 1, 1.0], [0, 0, 0, 1.0], 3, False),
        ([0, 0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0.6, 0, 0.3], 4, True),
        # An even network sees only the even part of its target.
        ([0, 0, 1.0], [0, 1, 1.0], 2, True),
        ([1, 0, 0, 0, 1], [0.5, 1, 0, 0, 0.5], 4, True),
    ],
)
def test_exponent_and_parity(sigma, link, exponent, even):
    problem = SingleIndex(8, Activation(sigma), None if link is None else Activation(link))
    assert (problem.information_exponent, problem.even) == (exponent, even)


@pytest.mark.parametrize("dim", [2, 0, -1, float("nan"), float("inf"), np.array([4, 5])])
def test_bad_dimension(dim):
    with pytest.raises(ValueError, match="`dim` must be"):
        SingleIndex(dim, H4)


def test_bad_functions():
    with pytest.raises(ValueError, match="`activation`"):
        SingleIndex(8, jnp.tanh)
    with pytest.raises(ValueError, match="`link`"):
        SingleIndex(8, H4, jnp.tanh)
    with pytest.raises(ValueError, match="information exponent is undefined"):
        SingleIndex(8, H4, H3)


@pytest.mark.parametrize("dim", [None, "a"])
def test_a_dimension_is_a_number(dim):
    with pytest.raises(ValueError, match="`dim` must be a number"):
        check_dim(dim)


def test_particles_of_half_precision_are_refused():
    w = sample_sphere(jax.random.key(0), 4, 8).astype(jnp.bfloat16)
    with pytest.raises(ValueError, match="`particles`.*float32 or float64.*bfloat16"):
        check_particles(SingleIndex(8, Activation.hermite(2)), w)


def test_numpy_integers_are_integers():
    assert Activation.hermite(np.int64(3)).degree == 3
    assert Activation.from_function(np.tanh, np.int64(5)).degree == 5
