"""Local and interaction Hessians, stability, self-concordance: against autodiff and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mflib
from mflib import (
    Activation,
    SingleIndex,
    apply_local_hessian,
    interaction_hessian,
    local_hessian,
    sample_sphere,
    self_concordance,
    solve_mean_field,
    stability,
)
from mflib.drift import drift
from mflib.hessian import curvature
from mflib.moment_path import moment_path
from mflib.sphere import tangent

ACTIVATIONS = {
    "h2": [0.0, 0.0, 1.0],
    "h3": [0.0, 0.0, 0.0, 1.0],
    "h4": [0.0, 0.0, 0.0, 0.0, 1.0],
    "h2+h4": [0.0, 0.0, 0.8, 0.0, 0.6],
    "h1+h2+h5": [0.3, 0.5, 0.6, 0.0, 0.0, 0.4],
    "h3+h4": [0.0, 0.0, 0.0, 0.6, 0.8],
}


def padded(coefficients):
    """All of one degree, so that each solver is compiled once: 1e-200 squares to zero."""
    c = np.append(coefficients, np.zeros(7 - len(coefficients)))
    return Activation(c + (c[6] == 0) * 1e-200 * np.eye(7)[6])


# For the same reason three times, and one accuracy for all that need more than the default.
TOL = 1e-7
LINKS = {"h2": [0.0, 0.0, -0.5], "h1+h2+h5": [1.0, 0.2, 0.9, 0.4]}
H4 = SingleIndex(16, padded(ACTIVATIONS["h4"]))


def problem(name, dim=7):
    link = LINKS.get(name)
    return SingleIndex(dim, padded(ACTIVATIONS[name]), link and Activation(link))


@pytest.fixture(scope="module", params=ACTIVATIONS)
def setting(request):
    w = sample_sphere(jax.random.key(3), 9, 7)
    v = tangent(w, jax.random.normal(jax.random.key(4), w.shape))
    return problem(request.param), w, v


def derivative(fn, w, v):
    """Derivative of a tangent field along v, projected: the covariant derivative."""
    return jax.jit(lambda w, v: tangent(w, jax.jvp(fn, (w,), (v,))[1]))(w, v)


def one_against_law(p, law):
    """Velocity of test particles beside a fixed empirical law, as a function of their positions."""

    def force(w):
        F = jax.vmap(jax.grad(lambda s: p.target_kernel(s)))(w[:, 0])
        g = jax.vmap(
            jax.vmap(jax.grad(lambda s: mflib.hermite.polynomial(p.kernel_coefficients, s)))
        )
        pull = jnp.zeros_like(w).at[:, 0].set(F)
        return tangent(w, pull - g(w @ law.T) @ law / law.shape[0])

    return force


def test_local_hessian_is_the_derivative_of_the_velocity_at_fixed_law(setting):
    p, w, v = setting
    expected = derivative(one_against_law(p, w), w, v)
    np.testing.assert_allclose(apply_local_hessian(p, w, v), expected, atol=1e-8)


def test_local_minus_interaction_is_the_derivative_of_the_network_velocity(setting):
    """Move all particles together: d/dt Δ = D Δ − (1/m) H Δ."""
    p, w, v = setting
    expected = derivative(lambda w: drift(p, w), w, v)
    ours = apply_local_hessian(p, w, v) - interaction_hessian(p, w, v)
    np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_both_hessians_are_the_same_in_blocks(setting):
    p, w, v = setting
    for operator in (apply_local_hessian, interaction_hessian):
        np.testing.assert_allclose(operator(p, w, v, block=4), operator(p, w, v), atol=1e-13)


def test_interaction_is_symmetric_and_positive(setting):
    """As a kernel: the (md)×(md) matrix of ⟨v, Hv⟩ has no eigenvalue below rounding."""
    p, w, _ = setting
    size = w.size
    basis = jnp.eye(size).reshape(size, *w.shape)
    matrix = jax.lax.map(lambda v: interaction_hessian(p, w, v).ravel(), basis)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert jnp.linalg.eigvalsh(matrix).min() > -1e-12
    assert jnp.linalg.eigvalsh(matrix).max() > 1e-2


def test_interaction_is_the_product_of_feature_derivatives():
    """H(w, w') = DΦ(w)* DΦ(w'), by Monte Carlo over inputs: E σ'(w·x) σ'(w'·x) (x·v)(x·v')."""
    p = problem("h2+h4", 5)
    w = sample_sphere(jax.random.key(0), 3, 5)
    v = tangent(w, jax.random.normal(jax.random.key(1), (3, 5)))
    x = jax.random.normal(jax.random.key(2), (400_000, 5))
    slope = jax.vmap(jax.vmap(jax.grad(p.activation)))
    moved = slope(x @ w.T) * (x @ v.T)  # (n, m): DΦ(w_j) v_j at each input
    product = moved[:, :, None] * moved[:, None, :]
    bar = product.std(0) / np.sqrt(len(x))
    for j in range(3):
        alone = jnp.zeros_like(v).at[j].set(v[j])
        row = 3 * jnp.sum(interaction_hessian(p, w, alone) * v, axis=1)
        assert np.all(np.abs(row - product.mean(0)[j]) < 5 * bar[j])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_eigenvalues_at_infinite_width_are_those_of_the_autodiff_matrix(name):
    """In the frame (θ, azimuth): ∇ν has λ∥ once and λ⊥ d−2 times."""
    p = problem(name)
    limit = solve_mean_field(p, [0.5, 1.0, 2.0], nodes=256)
    found = local_hessian(p, limit)
    repulsion, attraction = p.harmonics()

    @jax.jit
    def autodiff(potential, w, frame):
        """Columns of the covariant derivative along the rows of `frame`, in that frame."""

        def velocity(w):
            slope = curvature(w[:, 0], potential, p.dim)[0]
            return tangent(w, jnp.zeros_like(w).at[:, 0].set(slope))

        return jax.vmap(lambda row: derivative(velocity, w, row[None])[0])(frame) @ frame.T

    for i in range(2):
        potential = attraction - repulsion * limit.moments[i]
        for node in (24, 160, 250):
            alpha = limit.overlaps[i, node]
            w = jnp.zeros((1, 7)).at[0, :2].set(jnp.stack([alpha, jnp.sqrt(1 - alpha**2)]))
            # Columns: derivatives along e_φ = (cos φ, −sin φ, 0, …) and the azimuths e_3, …, e_7.
            frame = jnp.eye(7).at[0, :2].set(jnp.stack([w[0, 1], -w[0, 0]])).at[1].set(w[0])
            matrix = autodiff(potential, w, frame)
            expected = jnp.full(7, found.perpendicular[i, node])
            expected = expected.at[0].set(found.parallel[i, node]).at[1].set(0.0)
            # Along w itself the field has no meaning: that row and column are left out.
            keep = np.array([0, 2, 3, 4, 5, 6])
            np.testing.assert_allclose(
                matrix[np.ix_(keep, keep)], jnp.diag(expected[keep]), atol=1e-8
            )


def test_relative_speed_at_the_equator():
    limit = solve_mean_field(H4, [1.0, 2.0, 5.0], nodes=256, tol=TOL)
    found = local_hessian(H4, limit, 3 * [[0.0, 1e-6]])
    np.testing.assert_allclose(found.relative_speed[:, 0], found.relative_speed[:, 1], rtol=1e-6)
    mixed = problem("h1+h2+h5")
    limit = solve_mean_field(mixed, [0.1, 0.2, 0.3], nodes=256)
    assert local_hessian(mixed, limit, 3 * [[0.0, 1e-6]]).relative_speed[0, 0] == np.inf


@pytest.mark.parametrize("name", ["h4", "h2+h4", "h3+h4", "h1+h2+h5"])
def test_stability_is_the_derivative_of_the_flow_map(name):
    """J∥ = ∂θ_t/∂θ_0 by central differences of `transport`; J⊥ = sin θ_t / sin θ_0."""
    p = problem(name, 16)
    limit = solve_mean_field(p, [0.5, 1.0, 2.0], nodes=256, tol=TOL if p.even else 1e-6)
    latitude = jnp.linspace(-0.6, 0.6, 7)
    h = 1e-4
    found = stability(limit, jnp.sin(latitude))
    ahead, behind = (jnp.arcsin(limit.transport(jnp.sin(latitude + s * h))) for s in (1, -1))
    # Differences err by h² and by solver noise / h; pole-ward particles need neither.
    np.testing.assert_allclose(found.parallel, (ahead - behind) / (2 * h), rtol=2e-4, atol=1e-4)
    ratio = jnp.sqrt(1 - found.overlaps**2) / jnp.cos(latitude)
    np.testing.assert_allclose(found.perpendicular, ratio, rtol=1e-12)


def test_stability_solves_its_ode_and_both_implementations_agree():
    """∂_t log J = λ, integrated beside the particles, against the slope of the label map."""
    times = [0.0, 2.0, 5.0]
    limit = solve_mean_field(H4, times, nodes=256, tol=TOL)
    start = jnp.asarray([0.0, 0.02, 0.1, 0.2, 0.3, 0.45])
    found = stability(limit, start)
    path = moment_path(H4, 5.0, tol=TOL)
    overlaps, parallel = mflib.stability_matrix.follow(path, start, jnp.asarray(times), 1e-9)
    np.testing.assert_allclose(found.overlaps, overlaps, atol=1e-6)
    # Positions within e^{-9} of the pole are continued, not resolved: see `Stability`.
    np.testing.assert_allclose(found.parallel, parallel, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.parallel[0], 1, rtol=1e-8)


def test_largest_stretch_is_over_all_particles():
    """A dense sample of starts comes close to it from below."""
    limit = solve_mean_field(H4, [2.0, 3.0, 4.0], nodes=256, tol=TOL)
    found = stability(limit, jnp.linspace(0.1, 0.6, 2001))
    best = found.parallel.max(axis=1)
    assert np.all(best <= found.largest * (1 + 1e-3))
    np.testing.assert_allclose(best, found.largest, rtol=5e-3)
    at = limit.transport(found.largest_from)
    np.testing.assert_allclose(jnp.diagonal(at), found.largest_at, atol=1e-4)


@pytest.mark.parametrize("k", [4, 6])
def test_pure_hermite_is_self_concordant_at_the_start(k):
    """V_0' = k c² α^{k−1}: λ∥ ≤ (k−1) d(log α)/dt, with equality towards the equator."""
    p = SingleIndex(16, padded(np.eye(7)[k]))
    # Three times at the start to all digits asked for.
    found = self_concordance(solve_mean_field(p, [0.0, 1e-13, 2e-13], nodes=256, tol=TOL))
    np.testing.assert_allclose(found.constant, k - 1, rtol=1e-3)  # within its resolution
    assert found.slack[0] < 1e-10


def test_slack_is_what_the_equator_pulls():
    """For h_4 the slack is attained at the equator, where λ∥ = d(log α)/dt = V_t''(0) and λ⊥ = 0.

    λ∥ − 3 d(log α)/dt = −2(1−α²)V_t''(0) − αV_t' is at most 2|V_t''(0)|, λ⊥ leaves 3|V_t''(0)|.
    """
    limit = solve_mean_field(H4, [1.0, 2.0, 5.0], nodes=256, tol=TOL)
    repulsion, attraction = H4.harmonics()
    second = jnp.array(
        [curvature(jnp.zeros(1), attraction - repulsion * p, 16)[1][0] for p in limit.moments]
    )
    found = self_concordance(limit)
    np.testing.assert_allclose(found.slack, jnp.maximum(-3 * second, 0), atol=1e-6)
    assert second[0] < 0 < second[2]
    assert found.constant == np.inf  # at t = 1 a particle stands still on a slope


def test_stability_is_bounded_by_self_concordance():
    """‖J‖ ≤ (α_t/α_0)^{k−1} exp ∫κ for every particle, the theorem of chapter 7."""
    times = np.linspace(0, 5, 257)  # as many as a moment path's: nothing new to compile
    limit = solve_mean_field(H4, times, nodes=64, tol=TOL)
    start = jnp.geomspace(1e-3, 0.9, 400)
    found, slack = stability(limit, start), self_concordance(limit).slack
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(0.5 * (slack[1:] + slack[:-1]))]) * 5 / 256
    bound = (found.overlaps / start) ** 3 * jnp.exp(total)[:, None]
    assert jnp.max(jnp.maximum(found.parallel, found.perpendicular) / bound) <= 1 + 1e-4
    # … and not by much more than it must: the equator's particles attain it.
    assert jnp.max(found.parallel / bound) > 0.99


@pytest.mark.parametrize(("k", "when"), [(3, 0.15), (4, 0.3), (6, 0.3)])
def test_growth_of_the_largest_stretch_with_dimension(k, when):
    """sup J∥ at t = const·d^{(k−2)/2} grows as d^{(k−1)/2}; attained at α² = (k−1)/k for large d."""
    dims = np.array([10**3, 10**4, 10**5])
    largest = []
    for d in dims:
        p = SingleIndex(int(d), padded(np.eye(k + 1)[k]))
        times = when * d ** (k / 2 - 1) * np.array([0.5, 0.75, 1.0])
        # Without a label map, the stability solves its own limit, to the accuracy of this one.
        limit = solve_mean_field(p, times, nodes=256, tol=1e-3)
        found = stability(limit, jnp.array([0.5]))
        largest.append(float(found.largest[-1]))
    slope = np.diff(np.log(largest)) / np.diff(np.log(dims))
    np.testing.assert_allclose(slope, (k - 1) / 2, atol=0.02)
    np.testing.assert_allclose(found.largest_at[-1], np.sqrt((k - 1) / k), atol=0.02)


@pytest.mark.parametrize("name", ["h3+h4", "h1+h2+h5"])
def test_largest_stretch_without_a_label_map(name):
    """Backwards from positions, against forwards from a dense sample of starts."""
    p = problem(name, 16)
    limit = solve_mean_field(p, [0.0, 0.5, 1.0], nodes=256, tol=1e-4)
    found = stability(limit, jnp.linspace(-0.85, 0.85, 2001))
    best = found.parallel.max(axis=1)
    assert np.all(best <= found.largest * (1 + 1e-3))
    np.testing.assert_allclose(best, found.largest, rtol=1e-2)


def test_bad_input_is_named():
    w = sample_sphere(jax.random.key(0), 4, 16)
    limit = solve_mean_field(H4, [1.0, 2.0, 5.0], nodes=256, tol=TOL)
    other = SingleIndex(17, H4.activation)
    for call, name in (
        (lambda: interaction_hessian(H4, w, w[:2]), "vectors"),
        (lambda: interaction_hessian(H4, 2 * w, w), "particles"),
        (lambda: apply_local_hessian(H4, w, w, block=0), "block"),
        (lambda: local_hessian(other, limit), "problem"),
        (lambda: local_hessian(H4, limit, [0.1]), "overlaps"),
        (lambda: local_hessian(H4, limit, 3 * [[1.1]]), "overlaps"),
        (lambda: stability(limit, [[0.1]]), "overlaps0"),
        (lambda: stability(limit, [1.1]), "overlaps0"),
        (lambda: self_concordance(limit, exponent=-1.0), "exponent"),
        (lambda: self_concordance(limit, points=3), "points"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()


def test_no_particles_at_all():
    """Empty arrays are results and not errors."""
    problem = SingleIndex(8, Activation.hermite(4))
    limit = solve_mean_field(problem, [0.0, 0.1])
    assert limit.transport(np.zeros(0)).shape == (2, 0)
    assert local_hessian(problem, limit, np.zeros((2, 0))).parallel.shape == (2, 0)


def test_a_constant_of_zero_may_be_asked_for():
    """k* − 1 = 0 is the default for information exponent 1."""
    limit = solve_mean_field(SingleIndex(8, Activation.hermite(1)), [0.0, 0.5])
    assert np.all(np.isfinite(self_concordance(limit).slack))
