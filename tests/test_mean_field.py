"""Infinite width: known values, the honesty of the error estimate, the two solvers, transport."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import (
    Activation,
    MeanField,
    SingleIndex,
    SolverError,
    sample_sphere,
    solve_mean_field,
    time_to_loss,
)
from mflib.lagrangian import solve_nodes
from mflib.sphere import legendre, overlap_quadrature


def padded(coefficients):
    """The same function, to the solvers of degree 6, so that each is compiled once: 1e-200 squares to zero."""
    return Activation(
        np.append(coefficients, np.zeros(7 - len(coefficients))) + 1e-200 * np.eye(7)[6]
    )


H = {k: padded(np.eye(7)[k]) for k in (1, 3, 4, 6)}
MIXED = padded([0.0, 0.0, 0.0, 0.6, 0.8])
# Long enough for L(h_k, d) to fall below 0.1, on one number of times: shapes that compile once.
LONG = {4: lambda d: 0.8 * d * np.linspace(0, 1, 9), 6: lambda d: 0.8 * d**2 * np.linspace(0, 1, 9)}


@pytest.fixture(scope="module")
def solved() -> MeanField:
    return solve_mean_field(SingleIndex(16, H[4]), LONG[4](16))  # the first time is 0


def test_values_noted_before_the_library():
    """L(0) and T(L < ¼)/d for h_4, to the digits given there."""
    np.testing.assert_allclose(SingleIndex(16, H[4]).initial_loss, 0.4948, atol=5e-5)
    for d, ratio in ((16, 0.1444), (32, 0.1417), (64, 0.1387)):
        # 1.5e-4: rounding to 4 digits, and the notes' own solver.
        np.testing.assert_allclose(time_to_loss(SingleIndex(d, H[4]), 0.25) / d, ratio, atol=1.5e-4)


def test_time_to_loss_at_128_by_an_independent_solver():
    """The notes say 0.1375 at d = 128; both solvers of this library say 0.1365."""
    d = 128.0
    problem = SingleIndex(d, H[4])
    fast = time_to_loss(problem, 0.25)
    repulsion, attraction = problem.harmonics()
    alpha, weights = overlap_quadrature(8192, d, even=True)
    times = jnp.linspace(17.0, 18.0, 9)
    nodes = solve_nodes(
        attraction, repulsion, jnp.asarray(d), times, alpha, weights, jnp.zeros(0),
        rtol=1e-7, max_steps=100_000, progress=False,
    )  # fmt: skip
    p = nodes.moments
    loss = 0.5 * (1 - 2 * p @ attraction + p**2 @ repulsion)
    slow = float(np.interp(-0.25, -np.asarray(loss), times))
    np.testing.assert_allclose(fast, slow, rtol=2e-4)  # linear interpolation over steps of 1/8
    np.testing.assert_allclose(fast / d, 0.1365, atol=1e-4)


@pytest.mark.parametrize("k", [4, 6])
@pytest.mark.parametrize("dim", [16, 64, 1024])
def test_true_error_is_below_the_estimate(k, dim):
    """Against 8 times the nodes and 100 times the accuracy, until L < 0.1."""
    problem, times = SingleIndex(dim, H[k]), LONG[k](dim)
    found = solve_mean_field(problem, times, nodes=64)
    finer = solve_mean_field(problem, times, nodes=512, tol=1e-7)
    assert finer.loss[-1] < 0.1
    assert finer.error <= 1e-7
    assert jnp.abs(found.loss - finer.loss).max() <= found.error <= 1e-5


def test_tighter_tolerance_when_asked():
    problem, times = SingleIndex(64, H[4]), LONG[4](64)
    found = solve_mean_field(problem, times, nodes=64, tol=1e-8)
    assert found.error <= 1e-8


def test_a_million_dimensions():
    found = solve_mean_field(SingleIndex(10**6, H[4]), LONG[4](10**6), nodes=64)
    assert found.loss[-1] < 0.1
    assert found.error <= 1e-5


def test_the_two_solvers_agree():
    """Label map against moving nodes, h_4 at d = 16, resolved by both."""
    d, times = jnp.asarray(16.0), jnp.asarray(LONG[4](16))
    problem = SingleIndex(16, H[4])
    labels = solve_mean_field(problem, times, nodes=64, tol=1e-7)
    repulsion, attraction = problem.harmonics()
    alpha, weights = overlap_quadrature(4096, d, even=True)
    tracers = jnp.array([-0.5, -0.01, 0.0, 0.03, 0.2, 0.9, 1.0])
    nodes = solve_nodes(
        attraction, repulsion, d, times, alpha, weights, tracers,
        rtol=1e-9, max_steps=100_000, progress=False,
    )  # fmt: skip
    # The nodes are those with α > 0: their odd moments are the half-law's.
    np.testing.assert_allclose(nodes.moments[:, ::2], labels.moments[:, ::2], atol=1e-6)
    np.testing.assert_allclose(labels.transport(tracers), nodes.tracers, atol=2e-5)


def test_fields(solved):
    T, N = solved.times.size, solved.weights.size
    assert solved.overlaps.shape == (T, N)
    assert solved.moments.shape == (T, 7)
    np.testing.assert_allclose(solved.weights.sum(), 1, rtol=1e-13)
    np.testing.assert_allclose(solved.moments[:, 0], 1, atol=1e-12)
    np.testing.assert_allclose(solved.moments[0, 1:], 0, atol=1e-7)
    np.testing.assert_allclose(solved.loss[0], 0.5 * (1 - 3 / 288), atol=1e-8)


def test_the_quadrature_carries_the_moments(solved):
    p = jax.vmap(lambda a: legendre(a, 6, 16) @ solved.weights)(solved.overlaps)
    a, _ = solved.problem.harmonics()
    loss = 0.5 * (1 - 2 * p @ a + p**2 @ a)
    assert jnp.abs(loss - solved.loss).max() <= solved.quadrature_error + 1e-15
    assert solved.quadrature_error <= 1e-5


def test_energy_decreases(solved):
    assert np.all(np.diff(solved.loss) < 0)
    for activation in (H[1], H[3], MIXED):
        found = solve_mean_field(SingleIndex(8, activation), np.linspace(0, 3, 6), nodes=512)
        assert np.all(np.diff(found.loss) < 0)


def test_transport(solved):
    start = solved.overlaps[0]
    np.testing.assert_allclose(solved.transport(start), solved.overlaps, atol=1e-12)
    # Even problem: ±w move alike; the equator and the poles stay.
    np.testing.assert_allclose(solved.transport(-start), -solved.overlaps, atol=1e-12)
    np.testing.assert_allclose(solved.transport([0.0, 1.0, -1.0])[-1], [0, 1, -1], atol=1e-14)
    # A flow on a line keeps the order of its particles.
    assert np.all(np.diff(solved.overlaps, axis=1) >= 0)


@pytest.mark.parametrize("activation", [H[1], H[3], MIXED], ids=["h1", "h3", "h3+h4"])
def test_other_parities(activation):
    """Odd and mixed: the estimate bounds the error, and nodes ride their own transport."""
    problem, times = SingleIndex(12, activation), np.linspace(0, 5, 6)
    found = solve_mean_field(problem, times)
    finer = solve_mean_field(problem, times, nodes=8 * found.weights.size, tol=1e-7)
    assert jnp.abs(found.loss - finer.loss).max() <= found.error <= 1e-5
    np.testing.assert_allclose(
        found.transport(found.overlaps[0, ::64]), found.overlaps[:, ::64], atol=1e-5
    )


def test_a_wide_network_follows_an_odd_limit():
    """Monte Carlo at m = 2000 for h_3 + h_4, d = 12: the loss within 5 fluctuations of size m^{-1/2}/5."""
    problem, times = SingleIndex(12, MIXED), np.linspace(0, 5, 6)
    limit = solve_mean_field(problem, times, nodes=512)
    from mflib import solve_network

    network = solve_network(problem, sample_sphere(jax.random.key(0), 2000, 12), times)
    assert jnp.abs(network.loss - limit.loss).max() < 5 * 0.2 / np.sqrt(2000)


def test_misspecified_even_target():
    """σ = h_4 on 0.5 h_4 (the authors' He4_small): the network's law settles where p_4 ≈ ½."""
    found = solve_mean_field(
        SingleIndex(16, H[4], Activation([0, 0, 0, 0, 0.5])), np.linspace(0, 60, 9), nodes=64
    )
    assert found.error <= 1e-5
    assert found.loss[-1] < 1e-2
    np.testing.assert_allclose(found.moments[-1, 4], 0.5, atol=0.1)


def test_an_unresolved_front_is_confessed():
    """64 moving nodes at d = 10⁴ are a staircase: the estimate says so."""
    problem, times = SingleIndex(10_000, H[3]), np.linspace(10, 60, 6)
    found = solve_mean_field(problem, times, nodes=64)
    finer = solve_mean_field(problem, times, nodes=8192, tol=1e-4)
    true = float(jnp.abs(found.loss - finer.loss).max())
    assert 1e-4 < true <= found.error


def test_dimension_may_be_mapped_over():
    """And new dimensions do not compile anew."""
    times, traces = np.linspace(0, 10, 9), []

    def loss(d):
        return solve_mean_field(SingleIndex(d, H[4]), times, nodes=64).loss

    @jax.jit
    def mapped(dims):
        traces.append(dims)
        return jax.vmap(loss)(dims)

    for dims in ((16.0, 40.0), (64.0, 1e6)):
        for row, d in zip(mapped(jnp.array(dims)), dims, strict=True):
            # Mapped problems share their time steps, so they differ within the tolerance.
            np.testing.assert_allclose(row, loss(int(d)), atol=5e-6)
    assert len(traces) == 1


def test_a_new_dimension_does_not_retrace_the_solve(monkeypatch):
    """Without jit around it: the compiled solve is entered with new numbers, not traced again."""
    import mflib.eulerian as eulerian

    times, count = np.linspace(0, 10, 9), []
    solve_mean_field(SingleIndex(20, H[4]), times, nodes=64)
    call = eulerian._Transport.__call__
    monkeypatch.setattr(
        eulerian._Transport, "__call__", lambda *args: (count.append(1), call(*args))[1]
    )
    for d in (21, 300, 10**5):
        solve_mean_field(SingleIndex(d, H[4]), times, nodes=64)
    assert not count
    # Had it been traced, it would have been counted.
    repulsion, attraction = SingleIndex(20, H[4]).harmonics()
    jax.make_jaxpr(
        lambda d: (
            eulerian.solve_labels(
                attraction,
                repulsion,
                d,
                jnp.asarray(times[:2]),
                order=10,
                atol=1e-6,
                max_steps=9,
                progress=False,
            ).labels
        )
    )(20.0)
    assert count


def test_finite_width_excess_and_spread():
    """E L_m − L ∝ 1/m and its spread ∝ m^{−1/2}: slopes over m = 64, 256, 1024, with bands.

    The spread of L_m − L is ten times its mean at m = 1024. To first order it is a linear statistic of
    the starting overlaps, of known mean zero, so regressing on four such statistics (the P_2 and P_4 of
    each particle's infinite-width position at two times) removes it and shows the mean.
    """
    from mflib import solve_network

    problem, times, at = SingleIndex(16, H[4]), np.linspace(0, 2, 9), np.array([4, 8])
    limit = solve_mean_field(problem, times, nodes=64, tol=1e-7)
    widths, seeds = (64, 256, 1024), (60, 40, 24)
    excess, spread, errors = [], [], []

    @jax.jit
    def controls(overlaps):
        p = jax.vmap(lambda a: legendre(a, 4, 16)[2::2].mean(axis=1))(overlaps[at])
        return (p - limit.moments[at, 2:5:2]).ravel()

    for m, n in zip(widths, seeds, strict=True):
        rows, statistics = [], []
        for seed in range(n):
            w = sample_sphere(jax.random.key(1000 * m + seed), m, 16)
            network = solve_network(problem, w, times[at], rtol=1e-5)
            rows.append(np.asarray(network.loss) - np.asarray(limit.loss)[at])
            statistics.append(controls(limit.transport(w[:, 0])))
        rows, design = np.array(rows)[:, 0], np.column_stack([np.ones(n), np.array(statistics)])
        fit, *_ = np.linalg.lstsq(design, rows, rcond=None)
        variance = np.sum((rows - design @ fit) ** 2) / (n - design.shape[1])
        excess.append(fit[0])
        errors.append(np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0]) / fit[0])
        spread.append(rows.std(ddof=1))

    def slope(values, relative):
        """Weighted least squares in logarithms: slope and its standard error."""
        x, y = np.log(widths), np.log(values)
        weight = 1 / np.asarray(relative) ** 2
        centre = np.average(x, weights=weight)
        scale = np.sum(weight * (x - centre) ** 2)
        return np.sum(weight * (x - centre) * y) / scale, scale**-0.5

    mean_slope, mean_error = slope(excess, errors)
    # The standard deviation of n Gaussian numbers is known to 1/√(2(n−1)).
    spread_slope, spread_error = slope(spread, 1 / np.sqrt(2 * (np.array(seeds) - 1)))
    assert abs(mean_slope + 1) < 3 * mean_error < 0.3
    assert abs(spread_slope + 0.5) < 3 * spread_error < 0.3


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"nodes": 31}, "nodes"),
        ({"nodes": 16}, "nodes"),
        ({"nodes": 64.0}, "nodes"),
        ({"tol": 1e-14}, "tol"),
        ({"tol": 0.0}, "tol"),
        ({"tol": float("nan")}, "tol"),
        ({"tol": 2.0}, "tol"),
    ],
)
def test_bad_options(options, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        solve_mean_field(SingleIndex(8, H[4]), [0.0, 1.0], **options)


@pytest.mark.parametrize("times", [[], [0.0, 0.0], [2.0, 1.0], [-1.0], [0.0, np.inf]])
def test_bad_times(times):
    with pytest.raises(ValueError, match="`times` must be"):
        solve_mean_field(SingleIndex(8, H[4]), times)


@pytest.mark.parametrize("overlaps", [[1.5], [[0.1]], [np.nan]])
def test_bad_overlaps(solved, overlaps):
    with pytest.raises(ValueError, match="`overlaps0` must be"):
        solved.transport(overlaps)


def test_float32_is_honest(solved):
    """Where float64 is off, as JAX starts: the estimate holds, and what cannot be had is refused."""
    with jax.enable_x64(False):
        problem = SingleIndex(16, Activation.hermite(4))
        single = solve_mean_field(problem, LONG[4](16), nodes=64, tol=1e-3)
        assert single.loss.dtype == jnp.float32
        with pytest.raises(ValueError, match=r"`tol` must be.*float32.*jax_enable_x64"):
            solve_mean_field(problem, LONG[4](16))
    assert np.abs(np.asarray(single.loss, np.float64) - solved.loss).max() <= single.error <= 1e-3


def test_traced_dimension_needs_nodes():
    with pytest.raises(ValueError, match="`nodes`"):
        jax.jit(lambda d: solve_mean_field(SingleIndex(d, H[4]), [1.0]).loss)(8.0)


def test_a_failed_solve_says_where():
    with pytest.raises(SolverError, match=r"m = ∞, d = 8.*Likely fix"):
        solve_mean_field(SingleIndex(8, H[3]), [0.0, 5.0], nodes=64, max_steps=2)
    with pytest.raises(SolverError, match="m = ∞, d = 8"):
        solve_mean_field(SingleIndex(8, H[4]), [0.0, 5.0], nodes=64, max_steps=2)


def test_progress_is_shown_when_asked(capfd):
    solve_mean_field(SingleIndex(8, H[4]), np.linspace(0, 10, 9), nodes=64, progress=True)
    shown = capfd.readouterr()
    assert "100.00%" in shown.err + shown.out


def test_the_fewest_nodes_are_compared_with_more():
    """32 nodes: half of them are too few for the rule, and a solve is no measure of itself."""
    problem = SingleIndex(16, Activation.hermite(3))
    few, many = (
        solve_mean_field(problem, [0.0, 0.01], nodes=nodes, hemisphere=True) for nodes in (32, 1024)
    )
    off = float(jnp.abs(few.loss - many.loss).max())
    assert off > 1e-4 and float(few.error) > 0.5 * off
