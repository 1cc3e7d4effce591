"""Activations: the Hermite basis, projection, information exponent, link kernel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import erf, eval_hermitenorm, roots_hermitenorm

import mflib
from mflib import Activation
from mflib.hermite import hermite

coefficients = st.lists(st.floats(-2, 2).map(lambda x: round(x, 3)), min_size=2, max_size=9).filter(
    lambda c: any(abs(x) > 1e-3 for x in c[1:])
)


def ge4(x):
    return 5 * (x**2 * np.exp(-(x**2)) - math.sqrt(3) / 9)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def relu(x):
    return np.maximum(x, 0)


# name → function, degree kept, E f², information exponent: integrals in closed form.
FUNCTIONS = {
    "relu": (relu, 40, 0.5, 1),
    "gelu": (gelu, 40, None, 1),
    "tanh": (np.tanh, 41, None, 1),
    "erf": (erf, 41, 2 / math.pi * math.asin(2 / 3), 1),
    "cos": (np.cos, 30, 0.5 * (1 + math.exp(-2)), 2),
    "ge4": (ge4, 60, 25 * (3 / (5**2.5) - 1 / 27), 4),
}


def test_hermite_matches_scipy():
    z = jnp.linspace(-4, 4, 17)
    table = hermite(z, 12)
    for k in range(13):
        expected = eval_hermitenorm(k, np.asarray(z)) / math.sqrt(math.factorial(k))
        np.testing.assert_allclose(table[k], expected, rtol=1e-12, atol=1e-12)


def test_hermite_is_orthonormal():
    z, w = roots_hermitenorm(40)
    table = np.asarray(hermite(jnp.asarray(z), 12))
    np.testing.assert_allclose(table * w / w.sum() @ table.T, np.eye(13), atol=1e-11)


@given(coefficients)
def test_call_is_the_series(c):
    activation, z = Activation(c), jnp.linspace(-3, 3, 7)
    table = hermite(z, activation.degree)
    np.testing.assert_allclose(
        activation(z), activation.coefficients @ table, rtol=1e-10, atol=1e-10
    )


@given(coefficients)
def test_projecting_the_series_returns_it(c):
    activation = Activation(c)
    again = Activation.from_function(activation, activation.degree)
    np.testing.assert_allclose(
        again.coefficients, activation.coefficients[: again.coefficients.size], atol=1e-10
    )
    assert again.truncation_error < 1e-6
    assert again.information_exponent == activation.information_exponent


@pytest.mark.parametrize("name", FUNCTIONS)
def test_from_function(name):
    fn, degree, power, exponent = FUNCTIONS[name]
    activation = Activation.from_function(fn, degree)
    assert activation.information_exponent == exponent
    # The reported truncation error against the L² distance by an independent rule.
    z = np.linspace(-30, 30, 240_001)  # h_60 oscillates up to |z| = 2√60 ≈ 15
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    difference = weight @ (fn(z) - np.asarray(activation(z))) ** 2
    norm2 = weight @ fn(z) ** 2
    np.testing.assert_allclose(
        activation.truncation_error, math.sqrt(difference / norm2), rtol=1e-3, atol=1e-7
    )
    if power is not None:
        np.testing.assert_allclose(norm2, power, rtol=1e-6)


def test_truncation_error_falls_with_the_degree():
    errors = [Activation.from_function(relu, degree).truncation_error for degree in (4, 8, 16, 32)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0.01  # a kink: c_k ~ k^{-5/4}, nothing converges fast


def test_relu_coefficients_are_exact():
    # E[relu(z) h_k(z)]: 1/√(2π), 1/2, 1/√(4π), 0, −1/√(48π)
    c = Activation.from_function(relu, 8).coefficients
    expected = [
        1 / math.sqrt(2 * math.pi),
        0.5,
        1 / math.sqrt(4 * math.pi),
        0.0,
        -1 / math.sqrt(48 * math.pi),
    ]
    np.testing.assert_allclose(c[:5], expected, atol=1e-13)


@given(coefficients, st.floats(-1, 1))
def test_kernel_and_its_derivatives(c, s):
    activation = Activation(c)
    value = jnp.asarray(s)
    np.testing.assert_allclose(
        activation.kernel(value),
        sum(float(x) ** 2 * s**k for k, x in enumerate(activation.coefficients)),
        atol=1e-12,
    )
    for order in (1, 2):
        np.testing.assert_allclose(
            activation.kernel(value, derivative=order),
            jax.grad(lambda x, n=order: activation.kernel(x, derivative=n - 1))(value),
            atol=1e-10,
        )


def test_kernel_is_the_covariance_of_neurons():
    """Monte Carlo: E σ(w·x) σ(w'·x) = g(w·w') for sampled Gaussian inputs, within 4 standard errors."""
    activation = Activation([0.3, 0.5, -0.4, 0.2])
    d, n = 6, 200_000
    w = mflib.sample_sphere(jax.random.key(0), 5, d)
    values = activation(jax.random.normal(jax.random.key(1), (n, d)) @ w.T)
    products = values[:, :, None] * values[:, None, :]
    error = products.std(axis=0) / math.sqrt(n)
    assert jnp.all(jnp.abs(products.mean(axis=0) - activation.kernel(w @ w.T)) < 4 * error)


@pytest.mark.parametrize(
    ("c", "exponent", "parity"),
    [
        ([1.0, 2.0], 1, "mixed"),
        ([0, 0, 1], 2, "even"),
        ([1, 0, 0, 0, 3.0], 4, "even"),
        ([0, 0, 0, 1], 3, "odd"),
        ([0, 1e-12, 1, 0, 0, 1], 2, "mixed"),
        ([0, 0, 0.6, 0, 0.8], 2, "even"),
    ],
)
def test_information_exponent_and_parity(c, exponent, parity):
    activation = Activation(c)
    assert (activation.information_exponent, activation.parity) == (exponent, parity)


def test_trailing_zeros_are_dropped():
    assert Activation([0, 1, 0, 0]).degree == 1


def test_dtype_follows_the_input():
    assert Activation(jnp.array([0.0, 1.0], jnp.float32)).coefficients.dtype == jnp.float32
    assert Activation([0, 1]).coefficients.dtype == jnp.float64


@pytest.mark.parametrize(
    ("c", "message"),
    [
        ([], "non-empty"),
        ([[1.0, 2.0]], "1-d"),
        ([0.0, float("nan")], "finite"),
        ([0.0, float("inf")], "finite"),
        ([0.0, 0.0], "zero activation"),
        ([3.0], "information exponent"),
        ([1.0, 1e-12], "information exponent"),
        ([1j, 2.0], "real"),
    ],
)
def test_bad_coefficients(c, message):
    with pytest.raises(ValueError, match=message) as error:
        Activation(c)
    assert "`coefficients`" in str(error.value)


def test_bad_functions():
    with pytest.raises(ValueError, match=r"`fn`.*finite"):
        Activation.from_function(lambda z: np.where(np.abs(z) > 3, np.nan, z), 4)
    with pytest.raises(ValueError, match=r"`fn`.*non-zero"):
        Activation.from_function(lambda z: 0 * z, 4)
    with pytest.raises(ValueError, match=r"`fn`.*elementwise"):
        Activation.from_function(lambda z: 1.0, 4)
    with pytest.raises(ValueError, match="`degree`"):
        Activation.from_function(np.tanh, 0)
    with pytest.raises(ValueError, match="`k`"):
        Activation.hermite(0)


def test_traced_coefficients_are_refused():
    with pytest.raises(ValueError, match="concrete"):
        jax.jit(lambda c: Activation(c).coefficients)(jnp.ones(3))
