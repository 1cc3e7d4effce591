"""The exact 1/m law: its start, its two implementations, its errors, and Monte Carlo."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.widths import PROBLEMS
from mflib import (
    Activation,
    SingleIndex,
    fluctuation_law,
    measure_gap,
    moment_path,
    sample_sphere,
)
from mflib.blocks import azimuthal_counts, features
from mflib.fluctuation_volterra import by_volterra
from mflib.sphere import harmonic_count, legendre, normalise

ROOT = Path(__file__).parents[1]
H4 = Activation([0.0, 0.0, 0.0, 0.0, 1.0])
# Of degree 4 to the solvers, so that those of the other problems serve it: 1e-200 squares to zero.
H3 = Activation([0.0, 0.0, 0.0, 1.0, 1e-200])
MIXED = Activation([0.2, 0.0, 0.0, 0.5, 0.7])


def test_features_add_up_to_the_kernel():
    """a_k P_k(w·w') = Σ_ℓ φ_kℓ φ'_kℓ P_ℓ(ω·ω'), the addition theorem about w*."""
    repulsion = jnp.asarray([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    w = sample_sphere(jax.random.key(0), 2, 9)
    sines = jnp.linalg.norm(w[:, 1:], axis=1)
    found = jax.jit(lambda c, s: features(repulsion, 9, c, s).value)(w[:, 0], sines)
    azimuths = normalise(w[:, 1:])
    ours = jnp.einsum(
        "lk,l->k", found[..., 0] * found[..., 1], legendre(azimuths[0] @ azimuths[1], 5, 8)
    )
    np.testing.assert_allclose(ours, repulsion * legendre(w[0] @ w[1], 5, 9), atol=1e-14)


def test_feature_slopes():
    theta = jnp.asarray([0.3, 1.2, 2.5])
    repulsion = jnp.ones(6)

    @jax.jit
    def at(theta):
        return features(repulsion, 7, jnp.cos(theta), jnp.sin(theta))

    @jax.jit
    def slope(theta):
        return jax.jvp(lambda theta: at(theta).value, (theta,), (jnp.ones(3),))[1]

    found = at(theta)
    np.testing.assert_allclose(found.slope, slope(theta), atol=1e-13)
    ratio = found.value / jnp.sin(theta)
    np.testing.assert_allclose(found.ratio[1:], ratio[1:], atol=1e-13)
    assert np.all(found.ratio[0] == 0)


def test_block_sizes_add_up():
    counts, _ = azimuthal_counts(5, 9.0)
    np.testing.assert_allclose(jnp.cumsum(counts), harmonic_count(5, 9.0))


# Every kind of problem, at one dimension and three times; h_3 starts on the hemisphere.
KINDS = {
    "h4": (H4, None, False),
    "mixed": (MIXED, None, False),
    "misspecified": (H4, Activation([0.0, 0.0, 0.0, 0.0, 0.5]), False),
    "h3": (H3, None, True),
}


@pytest.fixture(scope="module", params=KINDS)
def solved(request):
    """A problem of each kind at d = 12, its limit, and its law by the Volterra equation."""
    activation, link, hemisphere = KINDS[request.param]
    problem = SingleIndex(12, activation, link)
    path = moment_path(problem, 2.0, hemisphere=hemisphere)
    return problem, path, fluctuation_law(problem, TIMES, path=path)


TIMES = np.array([0.0, 0.5, 1.0, 2.0])
# Six times on the law's grid of 48 steps: like TIMES they add no point to it, so that nothing new is compiled.
SIX = np.array([5, 12, 19, 29, 38, 48]) / 48


def test_start(solved):
    """m E‖u_0‖² = g(1) − ‖f_0‖², and nobody has moved."""
    problem, path, law = solved
    kernel = jnp.sum(problem.kernel_coefficients)
    # From the uniform start only the constant is left of f_0; on the hemisphere, what the path says.
    if path.hemisphere:
        moments = path.moments(jnp.zeros(()))
        np.testing.assert_allclose(law.function[0], kernel - path.repulsion @ moments**2, atol=1e-6)
    else:
        np.testing.assert_allclose(law.function[0], kernel - path.repulsion[0], atol=1e-10)
    np.testing.assert_allclose(law.displacement[0], 0, atol=1e-12)


def test_both_implementations_agree(solved):
    """Block by block, to the larger of the two stated errors, which is below 1 %."""
    problem, path, law = solved
    other = fluctuation_law(problem, TIMES, method="particles", path=path, tol=0.01)
    assert max(law.error, other.error) < 0.01
    for name in ("function_blocks", "displacement_blocks"):
        ours, theirs = getattr(law, name), getattr(other, name)
        stated = max(law.error, other.error) * float(jnp.max(theirs.sum(1)))
        np.testing.assert_allclose(ours, theirs, atol=stated)


def test_error_is_of_second_order_in_the_steps(solved):
    """Steps four times shorter divide the difference to steps of half the size by sixteen.

    First order would give four. Nodes of the past that do not lie evenly between the points of the grid
    make single halvings irregular: eight is asked.
    """
    problem, path, _ = solved
    first, second, _ = by_volterra(problem, path, TIMES, 12)
    third, fourth, _ = by_volterra(problem, path, TIMES, 48)
    for a, b, c, d in zip(first, second, third, fourth, strict=True):
        assert np.linalg.norm((a - b).sum(1)) > 8 * np.linalg.norm((c - d).sum(1))


UNTIL = {16: 9.316937, 256: 151.05175}  # when L = 0.1


@pytest.mark.parametrize("dim", UNTIL)
def test_default_error_is_below_one_percent(dim, monkeypatch):
    """h_4 until L = 0.1: against twice the nodes of the law, and twice the steps, extrapolated."""
    problem = SingleIndex(dim, H4)
    until = UNTIL[dim]
    times = until * np.array([0.25, 0.5, 0.75, 1.0])
    path = moment_path(problem, until)
    moments = path.moments(path.until)
    loss = 0.5 - path.attraction @ moments + 0.5 * path.repulsion @ moments**2
    np.testing.assert_allclose(loss, 0.1, atol=1e-4)
    law = fluctuation_law(problem, times, path=path)
    monkeypatch.setattr("mflib.responses._ORDER", 20)
    coarse, fine, _ = by_volterra(problem, path, times, 96)
    for ours, first, second in zip((law.function, law.displacement), coarse, fine, strict=True):
        theirs = (second + (second - first) / 3).sum(1)
        np.testing.assert_allclose(ours, theirs, rtol=0.01)
    assert law.error < 0.01


@pytest.mark.parametrize(("activation", "until"), [(H4, 3.0), (MIXED, 2.0)], ids=["h4", "mixed"])
def test_monte_carlo(activation, until):
    """m E‖u‖² and m E‖Δ‖² within three standard errors at six times, 64 seeds; so at half the m."""
    dim, m = 16, 512
    problem = SingleIndex(dim, activation)
    times = until * SIX
    path = moment_path(problem, until)
    law = fluctuation_law(problem, times, path=path)
    exact = np.array([law.function, law.displacement])
    found = {m: [], m // 2: []}
    for seed in range(64):
        start = sample_sphere(jax.random.key(1000 + seed), m, dim)
        for width, rows in found.items():
            gap = measure_gap(problem, start[:width], times, path=path, rtol=1e-4)
            rows.append([width * gap.function, jnp.sum(gap.displacement**2, axis=1)])
    tables = {width: np.array(rows) for width, rows in found.items()}
    for table in tables.values():
        off = (table.mean(0) - exact) / (table.std(0, ddof=1) / np.sqrt(len(table)))
        # Twelve strongly correlated numbers.
        assert np.all(np.abs(off) < 3), off
    change = tables[m] - tables[m // 2]
    assert np.all(np.abs(change.mean(0)) < 3 * change.std(0, ddof=1) / np.sqrt(len(change)))


@pytest.mark.parametrize("name", ["h4", "h4+h6"])
def test_stored_monte_carlo(name):
    """The same at d = 64, until L has fallen to 0.6 L(0), against runs that take too long for a test.

    The first times are left out: few of the 64·512 particles have left the equator by then, and the
    mean of ‖Δ‖² is that of rare large numbers, for which a standard error says nothing.
    """
    study = json.loads((ROOT / "book" / "data" / "widths.json").read_text())
    cells = {
        cell["width"]: cell
        for cell in study["cells"]
        if (cell["problem"], cell["dim"], cell["level"]) == (name, 64, 0.6)
    }
    late = np.array(study["grid"]) > 0.3
    assert late.sum() >= 6 and all(len(cells[m]["seeds"]) >= 64 for m in (256, 512))
    problem = SingleIndex(64, Activation(PROBLEMS[name][0]))
    law = fluctuation_law(problem, cells[512]["until"] * np.array(study["grid"])[late])
    exact = np.array([law.function, law.displacement])

    def measured(m):
        return (
            np.array([m * np.array(cells[m][key + part])[late] for key in ("gap", "displacement")])
            for part in ("", "_bar")
        )

    mean, bar = measured(512)
    assert np.all(np.abs(mean - exact) < 3 * bar), (mean - exact) / bar
    half, half_bar = measured(256)
    # Nested starts are correlated, positively, so that this bar is wide.
    assert np.all(np.abs(mean - half) < 3 * np.hypot(bar, half_bar))


def test_bad_input_is_named():
    problem = SingleIndex(8, H4)
    for call, name in (
        (lambda: fluctuation_law(problem, [1.0], method="monte carlo"), "method"),
        (lambda: fluctuation_law(problem, [1.0], tol=0.0), "tol"),
        (lambda: fluctuation_law(problem, [-1.0]), "times"),
        (lambda: fluctuation_law(problem, [9.0], path=moment_path(problem, 1.0)), "path"),
        (lambda: moment_path(problem, 1.0, hemisphere=True), "hemisphere"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()


def test_the_start_alone():
    """m E ‖u_0‖² = g(1) − a_0, and nothing is displaced yet."""
    problem = SingleIndex(8, H4)
    law = fluctuation_law(problem, [0.0])
    exact = 1 - float(problem.harmonics()[0][0])
    np.testing.assert_allclose(law.function, [exact], rtol=1e-6)
    np.testing.assert_allclose(law.displacement, [0.0], atol=1e-12)
