"""The sphere: sampling, Legendre polynomials of dimension d, harmonic counts, quadrature."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import betainc, eval_gegenbauer, eval_legendre

from mflib import sample_sphere
from mflib.sphere import (
    harmonic_count,
    legendre,
    legendre_coefficients,
    legendre_derivative,
    overlap_quadrature,
    tangent,
)

DIMS = (3, 4, 16, 1000, 10**6)
dims = st.sampled_from(DIMS)


@pytest.mark.parametrize("dim", [4, 7, 16, 200])
def test_legendre_matches_scipy(dim):
    s, order = np.linspace(-1, 1, 41), dim / 2 - 1
    table = legendre(jnp.asarray(s), 10, dim)
    for k in range(11):
        expected = eval_gegenbauer(k, order, s) / eval_gegenbauer(k, order, 1.0)
        np.testing.assert_allclose(table[k], expected, atol=1e-12)


def test_legendre_in_dimension_three_is_the_classical_one():
    s = np.linspace(-1, 1, 21)
    for k, row in enumerate(legendre(jnp.asarray(s), 8, 3)):
        np.testing.assert_allclose(row, eval_legendre(k, s), atol=1e-13)


@pytest.mark.parametrize("dim", DIMS)
def test_legendre_at_one_and_its_bound(dim):
    s = jnp.linspace(-1, 1, 101)
    table = legendre(s, 20, dim)
    np.testing.assert_allclose(table[:, -1], 1, atol=1e-12)
    assert jnp.abs(table).max() < 1 + 1e-12


@functools.cache
def both_derivatives(dim):
    return jax.jit(
        lambda x: (legendre_derivative(x, 9, dim), jax.jacfwd(lambda y: legendre(y, 9, dim))(x))
    )


@given(st.floats(-1, 1), dims)
def test_legendre_derivative_is_the_derivative(s, dim):
    found, expected = both_derivatives(dim)(jnp.asarray(s))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


# Few lengths, each of which is compiled.
lengths = st.sampled_from([1, 2, 5, 9])


@given(
    lengths.flatmap(lambda n: st.lists(st.floats(-1, 1), min_size=n, max_size=n)),
    st.floats(-1, 1),
    dims,
)
def test_legendre_coefficients_reproduce_the_polynomial(b, s, dim):
    a = legendre_coefficients(jnp.asarray(b), dim)
    value = a @ legendre(jnp.asarray(s), len(b) - 1, dim)[: len(b)]
    np.testing.assert_allclose(value, np.polynomial.polynomial.polyval(s, b), atol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), dims)
def test_schoenberg(b, dim):
    """Non-negative monomial coefficients give non-negative a_k, which sum to g(1)."""
    a = legendre_coefficients(jnp.asarray(b), dim)
    assert jnp.all(a >= 0)
    np.testing.assert_allclose(a.sum(), sum(b), atol=1e-12)


def test_coefficients_of_s4():
    """s⁴ in closed form: a_0 = 3/(d(d+2)), a_2 = 6(d−1)/(d(d+4)), a_4 = (d²−1)/((d+2)(d+4))."""
    for d in DIMS:
        a = legendre_coefficients(jnp.array([0.0, 0, 0, 0, 1]), d)
        expected = [3 / (d * (d + 2)), 0, 6 * (d - 1) / (d * (d + 4)), 0]
        np.testing.assert_allclose(a[:4], expected, rtol=1e-13, atol=0)
        np.testing.assert_allclose(a[4], (d * d - 1) / ((d + 2) * (d + 4)), rtol=1e-13)


@pytest.mark.parametrize("dim", DIMS)
def test_harmonic_counts(dim):
    exact = [1, dim] + [
        math.comb(k + dim - 1, k) - math.comb(k + dim - 3, k - 2) for k in range(2, 13)
    ]
    np.testing.assert_allclose(harmonic_count(12, dim), np.array(exact, float), rtol=1e-12)


def test_addition_theorem_normalises_the_polynomials():
    """E P_k² = 1/N(d,k) under the law of the overlap."""
    for dim in (3, 10, 300):
        alpha, weights = overlap_quadrature(512, dim)
        squares = legendre(alpha, 6, dim) ** 2 @ weights
        np.testing.assert_allclose(squares * harmonic_count(6, dim), 1, rtol=1e-6)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("even", [True, False])
def test_quadrature_integrates_the_law_of_the_overlap(dim, even):
    nodes = (
        512 if even else 1024
    )  # 64 panels a side: the rule is exact to rounding of the logarithms
    alpha, weights = overlap_quadrature(nodes, dim, even=even)
    assert alpha.shape == weights.shape == (nodes,)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-14)
    # Moments of the Beta law: E α² = 1/d, E α⁴ = 3/(d(d+2)).
    np.testing.assert_allclose(weights @ alpha**2 * dim, 1, rtol=1e-9)
    np.testing.assert_allclose(weights @ alpha**4 * dim * (dim + 2) / 3, 1, rtol=1e-9)
    if even:
        assert jnp.all(alpha > 0)
    else:
        np.testing.assert_allclose(weights @ alpha, 0, atol=1e-16)
    # Distribution function, in the middle of the law.
    at = 1 / math.sqrt(dim)
    below = weights[jnp.abs(alpha) <= at].sum()
    assert abs(below - betainc(0.5, (dim - 1) / 2, at**2)) < jnp.max(weights)


def test_quadrature_is_graded_to_the_equator():
    alpha, _ = overlap_quadrature(512, 100, even=True)
    scaled = np.asarray(alpha) * 10
    assert scaled.min() < 1e-6
    # Equal panels in the logarithm: as many nodes in [1e-4, 1e-3] as in [1e-2, 1e-1].
    counts, _ = np.histogram(np.log10(scaled), [-4, -3, -2, -1])
    assert counts.min() > 0.8 * counts.max()


# Few shapes, each of which is compiled; both sizes at their smallest and beyond.
@given(st.sampled_from([(1, 3), (20, 3), (1, 40), (7, 12)]), st.integers(0, 100))
def test_samples_are_unit_vectors(shape, seed):
    m, dim = shape
    w = sample_sphere(jax.random.key(seed), m, dim)
    assert w.shape == (m, dim)
    np.testing.assert_allclose(jnp.linalg.norm(w, axis=1), 1, atol=1e-14)


def test_samples_are_uniform():
    w = sample_sphere(jax.random.key(3), 40_000, 5)
    # Covariance I/d within 5 standard errors (E w_i⁴ = 3/(d(d+2))).
    np.testing.assert_allclose(w.T @ w / len(w), np.eye(5) / 5, atol=5 * math.sqrt(3 / 35 / 40_000))
    np.testing.assert_allclose(w.mean(axis=0), 0, atol=5 * math.sqrt(0.2 / 40_000))


@given(st.integers(0, 100))
def test_tangent_is_a_projection(seed):
    w = sample_sphere(jax.random.key(seed), 4, 6)
    v = jax.random.normal(jax.random.key(seed + 1), (4, 6))
    projected = tangent(w, v)
    np.testing.assert_allclose(jnp.sum(projected * w, axis=1), 0, atol=1e-13)
    np.testing.assert_allclose(tangent(w, projected), projected, atol=1e-13)


@pytest.mark.parametrize(("m", "dim", "name"), [(0, 5, "m"), (3, 2, "dim")])
def test_bad_samples(m, dim, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        sample_sphere(jax.random.key(0), m, dim)


@pytest.mark.parametrize("nodes", [16, 33])
def test_bad_quadrature(nodes):
    with pytest.raises(ValueError, match="`nodes`"):
        overlap_quadrature(nodes, 5)


def test_dimension_may_be_traced():
    values = jax.vmap(lambda d: legendre(jnp.asarray(0.3), 4, d))(jnp.array([3.0, 10.0]))
    np.testing.assert_allclose(values[1], legendre(jnp.asarray(0.3), 4, 10), atol=1e-15)
