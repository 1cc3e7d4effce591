"""Tasks known by their examples, and the families of the paper's authors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import Activation, SingleIndex, descend, sample_sphere
from mflib.families import NAMES, family, ge4
from mflib.tasks import Monomials, Task, corners, sampled

KEY = jax.random.key(0)


def test_corners_are_all_inputs_once():
    x = np.asarray(corners(5))
    assert x.shape == (32, 5)
    assert np.unique(x, axis=0).shape == (32, 5)
    assert set(np.unique(x)) == {-1.0, 1.0}
    with pytest.raises(ValueError, match="`dim` must be an integer from 1 to 16"):
        corners(17)


def test_monomials_are_orthonormal_on_the_cube():
    x = corners(5)
    table = jnp.stack([Monomials({s: 1.0})(x) for s in ((), (0,), (1, 3), (0, 1, 4))])
    np.testing.assert_allclose(table @ table.T / 32, np.eye(4), atol=1e-15)
    both = Monomials({(0,): 0.25, (1, 3): -2.0})(x)
    np.testing.assert_allclose(both, 0.25 * x[:, 0] - 2 * x[:, 1] * x[:, 3], atol=1e-15)
    for terms in ({}, {(1, 1): 1.0}, {(-1,): 1.0}):
        with pytest.raises(ValueError, match="`terms` must be"):
            Monomials(terms)


def test_inputs_have_the_law_asked_for():
    boolean = Task(8, jax.nn.relu, lambda x: x[:, 0], inputs="boolean")
    x = boolean.sample(KEY, 4000)
    assert set(np.unique(x)) == {-1.0, 1.0}
    # Entries of the correlation matrix have standard deviation 1/√4000 = .016: five of them.
    np.testing.assert_allclose(x.T @ x / 4000, np.eye(8), atol=0.08)
    gaussian = sampled(SingleIndex(8, Activation.hermite(3)))
    x = gaussian.sample(KEY, 4000)
    np.testing.assert_allclose(x.T @ x / 4000, np.eye(8), atol=0.12)


def test_signs_balance_and_do_not_depend_on_the_width():
    task = Task(8, jax.nn.relu, lambda x: x[:, 0], signed=True)
    assert task.signs(10).sum() == 0
    assert np.array_equal(task.signs(10)[:6], task.signs(6))
    assert np.array_equal(sampled(SingleIndex(8, Activation.hermite(3))).signs(3), [1, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, jax.nn.relu, jnp.sum), "`dim` must be at least 3; got 2"),
        ((8, 1.0, jnp.sum), "`activation` must be a function; got float"),
        ((8, jax.nn.relu, None), "`target` must be a function; got NoneType"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Task(*arguments)
    with pytest.raises(ValueError, match="`inputs` must be 'gaussian' or 'boolean'; got 'binary'"):
        Task(8, jax.nn.relu, jnp.sum, inputs="binary")


# E f*² of each family, from its definition: sums of squares of Hermite and of Fourier coefficients, and
# of pairs of directions (v·v')^4; E over the circle of cos^4 is 3/8. ge4 is integrated on a fine grid.
GRID = np.linspace(-12, 12, 20_001)
GE4 = (
    np.trapezoid(np.asarray(ge4(jnp.asarray(GRID))) ** 2 * np.exp(-(GRID**2) / 2), GRID)
    / (2 * np.pi) ** 0.5
)
POWERS = {
    "He3": 1,
    "He4": 1,
    "He4_small": 0.25,
    "He4_misspecified": 0.45,
    "Ge4": GE4,
    "NP_mis": GE4,
    "He4_orth": 1 / 2,
    "He4_nonorth": 1 / 2 * (1 + 1 / 4),
    "Man_2": 3 / 8,
    "Man_big_2": 6,
    "XOR_2": 1,
    "XOR_3": 1,
    "XOR_4": 1,
    "XOR_5": 1,
    "XOR_4_quarter": 1 / 16,
    "Hop_1_3": 10 / 16,
    "Hop_2_4": 10 / 16,
    "Hop_2": 1 / 2,
    "Hop_4": 1 / 2,
    "stair_3": 0.03,
    "stair_4": 0.04,
}


@pytest.mark.parametrize("name", NAMES)
def test_families_are_those_of_the_authors(name):
    found = family(name, 24)
    if name not in POWERS:
        r, n = map(int, name.removeprefix("He4_random_").split("_"))
        assert found.problem.directions.shape == (n, r)
    elif found.problem is None:
        x = found.task.sample(KEY, 4096)
        # Products of coordinates are ±1, so that squares have a standard deviation of at most 1.
        assert abs(jnp.mean(found.task.target(x) ** 2) - POWERS[name]) < 5 / 64
        assert found.task.signed and found.task.inputs == "boolean"
    else:
        # Series of degree 40 of `ge4` leave 1e-5 of its square.
        np.testing.assert_allclose(found.problem.target_power, POWERS[name], rtol=2e-5)
        assert found.problem.information_exponent == (3 if name == "He3" else 4)


def test_unknown_family_is_named():
    with pytest.raises(ValueError, match="`name` must be one of He3, .* got 'He5'"):
        family("He5", 16)


def test_monomials_take_integers_and_refuse_too_few_coordinates():
    """±1 are integers to most; and JAX would take the last coordinate for one that there is not."""
    f = Monomials({(0,): 0.25, (1,): 0.75})
    np.testing.assert_array_equal(f(np.array([[1, -1, 1]])), f(np.array([[1.0, -1, 1]])))
    with pytest.raises(
        ValueError, match=r"`x` must be of shape \(n, d\) with d ≥ 6; got shape \(1, 5\)"
    ):
        Monomials({(0, 5): 1.0})(np.ones((1, 5)))
    with pytest.raises(ValueError, match="`dim` must be at least 8, the coordinates of the target"):
        family("Hop_4", 7)


@pytest.mark.parametrize("target", [jnp.sum, lambda x: x[:, :1]])
def test_a_target_gives_one_number_for_each_input(target):
    for samples in (None, 16):
        with pytest.raises(
            ValueError, match=r"`target` must be a function from \(n, d\) to \(n,\)"
        ):
            descend(
                Task(4, jnp.tanh, target),
                sample_sphere(jax.random.key(0), 3, 4),
                step=0.1,
                steps=1,
                samples=samples,
                batch=8,
                key=jax.random.key(1),
            )


def test_a_dimension_is_an_integer():
    with pytest.raises(ValueError, match=r"`dim` must be an integer; got 3\.7"):
        Task(3.7, jnp.tanh, jnp.sum)
