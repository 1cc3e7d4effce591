"""Explorers: right numbers, the same with and without a kernel, and nothing compiled on a move."""

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

import mflib
from mflib import explore
from mflib.explore.limits import horizon, padded, solve_limit
from mflib.explore.live import live
from mflib.explore.pages import contents, rounded
from mflib.explore.scene import Explorer, draw, span

SCRIPT = Path(__file__).parents[1] / "book" / "_static" / "explore.js"
H4 = mflib.Activation.hermite(4)
BROWSER_CODE = pytest.mark.skipif(
    not shutil.which("node"), reason="needs Node.js to run explore.js"
)


@pytest.fixture(scope="module")
def flow():
    return explore.Flow(
        (16, 64), {"h_2": mflib.Activation.hermite(2), "h_3": mflib.Activation.hermite(3)}
    )


@pytest.fixture(scope="module")
def gap():
    return explore.Gap(widths=(4, 8), dims=(8, 12), seeds=2)


def scenes(explorer):
    for values in itertools.product(*(slider.values for slider in explorer.sliders)):
        yield explorer.scene(*values)


def compiled(function):
    """How often JAX compiles while `function` runs."""
    events = []

    def listen(name, seconds, **kwargs):
        if "backend_compile" in name:
            events.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(events)


def in_browser(expression):
    """What an expression of explore.js's functions gives."""
    code = f"const e = require({str(SCRIPT)!r}); console.log(JSON.stringify({expression}))"
    ended = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def moves(explorer):
    *sliders, picture = live(explorer).children
    seen = {picture.value}
    for slider in sliders:
        for index in range(len(slider.options)):
            slider.index = index
            seen.add(picture.value)
    return seen


def test_no_move_compiles_and_every_move_draws(flow, gap):
    # One move draws and warms what every explorer shares: the designer's kernel, one code a degree.
    designer = explore.Designer((0, 0, 1))
    designer.scene(0.5, 0.5)
    for explorer in (flow, gap, designer):
        assert isinstance(explorer, Explorer)
        explorer.scene(*(slider.values[slider.start] for slider in explorer.sliders))
        pictures = set()
        assert compiled(lambda e=explorer, p=pictures: p.update(moves(e))) == 0
        different = sum(len(slider.values) - 1 for slider in explorer.sliders)
        assert len(pictures) > different / 2


def test_compilations_are_counted():
    assert compiled(lambda: jax.jit(lambda x: x * 3.25 + 1)(1.5)) > 0


def test_limit_is_that_of_the_solver(flow):
    """One level of refinement is exact to less than a pixel, that is, a few thousandths."""
    for k, dim in ((3, 16), (4, 64)):
        sigma = mflib.Activation.hermite(k)
        times = horizon(sigma, dim) * np.linspace(0, 1, 5)
        found = solve_limit(padded(sigma, 4), dim, times)
        exact = mflib.solve_mean_field(mflib.SingleIndex(float(dim), sigma), times, tol=1e-5)
        np.testing.assert_allclose(
            found.loss / exact.loss[0], exact.loss / exact.loss[0], atol=3e-3
        )


def test_network_is_that_of_the_library(gap):
    """Repeated neurons and coordinates that stay zero change nothing: the gap is `measure_gap`'s."""
    run = gap.coupled.run(4, 8, 1)
    draws = np.random.default_rng(1).normal(size=(8, 12))[:4, :8]
    problem = mflib.SingleIndex(8, H4)
    start = mflib.sphere.normalise(jax.numpy.asarray(draws))
    exact = mflib.measure_gap(problem, start, np.asarray(run.times), rtol=1e-5)
    np.testing.assert_allclose(
        run.function, exact.function, atol=3e-3 * float(exact.function.max())
    )


def test_pages_hold_every_picture(flow):
    stored = contents(flow)
    assert len(stored["scenes"]) == 2 * 2 * 13
    assert len(json.dumps(stored)) < 150_000
    for (text, panels), scene in zip(stored["scenes"], scenes(flow), strict=True):
        assert text == scene.text
        for (_, drawn), panel in zip(panels, scene.panels, strict=True):
            for number, curve in zip(drawn, panel.curves, strict=True):
                label, look, colour, _, y = stored["curves"][number]
                assert (label, look, colour) == (curve.label, curve.look, curve.colour)
                pixel = 1.1e-3 * (panel.ylim[1] - panel.ylim[0])
                np.testing.assert_allclose(stored["rows"][y], curve.y, atol=pixel)


def test_page_names_the_live_version_and_has_a_first_picture(capsys):
    designer = explore.Designer()
    assert "mflib.explore.activation()" in explore.page(designer).data
    explore.first_picture(designer)
    assert "Information exponent 2, even" in capsys.readouterr().out


def test_page_of_too_many_pictures_is_refused(monkeypatch, flow):
    monkeypatch.setattr(explore.pages, "_LARGEST", 1000)
    with pytest.raises(ValueError, match="`explorer` must be at most 1000 bytes"):
        explore.page(flow)


def test_rounding():
    assert rounded([0.12345, -0.00001], (0, 1), False) == [0.123, 0]
    assert rounded([123.456], (0, 1000), False) == [123]
    assert rounded([0.0012345, 98765], (1e-3, 1e5), True) == [0.00123, 98800]


def test_span_leaves_room():
    assert span([0, 1], [2]) == (-0.1, 2.1)
    assert span([3, 3]) == (2, 4)


@BROWSER_CODE
@pytest.mark.parametrize("c", [(0, 0, 0.3, 0, 1), (0.5, -0.2, 0, 0.7), (0, 0, 0, 0, -1), (1, 0, 0)])
def test_browser_designs_as_the_library(c):
    here, there = explore.Designer(c).scene(*c[1:]), in_browser(f"e.design({list(c)})")
    assert there["text"] == here.text
    for mine, other in zip(here.panels, there["panels"], strict=True):
        assert (other["x"], other["y"], other["log"]) == (mine.x, mine.y, mine.log)
        np.testing.assert_allclose(
            [other["xlim"], other["ylim"]], [mine.xlim, mine.ylim], atol=1e-6
        )
        for a, b in zip(mine.curves, other["curves"], strict=True):
            np.testing.assert_allclose([b["xs"], b["ys"]], [a.x, a.y], atol=1e-6)


@BROWSER_CODE
def test_browser_finds_the_stored_picture(flow, tmp_path):
    stored = tmp_path / "stored.json"
    stored.write_text(json.dumps(contents(flow)))
    for positions in ((0, 0, 0), (1, 0, 7), (1, 1, 12)):
        got = in_browser(f"e.scene(require({str(stored)!r}), {list(positions)})")
        values = [s.values[i] for s, i in zip(flow.sliders, positions, strict=True)]
        assert got["text"] == flow.scene(*values).text


def test_figure_has_a_panel_for_each():
    scene = explore.Designer().scene(0.1, 0, 0.3, 0, 1, 0)
    assert [ax.get_ylabel() for ax in draw(scene).axes] == [panel.y for panel in scene.panels]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: explore.Designer((0, 1)), "coefficients"),
        (lambda: explore.Designer((0, 0, 2)), "coefficients"),
        (lambda: explore.Flow((16,)), "dims"),
        (lambda: explore.Flow((2, 16)), "dims"),
        (lambda: explore.Flow((16, 64), {}), "activations"),
        (lambda: explore.Gap(widths=(3, 8)), "widths"),
        (lambda: explore.Gap(widths=(8, 1024)), "widths"),
        (lambda: explore.Gap(dims=(8, 256)), "dims"),
        (lambda: explore.Gap(seeds=0), "seeds"),
        (lambda: explore.Hessian(2), "dim"),
        (lambda: explore.Hessian(64, mflib.Activation.hermite(3)), "activation"),
        (lambda: explore.Widths(dims=(8,)), "dims"),
        (lambda: explore.Widths(seeds=1), "seeds"),
    ],
)
def test_bad_arguments_are_named(make, name):
    with pytest.raises(ValueError, match=f"^`{name}` must be"):
        make()
