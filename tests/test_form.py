"""Which form of the drift is chosen, and what the moment form counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from mflib import Activation, MultiIndex, SingleIndex, sample_sphere, velocity
from mflib.form import Form, choose, costs, moment_numbers
from mflib.kernels import _pair, _pairs, tile_size
from mflib.moments import (
    _monomials,
    _raised,
    _table,
    count,
    interaction_degrees,
    kept,
    multiplications,
    pure,
    split,
)

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


@pytest.mark.parametrize(("dim", "p"), [(3, 21), (3, 41), (4, 33)])
def test_high_degrees_count_all_orders(dim, p):
    """Σ_α μ_α = d^p, where factorials and keys of multisets are no 64-bit integers any more."""
    np.testing.assert_allclose(_table(dim, p).weight.sum(), float(dim) ** p, rtol=1e-13)
    below, members = _table(dim, p - 1).members, _table(dim, p).members
    for k, places in enumerate(_raised(dim, p)):
        joined = np.sort(np.column_stack([below, np.full(len(below), k)]), axis=1)
        np.testing.assert_array_equal(members[places], joined)


@pytest.mark.parametrize(("dim", "p"), [(3, 1), (3, 4), (4, 2), (7, 3)])
def test_multisets_within_one_half_come_first(dim, p):
    """Those of the first half, then of the second, then all the others, none of them left out."""
    members = _table(dim, p).members
    assert len({tuple(row) for row in members}) == len(members) == count(dim, p)
    sides = [{int(2 * k >= dim) for k in row} for row in members]
    order = [0 if side == {0} else 1 if side == {1} else 2 for side in sides]
    assert order == sorted(order)
    assert pure(dim, p) == sum(place < 2 for place in order)


@pytest.mark.parametrize("n", [3, 5, 31, 33])
def test_odd_degrees_keep_the_moments_of_one_half(n):
    """Fewer than all for n = 3 to 31; then weights come near the end of float32, and all are kept."""
    dim, p = 4, (n + 1) // 2
    inside = 2 * count(2, p) if n < 32 else count(dim, p)
    assert kept(dim, n) == (inside, count(dim, p))
    all_of_them = 2 * count(dim, p) ** 2
    assert (multiplications(dim, n) < all_of_them) == (n < 32)


@pytest.mark.parametrize("n", [31, 33])
def test_high_degrees_in_single_precision(n):
    """g' of one high degree: moments and all pairs agree to spacings of float32, nothing overflows."""
    problem, w = SingleIndex(4, Activation.hermite(n + 1)), sample_sphere(jax.random.key(n), 20, 4)
    w = w.at[1].set(w[0]).astype(jnp.float32)
    found, expected = (velocity(problem, w, kernel=kernel) for kernel in ("moments", "dense"))
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("count", range(1, 8))
def test_each_pair_of_tiles_occurs_once(count):
    found = {frozenset(map(int, _pair(jnp.asarray(n), count))) for n in range(_pairs(count))}
    assert len(found) == _pairs(count) == count * (count - 1) / 2
    assert all(len(pair) == 2 for pair in found)


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
        (QUARTIC, 10**6, 128, "moments"),
        (QUARTIC, 10**6, 160, "tiled"),  # moments would cost less, but be more than 2^26 numbers
        (SingleIndex(8, Activation.hermite(2)), 16384, 128, "moments"),
        (RELU, 16384, 32, "tiled"),
    ],
)
def test_the_cheapest_form_is_chosen(problem, m, dim, kernel):
    assert choose(problem, m, dim).kernel == kernel


def test_costs_are_the_flops_of_the_products_where_those_decide():
    """Large m and d: 4m²d, 3m²d, and 2m K (3D − K) for h_4, whose interaction is cubic."""
    m, dim = 2**20, 2**11
    cost = costs(QUARTIC, m, dim)
    np.testing.assert_allclose(cost["dense"], 4 * m**2 * dim, rtol=0.05)
    np.testing.assert_allclose(cost["tiled"], 3 * m**2 * dim, rtol=0.05)
    # 8256 pairs of coordinates, 4160 of them in one half
    pairs, inside = 128 * 129 / 2, 2 * 64 * 65 / 2
    expected = 2 * m * inside * (3 * pairs - inside)
    np.testing.assert_allclose(costs(QUARTIC, m, 128)["moments"], expected, rtol=0.07)
    assert moment_numbers(QUARTIC, 128) == pairs * inside


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
        ({"kernel": "dense", "block": 2}, "block"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_bad_arguments(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`.*got"):
        velocity(QUARTIC, sample_sphere(jax.random.key(0), 4, 8), **arguments)


@pytest.mark.parametrize("arguments", [("Moments", 8), ("dense", 8, "bf16")])
def test_a_form_that_there_is_not(arguments):
    with pytest.raises(ValueError, match="one of.*got"):
        Form(*arguments)


def test_moments_without_end_are_not_chosen():
    """Their number is no floating-point number any more."""
    problem = SingleIndex(1000, Activation.hermite(220))
    assert choose(problem, 4096, 1000).kernel == "tiled"
    assert costs(problem, 4096, 1000)["moments"] == np.inf


def test_moments_that_fit_no_memory_are_refused():
    with pytest.raises(ValueError, match=r"`kernel`.*'moments'.*d = 64"):
        choose(SingleIndex(64, Activation.hermite(9)), 100, 64, kernel="moments")
