"""The velocity of m neurons: its three forms, gradients, symmetries."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mflib import Activation, SingleIndex, sample_sphere
from mflib.drift import drift, loss, velocity
from mflib.form import Form
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


@pytest.mark.parametrize(
    ("m", "dim", "coefficients", "form"),
    [
        (1, 3, [0, 1, 0, 0.5], Form("tiled", 3)),
        (1, 3, [0, 1, 0, 0.5], Form("moments", 3)),
        (37, 5, [0.3, 0.4, 0.5, 0, 0.7, 0.1], Form("tiled", 16)),
        (37, 5, [0.3, 0.4, 0.5, 0, 0.7, 0.1], Form("tiled", 10)),
        (37, 5, [0.3, 0.4, 0.5, 0, 0.7, 0.1], Form("moments", 16)),
        (33, 4, [0.1, 0, 0, 0, 0, 0, 1], Form("moments", 33)),
        (33, 3, [0.1, 0, 0, 0, 0.8, 0, 0.5, 0, 1], Form("moments", 10)),
    ],
)
def test_every_form_is_the_dense_one(m, dim, coefficients, form):
    """Also where blocks do not divide m, for degrees of g' from 0 to 7, with and without gaps."""
    problem = SingleIndex(dim, Activation(coefficients))
    both = jax.jit(
        lambda w, form: (drift(problem, w, form), loss(problem, w, form)), static_argnums=1
    )

    @given(seeds)
    def equal(seed):
        w = start(seed, m, dim)
        for found, expected in zip(both(w, form), both(w, Form("dense", m)), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-13)

    equal()


@pytest.mark.parametrize("kernel", ["dense", "tiled", "moments"])
def test_single_precision(kernel):
    """Sums of at most 200 products of numbers below 1: tens of spacings of float32, not a digit more."""
    problem, w = SingleIndex(16, Activation.hermite(4)), start(5, 200, 16)
    rounded = w.astype(jnp.float32)
    found = velocity(problem, rounded, kernel=kernel, block=64 if kernel == "tiled" else None)
    assert found.dtype == jnp.float32
    exact = jax.jit(lambda w: drift(problem, w))(rounded.astype(float))
    spacing = np.finfo(np.float32).eps
    np.testing.assert_allclose(found, exact, atol=20 * spacing * float(jnp.abs(exact).max()))


def test_no_form_but_the_dense_one_holds_a_square_buffer():
    """Compiled, tiles and moments need less scratch memory than an eighth of one m×m array."""
    m = 4096
    w = jax.ShapeDtypeStruct((m, 7), jnp.float64)

    def scratch(form):
        compiled = jax.jit(lambda v: drift(MIXED, v, form)).lower(w).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert scratch(Form("tiled", 128)) < 8 * m * m / 8
    assert scratch(Form("moments", 128)) < 8 * m * m / 8
    assert scratch(Form("dense", m)) >= 8 * m * m


@pytest.mark.parametrize("kernel", ["tiled", "moments"])
def test_forms_can_be_differentiated_forwards(kernel):
    """As the book does with the drift, to see how a velocity changes with the particles."""
    w, along = start(6), start(7)

    @partial(jax.jit, static_argnums=0)
    def derivative(form):
        return jax.jvp(lambda v: drift(MIXED, v, form), (w,), (along,))[1]

    np.testing.assert_allclose(
        derivative(Form(kernel, 10)), derivative(Form("dense", 24)), atol=1e-13
    )


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
