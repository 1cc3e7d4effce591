"""The gap ODE against the gap, and the bounds above both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import (
    Activation,
    SingleIndex,
    apply_local_hessian,
    gronwall_bound,
    measure_gap,
    moment_path,
    sample_sphere,
    solve_gap_ode,
    solve_mean_field,
    stability,
    velocity,
)
from mflib.bounds import growth_rate
from mflib.gap import to_meridians
from mflib.hermite import differentiate, polynomial
from mflib.linear import _assemble, _components, _GapODE
from mflib.sphere import tangent

PROBLEM = SingleIndex(10, Activation([0.0, 0.0, 0.8, 0.0, 0.6]))
MIXED = SingleIndex(10, Activation([0.2, 0.0, 0.6, 0.4, 0.0]), Activation([0.0, 0.0, 0.5, 0.5]))
# The last three, LATE, are learnt to a loss of about 0.35, 0.1 and 0.02: before, during and after escape.
# All tests ask for five times, and for few widths, so that solves compile once a width.
TIMES = np.array([0.01, 0.1, 0.5, 1.5, 3.0])
LATE = slice(2, None)


@pytest.fixture(scope="module")
def path():
    return moment_path(PROBLEM, 3.0)


@pytest.fixture(scope="module")
def mixed_path():
    return moment_path(MIXED, 3.0)


def relative(first, second):
    """‖Δ − Δ'‖/‖Δ‖ at the late times."""
    exact, approximate = np.asarray(first.vectors)[LATE], np.asarray(second.vectors)[LATE]
    return np.linalg.norm(exact - approximate, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))


def test_prediction_converges_at_the_rate_of_the_square_root(path):
    """‖Δ_pred − Δ‖/‖Δ‖ ∝ m^{−1/2}, m = 128 … 4096, at every time.

    Three widths, the ends and one near the middle: what decides a slope at fewer solves to compile.
    """
    widths = {128: 14, 512: 10, 4096: 3}
    errors = []
    for m, seeds in widths.items():
        runs = []
        for seed in range(seeds):
            start = sample_sphere(jax.random.key(seed), m, 10)
            measured = measure_gap(PROBLEM, start, TIMES, path=path, rtol=1e-5)
            runs.append(relative(measured, solve_gap_ode(PROBLEM, start, TIMES, path=path)))
        errors.append(np.log(runs))
    x = np.log(list(widths))
    for i in range(3):
        mean = np.array([e[:, i].mean() for e in errors])
        # One seed scatters by the spread pooled over widths; the fit's own standard error follows.
        spread = np.sqrt(np.mean([e[:, i].var(ddof=1) for e in errors]))
        bars = spread / np.sqrt(list(widths.values()))
        (slope, _), covariance = np.polyfit(x, mean, 1, w=1 / bars, cov="unscaled")
        band = 3 * np.sqrt(covariance[0, 0])
        assert band < 0.15
        assert abs(slope + 0.5) < band, (TIMES[LATE][i], slope, band)
    assert np.exp(errors[-1]).mean() < 0.05


def test_mixed_parity(mixed_path):
    start = sample_sphere(jax.random.key(0), 2048, 10)
    measured = measure_gap(MIXED, start, TIMES, path=mixed_path, rtol=1e-6)
    predicted = solve_gap_ode(MIXED, start, TIMES, path=mixed_path)
    assert np.all(relative(measured, predicted) < 0.1)
    np.testing.assert_allclose(predicted.function, measured.function, rtol=0.1)


def test_begins_as_the_sampling_noise(path):
    """Δ = t ε + O(t²), with ε the difference of two velocities at the start."""
    start = sample_sphere(jax.random.key(2), 128, 10)
    t = 1e-4
    predicted = solve_gap_ode(PROBLEM, start, t * np.linspace(0.2, 1, 5), path=path, rtol=1e-8)
    pull = PROBLEM.target_kernel(start[:, 0], derivative=1)
    at_start = jnp.zeros_like(start).at[:, 0].set(pull)
    radial = jnp.sum(at_start * start, axis=1, keepdims=True)
    # At the uniform law f_0 is constant, so ν(·, ρ_0) is the pull of the target alone.
    noise = velocity(PROBLEM, start) - (at_start - radial * start)
    np.testing.assert_allclose(predicted.vectors[-1] / t, noise, atol=1e-3)


def test_interaction_in_the_meridian_frame_is_that_of_autodiff(path):
    """Δ in the frame of (θ, azimuth): what the equation adds for interaction is −H Δ/m.

    The reference is the derivative of the network's velocity minus that at fixed law, by autodiff.
    """
    w = sample_sphere(jax.random.key(6), 12, 10)
    v = tangent(w, jax.random.normal(jax.random.key(7), w.shape))
    latitudes, azimuths = to_meridians(w)
    state = (latitudes, *_components(latitudes, azimuths, v))
    never, t = jnp.asarray(0.0), jnp.asarray(1.0)

    @jax.jit
    def added(state):
        on, off = (
            _GapODE(PROBLEM, path, azimuths, never, interaction, 4)(t, state)[1:]
            for interaction in (True, False)
        )
        return _assemble(latitudes, azimuths, *(a - b for a, b in zip(on, off, strict=True)))

    ours = added(state)

    def at_law(law):
        """Velocity of the particles w beside another law."""
        pulled = PROBLEM.target_kernel(w[:, 0], derivative=1)
        slope = differentiate(PROBLEM.kernel_coefficients)
        force = -polynomial(slope, w @ law.T) @ law / law.shape[0]
        return tangent(w, force.at[:, 0].add(pulled))

    expected = jax.jit(lambda w, v: jax.jvp(at_law, (w,), (v,))[1])(w, v)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_without_interaction_and_noise_only_stability_is_left(path):
    """After the noise is off, without interaction, Δ_i(t) = J_{t,s} Δ_i(s): both eigenvalues."""
    start = sample_sphere(jax.random.key(3), 512, 10)
    gap = solve_gap_ode(
        PROBLEM, start, TIMES, path=path, interaction=False, noise_until=0.5, rtol=1e-8
    )
    # As many times as those of `path`, for which the solve is compiled: 0.5, 1.5 and 3 among them.
    dense, late = (
        np.append(np.linspace(0, 0.5, 86, endpoint=False), np.linspace(0.5, 3, 171)),
        [86, 154, 256],
    )
    np.testing.assert_allclose(dense[late], TIMES[LATE])
    limit = solve_mean_field(PROBLEM, dense, nodes=64)
    found = stability(limit, start[:, 0])
    sizes = gap.parallel, jnp.sqrt(jnp.maximum(gap.displacement**2 - gap.parallel**2, 0))
    for size, J in zip(sizes, (found.parallel, found.perpendicular), strict=True):
        size, J = np.asarray(size)[LATE], np.asarray(J)[late]
        expected = size[0] * J / J[0]
        np.testing.assert_allclose(size[1:], expected[1:], rtol=1e-3, atol=1e-6)


def test_noise_off_from_the_start_leaves_nothing(path):
    start = sample_sphere(jax.random.key(3), 128, 10)
    gap = solve_gap_ode(PROBLEM, start, TIMES, path=path, noise_until=0.0)
    assert np.all(gap.displacement == 0)


def test_interaction_damps(path):
    """−H is negative semidefinite: with it the gap is smaller, as it is in every run tried."""
    start = sample_sphere(jax.random.key(4), 512, 10)
    free, full = (
        jnp.mean(
            solve_gap_ode(PROBLEM, start, TIMES, path=path, interaction=i).displacement ** 2, 1
        )
        for i in (False, True)
    )
    assert np.all(full < free)


def test_prediction_is_tangent_and_blocks_do_not_matter(path):
    start = sample_sphere(jax.random.key(5), 128, 10)
    gap = solve_gap_ode(PROBLEM, start, TIMES, path=path)
    np.testing.assert_allclose(jnp.sum(gap.vectors * gap.limit, -1), 0, atol=1e-12)
    blocked = solve_gap_ode(PROBLEM, start, TIMES, path=path, block=48)
    np.testing.assert_allclose(blocked.vectors, gap.vectors, atol=1e-10)
    np.testing.assert_allclose(blocked.function, gap.function, atol=1e-10)


@pytest.mark.parametrize("problem", [PROBLEM, MIXED], ids=["even", "mixed"])
def test_no_local_hessian_exceeds_the_growth_rate(problem):
    """Over random laws of a few particles, and adversarial ones all at one point."""
    basis = jnp.broadcast_to(jnp.eye(10)[:, None], (10, 4, 10))

    @jax.jit
    @jax.vmap
    def largest(seed):
        w = sample_sphere(jax.random.key(seed), 4, 10)
        clouds = [w, jnp.concatenate([w[:1], jnp.tile(-w[:1], (3, 1))]), jnp.tile(w[:1], (4, 1))]

        def of(cloud):
            images = jax.vmap(lambda v: apply_local_hessian(problem, cloud, v)[0])(basis)
            return jnp.linalg.eigvalsh(0.5 * (images + images.T)).max()

        return jax.vmap(of)(jnp.stack(clouds))

    assert 0 < largest(jnp.arange(60)).max() <= growth_rate(problem)


# Widths at which other tests solve, and 32.
@pytest.mark.parametrize(
    ("problem", "m", "seed"),
    [
        *((PROBLEM, m, seed) for m, seed in ((32, 0), (32, 1), (128, 2), (512, 3))),
        *((MIXED, m, seed) for m, seed in ((32, 0), (32, 1), (32, 2), (2048, 3))),
    ],
    ids=lambda value: {id(PROBLEM): "even", id(MIXED): "mixed"}.get(id(value)),
)
def test_gronwall_bounds_every_run(problem, m, seed, path, mixed_path):
    path = path if problem is PROBLEM else mixed_path
    start = sample_sphere(jax.random.key(seed), m, 10)
    bound = gronwall_bound(problem, TIMES, start, path=path)
    gap = measure_gap(problem, start, TIMES, path=path)
    size = jnp.sqrt(jnp.mean(gap.displacement**2, axis=1))
    assert np.all(bound.displacement >= size)
    assert np.all(bound.function >= jnp.sqrt(gap.function))
    # Not vacuous: at the start the bound on the function is the function gap itself.
    assert bound.function[0] < 1.2 * jnp.sqrt(gap.function[0])


def test_expected_bound_is_the_root_mean_square_of_runs(path):
    times = np.array([0.2, 0.3, 0.5, 0.7, 1.0])
    expected = gronwall_bound(PROBLEM, times, path=path)
    runs = [
        gronwall_bound(PROBLEM, times, sample_sphere(jax.random.key(s), 128, 10), path=path)
        for s in range(24)
    ]
    for name in ("displacement", "function"):
        each = 128 * jnp.stack([getattr(run, name) for run in runs]) ** 2
        ratio = jnp.mean(each, 0) / getattr(expected, name) ** 2
        # Minkowski: the expectation's bound is above the runs' mean square, and close to it.
        assert np.all(ratio < 1.15) and np.all(ratio > 0.7)


def test_growth_rate_by_hand():
    """h_4 well specified: max(12α² − 16α⁴) + max 4s⁴ = 2.25 + 4."""
    problem = SingleIndex(10, Activation([0.0, 0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(growth_rate(problem), 6.25)


def test_bad_input_is_named(path):
    start = sample_sphere(jax.random.key(0), 8, 10)
    for call, name in (
        (lambda: solve_gap_ode(PROBLEM, start, [4.0], path=path), "path"),
        (
            lambda: solve_gap_ode(PROBLEM, start, TIMES, path=path, noise_until=np.nan),
            "noise_until",
        ),
        (lambda: solve_gap_ode(PROBLEM, start[:, :5], TIMES, path=path), "particles"),
        (lambda: gronwall_bound(PROBLEM, [-1.0]), "times"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()
