"""Targets of several directions: constants, velocity, symmetries, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import Activation, MultiIndex, SingleIndex, sample_sphere, solve_network
from mflib.drift import loss, velocity
from mflib.sphere import tangent

MIXED = Activation([0.2, 0.5, -0.3, 0.4, 0.6])
LINK = Activation([0.1, 0.3, 0.5, -0.2, 0.4])
H2, H3, H4 = (Activation.hermite(k) for k in (2, 3, 4))
THREE = MultiIndex(7, MIXED, [[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]], [0.5, -0.3, 0.7], link=LINK)
E1 = [[1.0, 0.0]]
TURNS = [[np.cos(v), np.sin(v)] for v in 2 * np.pi * np.arange(3) / 3]


def start(seed=0, m=24, dim=7):
    return sample_sphere(jax.random.key(seed), m, dim)


def pull(problem, w):
    """The gradient of `potential` before its projection on the sphere."""
    return jnp.zeros_like(w).at[:, : problem.r].set(problem.inner_pull(w))


def written_out(problem, w):
    """The loss with plain sums over directions, degrees and neurons."""
    c, b = np.asarray(problem.activation.coefficients), np.asarray(problem.link.coefficients)
    a, v = problem.weights, problem.directions
    overlaps, targets = w @ w.T, w[:, : v.shape[1]] @ v.T
    total = sum(b[k] ** 2 * (a @ (v @ v.T) ** k @ a) for k in range(b.size))
    total += sum(c[k] ** 2 * jnp.mean(overlaps**k) for k in range(c.size))
    total -= 2 * sum(c[k] * b[k] * jnp.mean(targets**k @ a) for k in range(c.size))
    return 0.5 * total


def test_loss_and_velocity_are_those_of_the_loss_written_out():
    w = start()
    value, slope = jax.jit(jax.value_and_grad(lambda w: written_out(THREE, w)))(w)
    np.testing.assert_allclose(loss(THREE, w), value, rtol=1e-13)
    np.testing.assert_allclose(velocity(THREE, w), -len(w) * tangent(w, slope), atol=1e-13)
    np.testing.assert_allclose(velocity(THREE, w, block=5), velocity(THREE, w), atol=1e-14)


def test_constants_are_integrals_over_inputs():
    """‖f*‖² and E f*(x) σ(w·x), by Gauss–Hermite rules that are exact for polynomials."""
    z, weights = np.polynomial.hermite_e.hermegauss(10)
    weights = weights / weights.sum()
    x = jnp.asarray(np.stack(np.meshgrid(z, z, z), -1).reshape(-1, 3))
    mass = np.einsum("i,j,k->ijk", weights, weights, weights).reshape(-1)
    w = start(m=5)
    f = THREE.target(jnp.pad(x, ((0, 0), (0, 4))))
    np.testing.assert_allclose(mass @ f**2, THREE.target_power, rtol=1e-12)
    # w·x is x_1 w_1 + x_2 w_2 + x_3 ‖rest of w‖ in law.
    seen = jnp.concatenate([w[:, :2], jnp.linalg.norm(w[:, 2:], axis=1)[:, None]], axis=1)
    values = jax.jit(lambda x: MIXED(x @ seen.T))(x)
    np.testing.assert_allclose((mass * f) @ values, THREE.potential(w), atol=1e-12)
    slopes = jax.jit(jax.vmap(jax.grad(lambda w: THREE.potential(w[None])[0])))(w)
    np.testing.assert_allclose(pull(THREE, w), slopes, atol=1e-13)


@pytest.mark.parametrize("directions", [[[1.0]], E1])
def test_one_direction_is_a_single_index(directions):
    one, other = MultiIndex(7, MIXED, directions, link=LINK), SingleIndex(7, MIXED, LINK)
    w = start()
    np.testing.assert_array_equal(velocity(one, w), velocity(other, w))
    assert loss(one, w) == loss(other, w)
    np.testing.assert_array_equal(one.target(w), other.target(w))
    np.testing.assert_array_equal(one.potential(w), other.potential(w))
    np.testing.assert_array_equal(pull(one, w), pull(other, w))
    assert one.initial_loss == other.initial_loss
    np.testing.assert_allclose(one.target_power, other.target_power, rtol=1e-15)
    assert (one.information_exponent, one.even) == (other.information_exponent, other.even)


def test_network_is_that_of_the_single_index():
    one, other = (p(7, H4, *v) for p, v in ((MultiIndex, [E1]), (SingleIndex, [])))
    single, several = (solve_network(p, start(), [1.0, 8.0]) for p in (other, one))
    np.testing.assert_array_equal(several.particles, single.particles)
    np.testing.assert_array_equal(several.loss, single.loss)


def test_one_coordinate_gives_an_equivalent_single_index():
    """v = ±1: odd degrees of φ carry the sum of the signed weights."""
    several = MultiIndex(7, MIXED, [[1.0], [-1.0]], [0.9, 0.4], link=LINK)
    single = several.single_index()
    w = start()
    np.testing.assert_allclose(several.target(w), single.target(w), atol=1e-13)
    np.testing.assert_allclose(velocity(several, w), velocity(single, w), atol=1e-14)
    np.testing.assert_allclose(several.target_power, single.target_power, rtol=1e-13)
    with pytest.raises(ValueError, match="`directions`"):
        THREE.single_index()


@pytest.mark.parametrize("activation", [H4, Activation([0.3, 1.0, 1.0, 1.0])])
def test_circle_is_the_mean_over_many_directions(activation):
    """K + 1 directions are exact, for even K and odd."""
    angles = 2 * np.pi * np.arange(1000) / 1000
    many = MultiIndex(
        7, activation, np.stack([np.cos(angles), np.sin(angles)], 1), 2 * np.ones(1000) / 1000
    )
    circle, w = MultiIndex.circle(7, activation, scale=2.0), start()
    assert circle.directions.shape == (activation.degree + 1, 2)
    np.testing.assert_allclose(circle.target(w), many.target(w), atol=1e-13)
    np.testing.assert_allclose(velocity(circle, w), velocity(many, w), atol=1e-13)
    np.testing.assert_allclose(circle.target_power, many.target_power, rtol=1e-12)
    assert circle.information_exponent == many.information_exponent


def test_initial_loss_is_the_mean_over_uniform_particles():
    """E of the finite-width loss at the start, less g(1)/(2m) for the particles with themselves."""
    one = jnp.asarray(1.0)
    one_loss = jax.jit(lambda w: loss(THREE, w))
    losses = jnp.stack([one_loss(start(seed, m=500)) for seed in range(40)])
    own = MIXED.kernel(one) / 1000
    spread = losses.std() / np.sqrt(40)
    # The diagonal's own mean, 500 of 500² pairs, is exact: it replaces a_0 by g(1).
    assert abs(losses.mean() - own - THREE.initial_loss) < 4 * spread + own / 100


def test_rotation_equivariance():
    """Turning directions within the first r coordinates, and the others anyhow, turns the velocity."""
    q, p = (
        np.linalg.qr(np.random.default_rng(s).normal(size=(n, n)))[0] for s, n in ((0, 2), (1, 5))
    )
    turn = jnp.asarray(np.block([[q, np.zeros((2, 5))], [np.zeros((5, 2)), p]]))
    turned = MultiIndex(7, MIXED, np.asarray(THREE.directions) @ q.T, THREE.weights, LINK)
    w = start()
    np.testing.assert_allclose(
        velocity(turned, w @ turn.T), velocity(THREE, w) @ turn.T, atol=1e-13
    )


@pytest.mark.parametrize(
    ("sigma", "directions", "weights", "exponent", "even"),
    [
        (H4, E1, None, 4, True),
        (H3, TURNS, None, 3, False),
        # A regular triangle has no mean: the first degree is gone; the second is isotropic.
        (Activation([0, 1.0, 1.0]), TURNS, None, 2, False),
        # Opposite directions of opposite weights: no even degree.
        (Activation([0, 0, 1.0, 1.0]), [[1.0, 0.0], [-1.0, 0.0]], [1.0, -1.0], 3, False),
        (Activation([0, 0, 1.0, 0, 1.0]), np.eye(3), [1.0, 1.0, -1.0], 2, True),
    ],
)
def test_exponent_and_parity(sigma, directions, weights, exponent, even):
    problem = MultiIndex(8, sigma, directions, weights)
    assert (problem.information_exponent, problem.even) == (exponent, even)


def test_random_directions():
    problem = MultiIndex.random(jax.random.key(0), 9, H4, 6, 3)
    assert (problem.r, problem.directions.shape) == (3, (6, 3))
    np.testing.assert_allclose(jnp.linalg.norm(problem.directions, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(problem.weights, 1 / 6)
    assert np.isfinite(velocity(problem, start(dim=9))).all()


def test_single_precision_stays():
    w = start().astype(jnp.float32)
    assert {velocity(THREE, w).dtype, loss(THREE, w).dtype} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: MultiIndex(3, H4, E1), "dim"),
        (lambda: MultiIndex(float("nan"), H4, E1), "dim"),
        (lambda: MultiIndex(8, jnp.tanh, E1), "activation"),
        (lambda: MultiIndex(8, H4, E1, link=jnp.tanh), "link"),
        (lambda: MultiIndex(8, H4, E1, link=H3), "link"),
        (lambda: MultiIndex(8, H4, [1.0, 0.0]), "directions"),
        (lambda: MultiIndex(8, H4, [[2.0, 0.0]]), "directions"),
        (lambda: MultiIndex(8, H4, [[np.nan, 0.0]]), "directions"),
        (lambda: MultiIndex(8, H4, np.zeros((0, 2))), "directions"),
        (lambda: MultiIndex(8, H2, [[1.0, 0.0], [-1.0, 0.0]], [1.0, -1.0]), "directions"),
        (lambda: MultiIndex.circle(8, H3), "directions"),
        (lambda: MultiIndex(8, H4, E1, [1.0, 1.0]), "weights"),
        (lambda: MultiIndex(8, H4, E1, [np.inf]), "weights"),
        (lambda: MultiIndex.circle(8, jnp.tanh), "activation"),
        (lambda: MultiIndex.random(jax.random.key(0), 8, H4, 0, 2), "count"),
        (lambda: MultiIndex.random(jax.random.key(0), 8, H4, 2, 0), "r"),
        (lambda: velocity(MultiIndex(8, H4, E1), start(dim=9)), "particles"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        call()
