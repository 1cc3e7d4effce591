"""The three estimates of the gap in their order, the width each asks for, and the limit of large d."""

import jax
import numpy as np
import pytest
from scipy.special import erf

from mflib import (
    Activation,
    SingleIndex,
    fluctuation_law,
    gronwall_bound,
    large_dimension_law,
    measure_gap,
    moment_path,
    norm_bound,
    required_width,
    sample_sphere,
)

H4 = Activation([0.0, 0.0, 0.0, 0.0, 1.0])
MIXED = Activation([0.2, 0.0, 0.0, 0.5, 0.7])
TIMES = np.array([0.0, 0.5, 1.0, 2.0, 3.0])


@pytest.fixture(scope="module", params=[H4, MIXED], ids=["h4", "mixed"])
def estimates(request):
    problem = SingleIndex(16, request.param)
    path = moment_path(problem, TIMES[-1])
    law = fluctuation_law(problem, TIMES, path=path)
    norm = norm_bound(problem, TIMES, path=path)
    return problem, path, law, norm, gronwall_bound(problem, TIMES, path=path)


def test_bounds_are_ordered(estimates):
    """Gronwall ≥ norm bound ≥ law at all times, for either gap; all three start from the same noise."""
    _, _, law, norm, gronwall = estimates
    for name in ("function", "displacement"):
        exact, middle, crude = (np.asarray(getattr(x, name)) for x in (law, norm, gronwall))
        exact = np.sqrt(np.maximum(exact, 0))
        # 1e-4: the error of the limit's moments, of which the noises are differences.
        assert np.all(crude >= middle - 1e-4) and np.all(middle >= exact - 1e-4)
        assert np.all(crude[2:] > 1.5 * middle[2:]) and np.all(middle[2:] > 1.02 * exact[2:])
        np.testing.assert_allclose([crude[0], middle[0]], exact[0], atol=1e-4)


def test_bounds_are_above_the_measured_gap(estimates):
    problem, path, law, norm, gronwall = estimates
    m, seeds = 256, 16
    found = []
    for seed in range(seeds):
        start = sample_sphere(jax.random.key(seed), m, 16)
        gap = measure_gap(problem, start, TIMES, path=path, rtol=1e-4)
        found.append([m * gap.function, np.sum(gap.displacement**2, axis=1)])
    mean, bar = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(seeds)
    for bound in (norm, gronwall):
        above = np.array([bound.function, bound.displacement]) ** 2
        assert np.all(mean < above + 3 * bar + 1e-9)
        assert np.all(mean[:, 3:] < above[:, 3:])
    assert np.all(np.abs(mean - np.array([law.function, law.displacement])) < 3.5 * bar + 1e-9)


def test_bound_by_degrees_is_between_law_and_gronwall(estimates):
    problem, path, law, _, gronwall = estimates
    found = norm_bound(problem, TIMES, by="degree", path=path)
    for name in ("function", "displacement"):
        exact, middle, crude = (np.asarray(getattr(x, name)) for x in (law, found, gronwall))
        assert np.all(middle >= np.sqrt(np.maximum(exact, 0)) - 1e-4)
        assert np.all(middle <= crude + 1e-4)


def test_norm_bound_converges(estimates):
    problem, path, _, norm, _ = estimates
    fine = norm_bound(problem, TIMES, path=path, points=128)
    np.testing.assert_allclose(norm.function, fine.function, rtol=3e-3)
    np.testing.assert_allclose(norm.displacement, fine.displacement, rtol=3e-3)


def test_required_width(estimates):
    _, _, law, norm, gronwall = estimates
    assert required_width(law, 0.1) == int(np.ceil(100 * float(max(law.function))))
    widths = [required_width(estimate, 0.1) for estimate in (law, norm, gronwall)]
    assert widths == sorted(widths)
    assert required_width(norm, 0.05) == pytest.approx(4 * widths[1], rel=0.01)
    # Larger than any floating-point number, and still a number.
    problem = SingleIndex(256, H4)
    huge = required_width(gronwall_bound(problem, [60.0]), 0.1)
    assert isinstance(huge, int) and huge > 10**308


def bridge_law(k, s, m, seeds):
    """m Var of the fraction left at s, from m escape times each on the clock of their own fraction."""
    generator = np.random.default_rng(3)
    rate, left = k * (k - 2), []
    for _ in range(seeds):
        escape = np.sort(1 / (rate * np.abs(generator.standard_normal(m)) ** (k - 2)))
        # After i escapes the clock runs at the rate 1 − i/m: real time up to each escape.
        real = np.cumsum(np.diff(escape, prepend=0) / (1 - np.arange(m) / m))
        left.append(1 - np.searchsorted(real, s) / m)
    squares = m * (np.array(left) - limit_left(k, s)) ** 2
    return squares.mean(), squares.std(ddof=1) / np.sqrt(seeds)


def limit_left(k, s):
    """q at s by a plain Euler solve of dτ = q ds."""
    tau, step = 0.0, s / 20000
    for _ in range(20000):
        tau += step * erf((k * (k - 2) * max(tau, 1e-300)) ** (-1 / (k - 2)) / np.sqrt(2))
    return float(erf((k * (k - 2) * tau) ** (-1 / (k - 2)) / np.sqrt(2)))


@pytest.mark.parametrize(("k", "s"), [(3, 0.3), (4, 0.2), (6, 0.05)])
def test_large_dimension_law_is_that_of_escape_times(k, s):
    """q + m Var[q̂], within three standard errors of 4000 draws of 2000 escape times."""
    law = large_dimension_law(Activation([0.0] * k + [1.0]), [s])
    assert law.left[0] == pytest.approx(limit_left(k, s), abs=1e-4)
    mean, bar = bridge_law(k, s, 2000, 4000)
    assert abs(law.function[0] - law.left[0] - mean) < 3 * bar


def test_law_tends_to_its_limit_for_large_dimension():
    """h_4 at fixed t/d: the function law loses d; the displacement law grows as d."""
    s = np.array([0.1, 0.2])
    limit = large_dimension_law(H4, s)
    off = {}
    for d in (128, 1024):
        law = fluctuation_law(SingleIndex(d, H4), s * d)
        off[d] = [
            np.abs(law.function - limit.function) / limit.function,
            np.abs(law.displacement / d - limit.displacement) / limit.displacement,
        ]
    # An error ∝ 1/d would fall by eight; half of that is asked.
    assert np.all(np.array(off[1024]) < np.array(off[128]) / 4)
    assert np.all(off[1024][0] < 1e-3)
    assert np.all(off[1024][1] < 0.1)


def test_bad_input_is_named():
    problem = SingleIndex(8, H4)
    for call, name in (
        (lambda: norm_bound(problem, [1.0], points=1), "points"),
        (lambda: norm_bound(problem, [1.0], by="entry"), "by"),
        (lambda: required_width(norm_bound(problem, [0.1], points=2), 0.0), "tolerance"),
        (lambda: required_width(gronwall_bound(problem, [500.0]), 0.1), "gap"),
        (lambda: large_dimension_law(Activation([0.0, 0.0, 1.0]), [0.1]), "activation"),
        (lambda: large_dimension_law(MIXED, [0.1]), "activation"),
        (lambda: large_dimension_law(H4, [-0.1]), "scaled_times"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            call()


def test_late_times_cost_early_ones_nothing():
    early, all_of_them = (
        large_dimension_law(H4, times) for times in ([0.05, 0.1], [0.05, 0.1, 1e3])
    )
    for name in ("left", "function", "displacement"):
        np.testing.assert_allclose(
            getattr(all_of_them, name)[:2], getattr(early, name), rtol=1e-5, err_msg=name
        )
    with pytest.raises(ValueError, match="`scaled_times`.*finite"):
        large_dimension_law(H4, [0.1, np.inf])
