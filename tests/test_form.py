"""Which form of the drift is chosen, and what the moment form counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mflib import Activation, MultiIndex, SingleIndex, sample_sphere, velocity
from mflib.form import Form, choose, costs, moment_numbers
from mflib.kernels import tile_size
from mflib.moments import _monomials, _table, count, interaction_degrees, split

QUARTIC = SingleIndex(8, Activation.hermite(4))
RELU = SingleIndex(8, Activation.from_function(lambda z: np.maximum(z, 0), 20))


@pytest.mark.parametrize(("dim", "p"), [(1, 4), (3, 1), (4, 2), (5, 5)])
def test_monomials_give_the_powers_of_an_inner_product(dim, p):
    """(w·v)^p = Σ_α μ_α w^α v^α, with one monomial for each multiset."""
    pairs = np.random.default_rng(p).uniform(-1, 1, (2, 10, dim))
    left, right = (np.asarray(_monomials(jnp.asarray(rows), p)[p]) for rows in pairs)
    assert len(left) == count(dim, p) == len(_table(dim, p).weight)
    powers = np.sum(pairs[0] * pairs[1], axis=1) ** p
    np.testing.assert_allclose(_table(dim, p).weight @ (left * right), powers, atol=1e-13)


@pytest.mark.parametrize("dim", [3, 32, 128])
@pytest.mark.parametrize("n", range(8))
def test_no_other_split_needs_fewer_monomials(n, dim):
    p, q = split(n)
    assert p + q == n + 1 and q >= 1
    others = [count(dim, n + 1 - j) + count(dim, j) for j in range(1, n + 2)]
    assert count(dim, p) + count(dim, q) == min(others)


@given(m=st.integers(1, 10**6), largest=st.integers(1, 2048))
def test_tiles_waste_little(m, largest):
    """At most 15 rows of a tile are there for its size alone."""
    rows = tile_size(m, largest)
    tiles = -(-m // rows)
    assert 1 <= rows <= largest
    assert tiles * rows - m < max(rows, 16 * tiles)
    assert tiles <= -(-m // largest)


@pytest.mark.parametrize(
    ("problem", "m", "dim", "kernel"),
    [
        (QUARTIC, 64, 16, "dense"),
        (QUARTIC, 400, 128, "dense"),
        (QUARTIC, 16384, 128, "tiled"),
        (QUARTIC, 32768, 32, "moments"),
        (QUARTIC, 10**6, 128, "tiled"),  # 2^26 moments would cost less, and as much memory again
        (SingleIndex(8, Activation.hermite(2)), 16384, 128, "moments"),
        (RELU, 16384, 32, "tiled"),
    ],
)
def test_the_cheapest_form_is_chosen(problem, m, dim, kernel):
    assert choose(problem, m, dim).kernel == kernel


def test_costs_are_the_flops_of_the_products_where_those_decide():
    """Large m and d: 4m²d, 3m²d, and 4m D_2² for h_4, whose interaction is cubic."""
    m, dim = 2**20, 2**14
    cost = costs(QUARTIC, m, dim)
    np.testing.assert_allclose(cost["dense"], 4 * m**2 * dim, rtol=0.05)
    np.testing.assert_allclose(cost["tiled"], 3 * m**2 * dim, rtol=0.05)
    np.testing.assert_allclose(cost["moments"], 4 * m * (dim * (dim + 1) / 2) ** 2, rtol=0.05)
    assert moment_numbers(QUARTIC, dim) == (dim * (dim + 1) // 2) ** 2


def test_degrees_that_are_absent_cost_nothing():
    """h_1 + h_4 + a coefficient that is rounding: g' has the degrees 0 and 3."""
    problem = SingleIndex(8, Activation([0.5, 1, 0, 1e-17, 1]))
    assert interaction_degrees(problem) == (0, 3)
    assert interaction_degrees(MultiIndex.circle(8, Activation.hermite(4))) == (3,)


def test_block_alone_means_tiles():
    assert choose(QUARTIC, 100, 8, block=30) == Form("tiled", 30)
    assert choose(QUARTIC, 100, 8, block=100) == Form("dense", 100)
    assert choose(QUARTIC, 100, 8, kernel="moments", block=30) == Form("moments", 30)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"kernel": "fast"}, "kernel"),
        ({"block": 0}, "block"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*got"):
        velocity(QUARTIC, sample_sphere(jax.random.key(0), 4, 8), **arguments)


def test_moments_that_fit_no_memory_are_refused():
    with pytest.raises(ValueError, match=r"`kernel`.*'moments'.*d = 64"):
        choose(SingleIndex(64, Activation.hermite(9)), 100, 64, kernel="moments")
