"""The limit on the unit disk: against one dimension, symmetries, networks, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import roots_gegenbauer

import mflib.disk
import mflib.mean_field
from mflib import (
    Activation,
    MultiIndex,
    SingleIndex,
    SolverError,
    disk_hessian,
    disk_path,
    disk_stability,
    measure_gap,
    proxy_gap,
    sample_sphere,
    solve_mean_field,
)
from mflib.disk_nodes import disk_nodes
from mflib.disk_potential import DiskPotential, evaluate, gradient, law_moments, second
from mflib.lagrangian import solve_nodes
from mflib.proxy import function_distance
from mflib.sphere import overlap_quadrature

# One degree, one count of nodes, of times and of starts, so that solves and transports compile once.
NODES, D = 8192, 12
TIMES = np.linspace(0, 4, 5)
EVEN, MIXED = Activation([0.0, 0.0, 0.8, 0.0, 0.6]), Activation([0.2, 0.0, 0.6, 0.4, 0.5])
H4 = Activation.hermite(4)
PAIR = MultiIndex(D, EVEN, [[1.0, 0.0], [0.6, 0.8]], [0.7, 0.3])

turns = np.random.default_rng(0).uniform(0, 2 * np.pi, 16)
CIRCLE = np.stack([np.cos(turns), np.sin(turns)], axis=1)
STARTS = np.linspace(0, 0.95, 16)[:, None] * CIRCLE


@pytest.fixture(scope="module")
def limit():
    return solve_mean_field(PAIR, TIMES, nodes=NODES)


@pytest.fixture(scope="module")
def path():
    return disk_path(PAIR, 4.0, nodes=NODES)


@pytest.fixture(scope="module")
def gap(path):
    return measure_gap(PAIR, sample_sphere(jax.random.key(0), 256, D), TIMES, path=path)


def test_kernel_on_the_disk_is_its_mean_over_directions():
    """E_ω g(a·a' + b b' s), by the Gauss rule for s = ω·ω'; s = ±1 on S^1 as angles for d = 4."""
    a, other = jnp.array([0.3, -0.5]), jnp.array([0.1, 0.7])

    @jax.jit
    def both(d, s, weights):
        forces = DiskPotential(MultiIndex(d, MIXED, [[1.0, 0.0]]), jnp.float64)
        heights = jnp.sqrt((1 - a @ a) * (1 - other @ other))
        moments = law_moments(other[:, None], jnp.ones(1), 4)
        found = evaluate(forces.interaction(moments), a[:, None])[0]
        return found, weights @ MIXED.kernel(a @ other + heights * s)

    for d in (4, 5, 512):
        s, weights = (
            roots_gegenbauer(20, (d - 4) / 2)
            if d > 4
            else (np.cos(2 * np.pi * (np.arange(20) + 0.5) / 20), np.ones(20))
        )
        found, expected = both(float(d), s, weights / weights.sum())
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_uniform_start():
    """The uniform law repels nothing, whatever d; L(0) is the problem's; moments are exact."""

    @jax.jit
    def start(d):
        problem = MultiIndex(d, MIXED, [[1.0, 0.0], [0.6, 0.8]])
        forces = DiskPotential(problem, jnp.float64)
        state, weights = disk_nodes(4096, d, even=False)
        moments = law_moments(state[:2], weights, 4)
        fields = (forces.interaction(moments), forces.target)
        # On the scale on which particles start.
        force, pull = (jnp.max(jnp.abs(gradient(u, state[:2, ::64]))) for u in fields)
        return state, moments, force, pull, forces.loss(moments), problem.initial_loss

    for d in (4, 16, 512, 10**6):
        state, moments, force, pull, loss, expected = start(float(d))
        np.testing.assert_allclose(moments[2, 0] * d, 1, rtol=1e-9)
        np.testing.assert_allclose(moments[2, 2] * d * (d + 2), 1, rtol=1e-8)
        np.testing.assert_allclose(loss, expected, rtol=1e-10)
        np.testing.assert_allclose(jnp.sum(state**2, axis=0), 1, rtol=1e-14)
        assert force < 1e-9 * pull


@pytest.mark.parametrize("activation", [H4, MIXED], ids=["even", "mixed"])
def test_one_direction_is_the_one_dimensional_limit(activation):
    """To 1e-6 until half of the loss is gone: d = 16, h_4, t = 2.4. In one dimension: 8192 nodes."""
    times, line = np.linspace(0, 2.4, 5), SingleIndex(16, activation)
    disk = solve_mean_field(MultiIndex(16, activation, [[1.0, 0.0]]), times, nodes=NODES, tol=1e-6)
    repulsion, attraction = line.harmonics()
    nodes = solve_nodes(
        attraction, repulsion, jnp.asarray(16.0), jnp.asarray(times),
        *overlap_quadrature(8192, 16), jnp.asarray(STARTS[:, 0]),
        rtol=3e-8, max_steps=10_000, progress=False,
    )  # fmt: skip
    p = nodes.moments
    loss = 0.5 * (line.target_power - 2 * p @ attraction + p**2 @ repulsion)
    np.testing.assert_allclose(disk.loss, loss, atol=1e-6)
    np.testing.assert_allclose(disk.transport(STARTS)[..., 0], nodes.tracers, atol=1e-5)


def test_one_coordinate_is_solved_in_one_dimension(monkeypatch):
    several, solved = MultiIndex(16, MIXED, [[1.0], [-1.0]], [0.9, 0.1]), []

    def solver(problem, *_, **__):
        solved.append(problem)
        raise SolverError

    monkeypatch.setattr(mflib.mean_field, "_by_nodes", solver)
    with pytest.raises(SolverError):
        solve_mean_field(several, TIMES)
    assert isinstance(solved[0], SingleIndex)
    np.testing.assert_allclose(solved[0].initial_loss, several.initial_loss, rtol=1e-14)


def test_fields(limit):
    T = TIMES.size
    assert limit.positions.shape == (T, NODES, 2)
    assert limit.heights.shape == (T, NODES)
    assert limit.moments.shape == (T, 5, 5)
    np.testing.assert_allclose(limit.weights.sum(), 1, rtol=1e-13)
    np.testing.assert_allclose(limit.moments[:, 0, 0], 1, atol=1e-12)
    np.testing.assert_array_equal(limit.moments[:, 0, 1], 0)
    np.testing.assert_allclose(jnp.sum(limit.positions**2, -1) + limit.heights**2, 1, atol=1e-14)
    np.testing.assert_allclose(limit.positions[0], limit.initial_positions, rtol=1e-14)
    np.testing.assert_allclose(limit.loss[0], PAIR.initial_loss, atol=1e-9)
    assert (np.diff(limit.loss) < 0).all()
    assert limit.error < 1e-5
    moved = limit.transport(limit.initial_positions[::512])
    # The nodes beside them hardly change the steps.
    np.testing.assert_allclose(moved, limit.positions[:, ::512], atol=1e-6)


def test_loss_falls_at_the_rate_of_the_flow(limit):
    """dL/dt = −E |ν|²."""
    h = 1e-3
    near = solve_mean_field(PAIR, [0.0, 1.0 - h, 1.0, 1.0 + h, 2.0], nodes=NODES, tol=1e-7)
    speed = disk_hessian(near).speed[2]
    rate = (near.loss[3] - near.loss[1]) / (2 * h)
    np.testing.assert_allclose(rate, -near.weights @ speed**2, rtol=1e-4)


def test_circle_keeps_its_symmetry():
    """Particles of one radius keep a common radius, and their angles."""
    problem = MultiIndex.circle(D, EVEN)
    solved = solve_mean_field(problem, TIMES, nodes=NODES)
    moved = solved.transport(0.2 * CIRCLE)
    radius = jnp.linalg.norm(moved, axis=-1)
    assert (np.diff(radius[:, 0]) > 0).all()
    np.testing.assert_allclose(moved, radius[:, :1, None] * CIRCLE, atol=1e-8)
    np.testing.assert_allclose(solved.moments[:, 2, 0], solved.moments[:, 0, 2], rtol=1e-8)


def test_directions_may_be_turned():
    """A rotated target has the rotated limit, to the error of either quadrature."""
    q = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = MultiIndex(D, EVEN, np.asarray(PAIR.directions) @ q.T, PAIR.weights)
    here, there = (solve_mean_field(p, TIMES, nodes=NODES) for p in (PAIR, turned))
    np.testing.assert_allclose(there.loss, here.loss, atol=1e-6)
    np.testing.assert_allclose(
        there.transport(STARTS @ q.T), here.transport(STARTS) @ q.T, atol=1e-5
    )


def test_new_numbers_do_not_retrace(monkeypatch, limit):
    count, call = [], mflib.disk.Flow.__call__
    monkeypatch.setattr(
        mflib.disk.Flow, "__call__", lambda *args: (count.append(1), call(*args))[1]
    )
    for d, directions in ((300, [[0.0, 1.0], [0.8, 0.6]]), (4, [[1.0, 0.0], [0.0, 1.0]])):
        solve_mean_field(MultiIndex(d, EVEN, directions), 0.5 * TIMES, nodes=NODES)
    assert not count
    # Had it been traced, it would have been counted.
    mflib.disk.Flow(limit.forces, limit.weights)(jnp.asarray(0.0), jnp.ones((3, NODES)))
    assert count


def test_the_limit_beside_a_network(limit, path, gap):
    """The gap's limit is the solver's own, and its path interpolates that."""
    start = gap.limit[0, :16, :2]
    np.testing.assert_allclose(gap.limit[:, :16, :2], limit.transport(start), atol=1e-5)
    moments = jnp.stack([path.moments(t) for t in jnp.asarray(TIMES)])
    np.testing.assert_allclose(moments, limit.moments, atol=1e-5)
    assert path.error < 1e-5
    across = gap.limit[..., 2:]
    first = across[0] / jnp.linalg.norm(across[0], axis=-1, keepdims=True)
    size = jnp.linalg.norm(across, axis=-1, keepdims=True)
    np.testing.assert_allclose(across, size * first, atol=1e-13)


def test_function_gap_is_the_distance_of_two_functions(limit, gap):
    """E (f_m − f)² over inputs, f from the nodes with two random azimuths each."""
    at, n = 2, 400
    x = jax.random.normal(jax.random.key(5), (n, D))
    across = jax.random.normal(jax.random.key(6), (2, NODES, D - 2))
    across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
    a, b = limit.positions[at], limit.heights[at][:, None]

    @jax.jit
    def f(across):
        return EVEN(x @ jnp.concatenate([a, b * across], axis=1).T) @ limit.weights

    network = EVEN(x @ (gap.limit[at] + gap.vectors[at]).T).mean(1)
    values = (network - 0.5 * (f(across[0]) + f(across[1]))) ** 2
    bar = float(values.std() / np.sqrt(n))
    # Plus what two random azimuths a node lack.
    lack = float(0.5 * EVEN.kernel(1.0) * limit.weights @ limit.weights)
    assert lack < 0.2 * gap.function[at]
    assert abs(values.mean() - gap.function[at]) < 4 * bar + lack


def test_energy_is_the_mean_of_the_interaction(limit):
    """E f_t² is the mean of E f_t f over the particles of f_t."""
    m = limit.moments[2]
    mean = evaluate(limit.forces.interaction(m), limit.positions[2].T) @ limit.weights
    np.testing.assert_allclose(mean, limit.forces.energy(m), rtol=1e-12)


@pytest.fixture(scope="module")
def draws(path):
    """Gaps of m neurons for twelve seeds; the starts of one seed are nested."""

    def measure(m, seeds):
        starts = (sample_sphere(jax.random.key(s), 256, D)[:m] for s in seeds)
        return [measure_gap(PAIR, start, TIMES, path=path) for start in starts]

    return {
        "narrow": measure(128, range(50, 62)),
        "wide": measure(256, range(50, 62)),
        "others": measure(128, range(12)),
    }


def test_size_of_the_gap(path, draws):
    """Δ = 0 and E‖u‖² = (g(1) − E g)/m at the start; later too m E‖u‖² does not change with m."""
    means, bars = [], []
    for gaps in (draws["others"], draws["wide"]):
        assert all(float(gap.displacement[0].max()) < 1e-14 for gap in gaps)
        scaled = gaps[0].speed.shape[1] * np.stack([gap.function for gap in gaps])
        means.append(scaled.mean(0))
        bars.append(scaled.std(0, ddof=1) / np.sqrt(len(gaps)))
    expected = EVEN.kernel(1.0) - path.forces.energy(path.moments(jnp.asarray(0.0)))
    np.testing.assert_array_less(abs(np.stack(means)[:, 0] - expected), 4 * np.stack(bars)[:, 0])
    np.testing.assert_array_less(abs(means[1] - means[0]), 4 * np.hypot(*bars))


def test_limit_agrees_with_wide_networks(draws):
    """The proxy, M = 2m, within its error bar of the gap of the same networks to the limit itself."""
    narrow, wide = draws["narrow"], draws["wide"]
    raw = jnp.stack(
        [
            function_distance(PAIR, a.limit + a.vectors, b.limit + b.vectors)
            for a, b in zip(narrow, wide, strict=True)
        ]
    )
    proxy = proxy_gap(raw, jnp.zeros_like(raw), m=128, reference=256)
    exact = 128 * jnp.mean(jnp.stack([gap.function for gap in narrow]), axis=0)
    # Three standard errors at each of five times; left uncorrected, the proxy would be half the limit's.
    np.testing.assert_array_less(abs(proxy.function - exact), 3 * proxy.function_error)
    assert (3 * proxy.function_error < 0.5 * exact).all()


def test_heading_and_delay(gap):
    """`speed` and `heading` are the velocity of the limit; `parallel` and `delay` follow from them."""
    assert gap.speed.shape == gap.parallel.shape == gap.delay.shape == (5, 256)
    np.testing.assert_allclose(jnp.linalg.norm(gap.heading, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose(jnp.sum(gap.heading * gap.limit, -1), 0, atol=1e-12)
    along = jnp.sum(gap.heading * gap.vectors, axis=-1)
    np.testing.assert_allclose(gap.delay, -along / gap.speed, rtol=1e-12)


def test_velocity_along_the_limit(path, gap):
    h = 1e-4
    near = measure_gap(PAIR, gap.limit[0], [0.0, 1.0, 2 - h, 2 + h, 4.0], path=path).limit
    rate = (near[3] - near[2]) / (2 * h)
    np.testing.assert_allclose(gap.speed[2, :, None] * gap.heading[2], rate, atol=1e-5)


def test_hessian_is_the_covariant_derivative_on_the_sphere(limit):
    """P ∇²U P − (w·∇U) P of U(w) = U_t(w_1, w_2), by automatic differentiation."""
    hessian, at = disk_hessian(limit), 2
    potential = limit.forces.potential(limit.moments[at])

    @jax.jit
    def on_the_sphere(a, b):
        w = jnp.zeros(D).at[:2].set(a).at[5].set(b)
        u = lambda w: evaluate(potential, w[:2, None])[0]  # noqa: E731
        slope, project = jax.grad(u)(w), jnp.eye(D) - jnp.outer(w, w)
        return project @ jax.hessian(u)(w) @ project - (w @ slope) * project, w, slope

    for i in (10, NODES // 2, NODES - 500):
        matrix, w, slope = map(
            np.asarray, on_the_sphere(limit.positions[at, i], limit.heights[at, i])
        )
        expected = np.linalg.eigvalsh(matrix + 100 * np.outer(w, w))[:-1]
        across = np.full(D - 3, hessian.across[at, i])
        found = np.sort(np.concatenate([hessian.inside[at, i], across]))
        np.testing.assert_allclose(found, expected, atol=1e-10)
        speed = np.linalg.norm(slope - (slope @ w) * w)
        np.testing.assert_allclose(hessian.speed[at, i], speed, atol=1e-12)


def test_polynomials_on_the_disk():
    p, q = np.indices((5, 5))
    u = jnp.asarray(np.where(p + q <= 4, np.random.default_rng(0).normal(size=(5, 5)), 0))
    a = jnp.array([[0.3], [-0.4]])
    f = jax.jit(lambda a: evaluate(u, a[:, None])[0])
    np.testing.assert_allclose(gradient(u, a)[:, 0], jax.grad(f)(a[:, 0]), rtol=1e-12)
    h = jax.hessian(f)(a[:, 0])
    np.testing.assert_allclose(second(u, a)[:, 0], [h[0, 0], h[0, 1], h[1, 1]], rtol=1e-12)


def test_stability_is_the_derivative_of_transport(limit):
    starts, h = np.array([[0.2, 0.1], [-0.3, 0.4], [0.0, 0.0], [0.7, 0.7]]), 1e-5
    found = disk_stability(limit, starts)
    shifts = h * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    moved = limit.transport((starts[:, None] + shifts).reshape(-1, 2)).reshape(5, 4, 4, 2)
    slopes = np.stack([moved[:, :, 0] - moved[:, :, 1], moved[:, :, 2] - moved[:, :, 3]], -1)

    def root(a):
        """S = (I − a aᵀ)^{1/2}, from coordinates of the frame to those of the disk."""
        b = np.sqrt(1 - np.sum(a**2, -1))[..., None, None]
        return np.eye(2) - a[..., :, None] * a[..., None, :] / (1 + b)

    positions = np.asarray(found.positions)
    expected = np.linalg.inv(root(positions)) @ (slopes / (2 * h)) @ root(starts)
    # Of the differences: h² and the tolerance of the solve over h.
    np.testing.assert_allclose(found.inside, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.inside[0], np.broadcast_to(np.eye(2), (4, 2, 2)), atol=1e-14)
    np.testing.assert_allclose(found.norm, np.linalg.norm(found.inside, 2, axis=(2, 3)), rtol=1e-12)
    ratio = np.sqrt((1 - np.sum(positions**2, -1)) / (1 - np.sum(starts**2, -1)))
    np.testing.assert_allclose(found.across, ratio, rtol=1e-8)


def test_bad_input_is_named(limit, path):
    start = sample_sphere(jax.random.key(0), 8, D)
    three = MultiIndex(D, EVEN, np.eye(3))
    other = MultiIndex(D, EVEN, [[0.0, 1.0], [1.0, 0.0]])
    line = SingleIndex(D, EVEN)
    for call, name in (
        (lambda: solve_mean_field(three, TIMES), "problem"),
        (lambda: solve_mean_field(PAIR, TIMES[::-1]), "times"),
        (lambda: solve_mean_field(PAIR, TIMES, nodes=10), "nodes"),
        (lambda: solve_mean_field(PAIR, TIMES, nodes=NODES, tol=0.0), "tol"),
        (lambda: solve_mean_field(PAIR, TIMES, hemisphere=True), "hemisphere"),
        (lambda: limit.transport([0.1, 0.2]), "positions0"),
        (lambda: limit.transport([[1.1, 0.2]]), "positions0"),
        (lambda: disk_stability(limit, [[1.0, 0.0]]), "positions0"),
        (lambda: disk_path(PAIR, -1.0), "until"),
        (lambda: measure_gap(PAIR, start, [5.0], path=path), "path"),
        (lambda: measure_gap(other, start, TIMES, path=path), "path"),
        (lambda: measure_gap(line, start, TIMES, path=path), "path"),
        (lambda: measure_gap(PAIR, 2 * start, TIMES, path=path), "particles"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()
