"""The measured gap: its closed form, its start, its two sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import (
    Activation,
    SingleIndex,
    measure_gap,
    moment_path,
    sample_sphere,
    solve_mean_field,
    solve_network,
)
from mflib.sphere import normalise

# Every test here asks for five times and 200 particles, of the limit for as many times as a moment path does:
# what is compiled once serves all.
TIMES = np.linspace(0, 4, 5)
DENSE = np.linspace(0, 4, 257)  # every 64th is one of TIMES
EVEN = SingleIndex(12, Activation([0.0, 0.0, 0.8, 0.0, 0.6]))
MIXED = SingleIndex(12, Activation([0.2, 0.0, 0.6, 0.4, 0.0]), Activation([0.0, 0.0, 0.5, 0.5]))


@pytest.fixture(scope="module", params=[EVEN, MIXED], ids=["even", "mixed"])
def setting(request):
    problem = request.param
    start = sample_sphere(jax.random.key(0), 200, 12)
    path = moment_path(problem, 4.0)
    return problem, start, path, measure_gap(problem, start, TIMES, path=path)


def test_both_sides_are_the_solvers_own(setting):
    problem, start, _, gap = setting
    network = solve_network(problem, start, TIMES, rtol=1e-8)
    np.testing.assert_allclose(gap.limit + gap.vectors, network.particles, atol=1e-5)
    limit = solve_mean_field(problem, DENSE, nodes=64 if problem.even else None)
    np.testing.assert_allclose(
        gap.limit[..., 0], limit.transport(start[:, 0])[::64], atol=3e-5
    )  # tol of both


def test_the_limit_keeps_its_azimuths(setting):
    _, start, _, gap = setting
    azimuths = normalise(gap.limit[..., 1:])
    np.testing.assert_allclose(azimuths, jnp.broadcast_to(normalise(start[:, 1:]), azimuths.shape))
    np.testing.assert_allclose(jnp.linalg.norm(gap.limit, axis=-1), 1, atol=1e-14)


def test_function_gap_is_the_distance_of_two_functions(setting):
    """E (f_m − f)² over inputs, with the limit's f from a dense deterministic cloud of its particles.

    The cloud: 48 overlaps with exact weights, each with 2^11 azimuths, ± to make odd parts exact.
    """
    problem, _, _path, gap = setting
    x = jax.random.normal(jax.random.key(5), (2000, 12))
    limit = solve_mean_field(problem, DENSE, nodes=64, tol=1e-3)
    azimuths = normalise(jax.random.normal(jax.random.key(6), (2048, 11)))
    azimuths = jnp.concatenate([azimuths, -azimuths])
    at = 3

    def member(total, row):
        x, alpha, weight = row
        w = jnp.concatenate([jnp.full((4096, 1), alpha), jnp.sqrt(1 - alpha**2) * azimuths], axis=1)
        # Of an even problem the nodes are those with α > 0: σ is even, and −w gives the same.
        return total + weight * problem.activation(x @ w.T).mean(1), None

    @jax.jit
    def function(x):
        nodes = limit.overlaps[64 * at], limit.weights
        rows = jnp.broadcast_to(x, (nodes[0].size, *x.shape))
        return jax.lax.scan(member, jnp.zeros(x.shape[0]), (rows, *nodes))[0]

    # A few inputs at a time, which fit the cache.
    f = jnp.concatenate([function(part) for part in jnp.split(x, 40)])
    w = gap.limit[at] + gap.vectors[at]
    values = (problem.activation(x @ w.T).mean(1) - f) ** 2
    bar = float(values.std() / np.sqrt(2000))
    # Plus what the cloud itself lacks: g(1)/4096 per overlap at most.
    assert abs(values.mean() - gap.function[at]) < 4 * bar + 1 / 4096


def test_start(setting):
    """Δ = 0, and the function gap is that of a sample: E‖u_0‖² = (g(1) − a_0)/m."""
    problem, _start, path, gap = setting
    np.testing.assert_allclose(gap.displacement[0], 0, atol=1e-14)
    repulsion, _ = problem.harmonics()
    expected = jnp.sum(problem.kernel_coefficients) - repulsion[0]
    draws = [
        200
        * measure_gap(
            problem, sample_sphere(jax.random.key(s), 200, 12), 1e-9 * np.arange(5), path=path
        ).function[0]
        for s in range(40)
    ]
    bar = np.std(draws) / np.sqrt(40)
    assert abs(np.mean(draws) - expected) < 4 * bar


def test_components(setting):
    """`parallel` is Δ·e_φ, `speed` is dφ/dt, and `delay` their quotient, late positive."""
    problem, start, path, gap = setting
    alpha = gap.limit[..., 0]
    cosine = jnp.sqrt(1 - alpha**2)
    e = jnp.concatenate(
        [cosine[..., None], -alpha[..., None] * normalise(gap.limit[..., 1:])], axis=-1
    )
    np.testing.assert_allclose(gap.parallel, jnp.sum(gap.vectors * e, -1), atol=1e-12)
    h = 1e-4
    ahead = measure_gap(problem, start, [0.5, 1, 1.5, 2 - h, 2 + h], path=path).limit[..., 0]
    rate = jnp.diff(jnp.arcsin(ahead), axis=0)[3] / (2 * h)
    np.testing.assert_allclose(gap.speed[2], rate, atol=1e-5)
    np.testing.assert_allclose(gap.delay[2], -gap.parallel[2] / gap.speed[2])


def test_a_network_on_the_limit_has_no_gap_to_its_own_delay():
    """A particle shifted along its path by a time s is late by −s: exact as s → 0."""
    path = moment_path(EVEN, 4.0)
    start = sample_sphere(jax.random.key(1), 200, 12)
    gap = measure_gap(EVEN, start, [0.25, 0.5, 0.75, 1.0, 1.001], path=path)
    moved = gap.limit[4] - gap.limit[3]
    # Within 1 %: the acceleration over a thousandth.
    e_speed = jnp.linalg.norm(moved, axis=-1) / 1e-3
    np.testing.assert_allclose(e_speed, jnp.abs(gap.speed[3]), rtol=1e-2, atol=1e-5)


def test_one_path_serves_all_and_blocks_do_not_matter(setting):
    problem, start, path, gap = setting
    blocked = measure_gap(problem, start, TIMES, path=path, block=64)
    np.testing.assert_allclose(blocked.function, gap.function, atol=1e-10)
    np.testing.assert_allclose(blocked.vectors, gap.vectors, atol=1e-7)


def test_particle_at_the_pole():
    pole = jnp.zeros((200, 12)).at[:, 0].set(1.0)
    gap = measure_gap(EVEN, pole, TIMES)
    assert np.isfinite(gap.vectors).all()
    assert np.isfinite(gap.parallel).all()
    np.testing.assert_allclose(gap.limit[..., 0], 1)


def test_bad_input_is_named(setting):
    problem, start, path, _ = setting
    other = SingleIndex(13, problem.activation)
    wrong = moment_path(other, 4.0, tol=1e-3)
    for call, name in (
        (lambda: measure_gap(problem, start, [5.0], path=path), "path"),
        (lambda: measure_gap(problem, start, TIMES, path=wrong), "path"),
        (lambda: measure_gap(problem, 2 * start, TIMES, path=path), "particles"),
        (lambda: measure_gap(problem, start, TIMES[::-1], path=path), "times"),
        (lambda: measure_gap(problem, start, TIMES, path=path, rtol=0.0), "rtol"),
        (lambda: measure_gap(problem, start, TIMES, path=path, block=0), "block"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()


def test_single_precision_starts_are_measured_in_the_precision_of_the_path():
    problem = SingleIndex(8, Activation.hermite(4))
    path = moment_path(problem, 0.5)
    start = sample_sphere(jax.random.key(0), 8, 8)
    single = normalise(start.astype(jnp.float32))
    found = measure_gap(problem, single, [0.0, 0.5], path=path)
    expected = measure_gap(problem, normalise(single.astype(float)), [0.0, 0.5], path=path)
    assert found.function.dtype == jnp.float64
    np.testing.assert_allclose(found.function, expected.function, rtol=1e-12)
