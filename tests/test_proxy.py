"""Wide networks in place of the limit: the bias is what it is said to be, and is taken out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib import Activation, SingleIndex, proxy_gap, sample_sphere
from mflib.proxy import bias_factor, function_distance
from mflib.tasks import sampled

D = 8
PROBLEM = SingleIndex(D, Activation.hermite(2))


@pytest.mark.parametrize("nested", [True, False])
def test_corrected_distance_at_the_start_is_exact(nested):
    """At t = 0 the gap is a sum of independent terms: m E‖u‖² = g(1) − a_0, here for M = 2m."""
    m, reference, seeds = 16, 32, 200
    starts = jax.vmap(lambda key: sample_sphere(key, m + reference, D))(
        jax.random.split(jax.random.key(0), seeds)
    )
    wide = starts[:, :reference] if nested else starts[:, m:]
    function = function_distance(PROBLEM, starts[:, :m], wide)[:, None]
    found = proxy_gap(function, jnp.zeros_like(function), m=m, reference=reference, nested=nested)
    repulsion, _ = PROBLEM.harmonics()
    exact = float(PROBLEM.activation.kernel(1.0) - repulsion[0])
    error = float(found.function_error[0])
    assert abs(float(found.function[0]) - exact) < 4 * error
    # Without the correction it is far off.
    raw = float(found.function[0]) * bias_factor(m, reference, nested=nested)
    assert abs(raw - exact) > 4 * error


def test_function_distance_is_that_of_the_functions():
    w = sample_sphere(jax.random.key(1), 24, D)
    first, second = w[None, :8], w[None]
    exact = function_distance(PROBLEM, first, second)
    assert function_distance(PROBLEM, second, second) == pytest.approx(0.0, abs=1e-14)
    task = sampled(PROBLEM)
    x = task.sample(jax.random.key(2), 100_000)
    squares = jax.jit(
        lambda x: (
            (
                jnp.mean(task.activation(x @ first[0].T), axis=1)
                - jnp.mean(task.activation(x @ second[0].T), axis=1)
            )
            ** 2
        )
    )(x)
    estimate = function_distance(task, first, second, x)
    np.testing.assert_allclose(estimate, jnp.mean(squares), rtol=1e-10)
    assert abs(estimate[0] - exact[0]) < 4 * jnp.std(squares) / 100_000**0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 0}, "`m` must be at least 1"),
        ({"reference": 8}, "`reference` must be a width above m = 8; got 8"),
        ({"function": jnp.ones((1, 3))}, "`function` must be of shape .S, T. with S ≥ 2"),
        ({"displacement": jnp.ones((4, 2))}, "`displacement` must be"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"function": jnp.ones((4, 3)), "displacement": jnp.ones((4, 3))}
    arguments |= {"m": 8, "reference": 32} | change
    function, displacement = arguments.pop("function"), arguments.pop("displacement")
    with pytest.raises(ValueError, match=message):
        proxy_gap(function, displacement, **arguments)


def test_tasks_need_inputs():
    w = sample_sphere(jax.random.key(1), 4, D)[None]
    with pytest.raises(ValueError, match="`inputs` must be given for a Task"):
        function_distance(sampled(PROBLEM), w, w)
