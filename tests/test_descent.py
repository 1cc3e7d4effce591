"""Descent: its limits in the step and in the sample, exact restarts, and what each step learns from."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mflib.empirical
from mflib import Activation, SingleIndex, descend, sample_sphere, solve_network
from mflib.checkpoint import Checkpoint
from mflib.descent import _Batches
from mflib.empirical import empirical_drift, empirical_loss, outputs
from mflib.tasks import Monomials, Task, corners

D, M = 6, 16
PARITY = Task(D, jax.nn.relu, Monomials({(0, 1): 1.0}), inputs="boolean", signed=True)
HERMITE = SingleIndex(D, Activation([0.0, 0.0, 0.8, 0.6]))
START = sample_sphere(jax.random.key(0), M, D)
KEY = jax.random.key(1)
SOURCES = {
    "population": {},
    "sample": {"samples": 300},
    "batches": {"samples": 300, "batch": 64},
    "fresh": {"batch": 64},
}


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def test_error_is_of_first_order_in_the_step():
    exact = solve_network(HERMITE, START, [1.0], rtol=1e-9).particles[-1]
    steps = np.array([20, 40, 80, 160])
    errors = [
        jnp.linalg.norm(
            descend(HERMITE, START, step=1 / n, steps=int(n)).particles[-1] - exact
        ).item()
        for n in steps
    ]
    # The second order shifts it by about the largest step, 0.05.
    assert 0.95 < slope(1 / steps, errors) < 1.05


def test_error_is_of_order_one_half_in_the_sample():
    exact = descend(HERMITE, START, step=0.05, steps=20).particles[-1]
    samples, keys = (400, 1600, 6400), jax.random.split(KEY, 24)
    errors = []
    for n in samples:
        ends = [
            descend(HERMITE, START, step=0.05, steps=20, samples=n, key=key).particles[-1]
            for key in keys
        ]
        errors.append(jnp.sqrt(jnp.mean((jnp.stack(ends) - exact) ** 2)).item())
    # Each root mean square is known to about 1/√(2·24) = 14 %, and the slope over log 16 to half of
    # that: three standard errors. A slope of −1, or of −¼, is refused.
    assert -0.7 < slope(samples, errors) < -0.3


@pytest.mark.parametrize("source", SOURCES)
def test_restart_is_bit_identical(source):
    settings = {"step": 0.1, "key": KEY, **SOURCES[source]}
    whole = descend(PARITY, START, steps=11, every=3, **settings)
    # In the middle of an epoch of four batches.
    rest = descend(PARITY, whole.particles[2], steps=11, start=6, **settings)
    assert np.array_equal(rest.particles[-1], whole.particles[-1])
    np.testing.assert_allclose(whole.times, [0, 0.3, 0.6, 0.9, 1.1], rtol=1e-12)
    np.testing.assert_allclose(rest.times, [0.6, 1.1], rtol=1e-12)
    assert int(rest.steps) == 11


def test_interrupted_descent_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    settings = {"step": 0.1, "steps": 9, "every": 3, "samples": 300, "batch": 64, "key": KEY}
    whole = descend(PARITY, START, **settings)
    file = tmp_path / "state.npz"
    save = Checkpoint.save

    def interrupted(self, states):
        save(self, states)
        if len(states) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        descend(PARITY, START, checkpoint=file, **settings)
    monkeypatch.undo()
    calls = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, states: calls.append(len(states)))
    resumed = descend(PARITY, START, checkpoint=file, **settings)
    assert calls == [4]  # only the last third was still to do
    assert np.array_equal(resumed.particles, whole.particles)
    assert np.array_equal(resumed.pool_loss, whole.pool_loss)
    with pytest.raises(ValueError, match="`checkpoint` must be a file of the same problem"):
        descend(PARITY, START, checkpoint=file, **{**settings, "step": 0.2})


def test_relu_drift_is_the_gradient():
    x = corners(D)
    y = PARITY.target(x)
    gradient = jax.grad(lambda w: empirical_loss(PARITY, w, x, y))(START)
    gradient -= jnp.sum(gradient * START, axis=1, keepdims=True) * START
    np.testing.assert_allclose(empirical_drift(PARITY, START, x, y), -M * gradient, atol=1e-14)


def test_boolean_population_is_the_whole_cube():
    """One step by hand: a loop over all inputs in NumPy, against the descent without samples."""
    w, velocity = np.asarray(START), np.zeros((M, D))
    signs = np.where(np.arange(M) % 2, -1, 1)
    total = 0.0
    for x in itertools.product((1, -1), repeat=D):
        x = np.array(x)
        residual = signs @ np.maximum(w @ x, 0) / M - x[0] * x[1]
        velocity -= residual * (signs * (w @ x > 0))[:, None] * x / 2**D
        total += residual**2 / 2 / 2**D
    moved = w + 0.1 * (velocity - np.sum(velocity * w, axis=1, keepdims=True) * w)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    found = descend(PARITY, START, step=0.1, steps=1)
    np.testing.assert_allclose(found.particles[-1], moved, atol=1e-14)
    np.testing.assert_allclose(found.loss[0], total, rtol=1e-12)
    assert found.pool_loss is None


def test_sampled_velocity_estimates_the_population():
    """Root mean square over keys of the error of one step: 1/√n with the right constant."""
    x = corners(D)
    each = jax.vmap(lambda x: empirical_drift(PARITY, START, x[None], PARITY.target(x[None])))(x)
    n, population = 1000, jnp.mean(each, axis=0)
    spread = jnp.sum(jnp.var(each, axis=0)) / n

    @jax.jit
    def squared_error(key):
        sample = PARITY.sample(key, n)
        drift = empirical_drift(PARITY, START, sample, PARITY.target(sample))
        return jnp.sum((drift - population) ** 2)

    errors = jnp.stack([squared_error(key) for key in jax.random.split(KEY, 60)])
    standard_error = jnp.std(errors) / 60**0.5
    assert abs(jnp.mean(errors) - spread) < 4 * standard_error
    assert standard_error < 0.1 * spread


def test_examples_do_not_depend_on_the_width():
    """Every neuron twice is the same function, and stays so on the same examples."""
    twice = jnp.concatenate([START, START])
    task = Task(D, jax.nn.relu, PARITY.target, inputs="boolean")
    settings = {"step": 0.1, "steps": 9, "samples": 300, "batch": 64, "key": KEY}
    one, two = (descend(task, start, **settings) for start in (START, twice))
    np.testing.assert_allclose(two.particles[-1, :M], one.particles[-1], atol=1e-13)
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-12)


def test_an_epoch_takes_every_example_once():
    x = PARITY.sample(KEY, 64)
    source = _Batches(PARITY, x, PARITY.target(x), KEY, 16)
    order = source.order(jnp.asarray(0))
    velocities = []
    for number in range(4):
        velocity, order = source.velocity(jnp.asarray(number), START, order)
        velocities.append(velocity)
    full = empirical_drift(PARITY, START, x, PARITY.target(x))
    np.testing.assert_allclose(jnp.mean(jnp.stack(velocities), axis=0), full, atol=1e-14)
    assert not np.array_equal(order, source.order(jnp.asarray(4)))


def test_blocks_of_examples_change_nothing(monkeypatch):
    x = PARITY.sample(KEY, 50)
    y = PARITY.target(x)
    whole = empirical_drift(PARITY, START, x, y), outputs(PARITY, START, x)
    monkeypatch.setattr(mflib.empirical, "_PAIRS", 7 * M)
    blocked = empirical_drift(PARITY, START, x, y), outputs(PARITY, START, x)
    for a, b in zip(whole, blocked, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)


def test_scratch_memory_does_not_grow_with_the_sample(monkeypatch):
    monkeypatch.setattr(mflib.empirical, "_PAIRS", 64 * M)

    def scratch(n):
        shapes = [jax.ShapeDtypeStruct(s, jnp.float64) for s in ((M, D), (n, D), (n,))]
        drift = jax.jit(lambda w, x, y: empirical_drift(PARITY, w, x, y))
        return drift.lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    # All pairs at once would be 8 MB for the larger.
    assert scratch(2**16) < 1.1 * scratch(2**12) < 2**20


def test_particles_stay_on_the_sphere_in_their_dtype():
    found = descend(PARITY, START.astype(jnp.float32), step=0.5, steps=9, batch=64, key=KEY)
    assert found.particles.dtype == found.loss.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(found.particles, axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "`step` must be positive; got 0.0"),
        ({"steps": 0}, "`steps` must be an integer ≥ 1; got 0"),
        ({"batch": 400}, "`batch` must be at most samples = 300; got 400"),
        ({"key": None}, "`key` must be a JAX random key"),
        ({"start": 9}, "`start` must be below steps = 5; got 9"),
        ({"every": 0}, "`every` must be an integer ≥ 1 or None; got 0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    settings = {"step": 0.1, "steps": 5, "samples": 300, "key": KEY, **change}
    with pytest.raises(ValueError, match=message):
        descend(PARITY, START, **settings)


def test_population_of_a_task_must_be_enumerable():
    task = Task(20, jax.nn.relu, PARITY.target, inputs="boolean")
    with pytest.raises(ValueError, match="`samples` must be given"):
        descend(task, sample_sphere(KEY, 4, 20), step=0.1, steps=1)


def test_descent_that_blows_up_says_so():
    task = Task(D, lambda z: z**9, lambda x: 1e30 * x[:, 0] ** 9)
    with pytest.raises(FloatingPointError, match="smaller `step`"):
        descend(task, START.astype(jnp.float32), step=1e30, steps=3, batch=64, key=KEY)
