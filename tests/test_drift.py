"""The velocity of m neurons: dense and blocked forms, gradients, symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mflib import Activation, SingleIndex, sample_sphere
from mflib.drift import loss, velocity
from mflib.sphere import tangent

MIXED = SingleIndex(
    7, Activation([0.2, 0.5, -0.3, 0.4, 0.6]), Activation([0.1, 0.3, 0.5, -0.2, 0.4])
)
seeds = st.integers(0, 10_000)


def start(seed, m=24, dim=7):
    return sample_sphere(jax.random.key(seed), m, dim)


def rotation_fixing_target(seed, dim=7):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim - 1, dim - 1)))
    return jnp.asarray(np.block([[np.eye(1), np.zeros((1, dim - 1))], [np.zeros((dim - 1, 1)), q]]))


@given(seeds)
def test_velocity_is_the_scaled_projected_gradient(seed):
    """ν_i = −m P_{w_i} ∇_{w_i} L_m, the loss differentiated automatically."""
    w = start(seed)
    expected = -len(w) * tangent(w, jax.grad(lambda v: loss(MIXED, v))(w))
    np.testing.assert_allclose(velocity(MIXED, w), expected, atol=1e-12)


def test_velocity_is_the_formula_written_out():
    w, m = np.asarray(start(1)), 24
    c2, cb = np.asarray(MIXED.kernel_coefficients), np.asarray(MIXED.target_coefficients)
    gp, fp = np.polynomial.Polynomial(c2).deriv(), np.polynomial.Polynomial(cb).deriv()
    expected = np.zeros_like(w)
    for i in range(m):
        expected[i, 0] = fp(w[i, 0])
        for j in range(m):
            expected[i] -= gp(w[i] @ w[j]) * w[j] / m
        expected[i] -= (expected[i] @ w[i]) * w[i]
    np.testing.assert_allclose(velocity(MIXED, w), expected, atol=1e-13)


@pytest.mark.parametrize("block", [1, 5, 8, 23, 24, 100])
def test_blocked_form_is_the_dense_one(block):
    w = start(2)
    np.testing.assert_allclose(velocity(MIXED, w, block=block), velocity(MIXED, w), atol=1e-14)
    np.testing.assert_allclose(loss(MIXED, w, block), loss(MIXED, w), atol=1e-14)


def test_blocked_form_holds_no_square_buffer():
    """The compiled blocked drift needs less scratch memory than one m×m array."""
    m = 4096
    w = jax.ShapeDtypeStruct((m, 7), jnp.float64)

    def scratch(block):
        from mflib.drift import drift

        compiled = jax.jit(lambda v: drift(MIXED, v, block)).lower(w).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert scratch(128) < 8 * m * m / 8
    assert scratch(m) >= 8 * m * m


def test_loss_is_the_mean_square_error_on_samples():
    """Monte Carlo over inputs: ½ E (f_m − f*)² within 4 standard errors."""
    w, n = start(3), 400_000
    x = jax.random.normal(jax.random.key(9), (n, 7))
    network = MIXED.activation(x @ w.T).mean(axis=1)
    squares = 0.5 * (network - MIXED.link(x[:, 0])) ** 2
    assert abs(squares.mean() - loss(MIXED, w)) < 4 * squares.std() / np.sqrt(n)


@given(seeds)
def test_rotation_equivariance(seed):
    w, q = start(seed), rotation_fixing_target(seed)
    np.testing.assert_allclose(velocity(MIXED, w @ q.T), velocity(MIXED, w) @ q.T, atol=1e-13)


@given(seeds)
def test_permutation_equivariance(seed):
    w = start(seed)
    order = np.random.default_rng(seed).permutation(len(w))
    np.testing.assert_allclose(velocity(MIXED, w[order]), velocity(MIXED, w)[order], atol=1e-13)


def test_a_network_at_the_target_stays():
    w = jnp.tile(jnp.eye(7)[0], (5, 1))
    problem = SingleIndex(7, Activation.hermite(3))
    np.testing.assert_allclose(velocity(problem, w), 0, atol=1e-14)
    np.testing.assert_allclose(loss(problem, w), 0, atol=1e-14)


@pytest.mark.parametrize(
    ("particles", "message"),
    [
        (np.ones(7), "shape"),
        (np.ones((0, 7)), "shape"),
        (np.ones((4, 6)) / np.sqrt(6), "dimension"),
        (np.ones((4, 7)), "unit vectors.*row 0"),
        (np.full((4, 7), np.nan), "unit vectors"),
        (np.eye(7, dtype=int), "floating"),
    ],
)
def test_bad_particles(particles, message):
    with pytest.raises(ValueError, match=message) as error:
        velocity(MIXED, particles)
    assert "`particles`" in str(error.value)


def test_bad_block():
    with pytest.raises(ValueError, match="`block`"):
        velocity(MIXED, start(0), block=0)
