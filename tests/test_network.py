"""Finite width: the flow on the sphere, its invariants, its distance to infinite width."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import mflib
from mflib import Activation, SingleIndex, SolverError, sample_sphere, solve_network
from mflib.drift import velocity
from mflib.integrate import _single_thread

PROBLEM = SingleIndex(8, Activation([0.0, 0.0, 0.6, 0.3, 0.7]))
TIMES = np.linspace(0, 4, 9)


@pytest.fixture(scope="module")
def network():
    return solve_network(PROBLEM, sample_sphere(jax.random.key(0), 64, 8), TIMES, rtol=1e-8)


def test_particles_stay_on_the_sphere(network):
    np.testing.assert_allclose(jnp.linalg.norm(network.particles, axis=-1), 1, atol=1e-14)


def test_starts_where_it_was_put(network):
    start = sample_sphere(jax.random.key(0), 64, 8)
    np.testing.assert_allclose(network.particles[0], start, atol=1e-15)


def test_energy_decreases_at_the_rate_of_the_squared_speed(network):
    """dL/dt = −(1/m) Σ |ν_i|², by central differences over a short solve."""
    assert np.all(np.diff(network.loss) < 0)
    w = network.particles[4]
    h = 1e-3
    ahead = solve_network(PROBLEM, w, [h, 2 * h], rtol=1e-10)
    here = mflib.drift.loss(PROBLEM, w)
    # One-sided second-order difference; its error is O(h²).
    slope = (-3 * here + 4 * ahead.loss[0] - ahead.loss[1]) / (2 * h)
    expected = -jnp.mean(jnp.sum(velocity(PROBLEM, w) ** 2, axis=1))
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


def test_agrees_with_small_projected_steps(network):
    """Projected gradient descent with step η is O(η) away: halving η halves the distance."""
    step = jax.jit(lambda w, eta: mflib.sphere.normalise(w + eta * mflib.drift.drift(PROBLEM, w)))
    gaps = []
    for n in (400, 800):
        w = network.particles[0]
        for _ in range(n):
            w = step(w, 1.0 / n)
        gaps.append(float(jnp.abs(w - network.particles[2]).max()))
    assert 1.8 < gaps[0] / gaps[1] < 2.2
    assert gaps[1] < 0.01


def test_tolerance_controls_the_error(network):
    start = network.particles[0]
    errors = [
        float(
            jnp.abs(
                solve_network(PROBLEM, start, TIMES, rtol=r).particles - network.particles
            ).max()
        )
        for r in (1e-3, 1e-5)
    ]
    assert errors[1] < errors[0] / 10
    assert errors[1] < 1e-4


def test_blocked_drift_gives_the_same_network(network):
    blocked = solve_network(PROBLEM, network.particles[0], TIMES, rtol=1e-8, block=16)
    np.testing.assert_allclose(blocked.particles, network.particles, atol=1e-9)
    np.testing.assert_allclose(blocked.loss, network.loss, atol=1e-9)


def test_rotations_that_fix_the_target_commute_with_the_flow(network):
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))
    rotation = jnp.asarray(np.block([[np.eye(1), np.zeros((1, 7))], [np.zeros((7, 1)), q]]))
    rotated = solve_network(PROBLEM, network.particles[0] @ rotation.T, TIMES, rtol=1e-8)
    np.testing.assert_allclose(rotated.particles, network.particles @ rotation.T, atol=1e-6)


def test_float32_stays_float32_and_on_the_sphere():
    start = sample_sphere(jax.random.key(0), 32, 8).astype(jnp.float32)
    problem = SingleIndex(8, Activation(jnp.array([0, 0, 1.0], jnp.float32)))
    found = solve_network(problem, start, [0.0, 1.0], rtol=1e-4)
    assert found.particles.dtype == found.loss.dtype == jnp.float32
    np.testing.assert_allclose(jnp.linalg.norm(found.particles, axis=-1), 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"`rtol`.*float32"):
        solve_network(problem, start, [0.0, 1.0], rtol=1e-8)


def test_progress_is_shown_when_asked(network, capfd):
    solve_network(PROBLEM, network.particles[0], TIMES, progress=True)
    shown = capfd.readouterr()
    assert "100.00%" in shown.err + shown.out
    solve_network(PROBLEM, network.particles[0], TIMES)
    shown = capfd.readouterr()
    assert shown.err + shown.out == ""


def test_a_failed_solve_says_where_and_why(network):
    with pytest.raises(SolverError) as error:
        solve_network(PROBLEM, network.particles[0], TIMES, max_steps=3)
    for part in ("t = ", "of 4", "3 steps", "m = 64", "d = 8", "max_steps"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "non-empty"),
        ([[0.0, 1.0]], "1-d"),
        ([0.0, 1.0, 1.0], "increasing"),
        ([1.0, 0.5], "increasing"),
        ([-1.0, 0.5], "non-negative"),
        ([0.0, np.nan], "finite"),
    ],
)
def test_bad_times(network, times, message):
    with pytest.raises(ValueError, match=message) as error:
        solve_network(PROBLEM, network.particles[0], times)
    assert "`times`" in str(error.value)


@pytest.mark.parametrize("rtol", [0.0, -1e-3, 1e-16, 2.0, np.nan])
def test_bad_rtol(network, rtol):
    with pytest.raises(ValueError, match="`rtol`"):
        solve_network(PROBLEM, network.particles[0], TIMES, rtol=rtol)


def test_a_single_time_zero_is_the_start(network):
    alone = solve_network(PROBLEM, network.particles[0], [0.0])
    np.testing.assert_allclose(alone.particles[0], network.particles[0], atol=1e-15)


def test_threads_of_lapack_come_back_when_the_last_solve_leaves():
    def limits():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = limits()
        assert 2 in before
        first, second = _single_thread(), _single_thread()
        for solve in (first, second):
            solve.__enter__()
        assert set(limits()) == {1}
        first.__exit__(None, None, None)
        assert set(limits()) == {1}
        second.__exit__(None, None, None)
        assert limits() == before
