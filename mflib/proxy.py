r"""A wide network in place of the limit, with its bias taken out (chapters 12 and 13).

Where no symmetry gives the limit, a network of M ≫ m neurons stands for it. To first order
$f_m − f = \frac1m Σ_{i≤m} X_i$ with independent $X_i$, the same for both widths if the narrow network starts from the
first m of the wide one's particles. Then

    E‖f_m − f_M‖² = (1/m − 1/M) E‖X‖² = (1 − m/M) E‖f_m − f‖²,

and likewise for every particle's Δ, so that raw distances are divided by 1 − m/M. (From independent starts
the factor is 1 + m/M.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, require
from .empirical import outputs
from .hermite import polynomial
from .mesh import map_rows
from .problem import Problem
from .tasks import Task

_BLOCK = 1024


class ProxyGap(eqx.Module):
    r"""The gap to the limit, estimated with wide networks over S seeds.

    **Attributes:** `function` (T,), $m E‖f_m − f‖^2$; `displacement` (T,), $m E \frac1m Σ_i ‖Δ_i‖^2$; their standard
    errors `function_error` and `displacement_error` (T,), which hold the chance of both the narrow and
    the wide starts, since every seed has a wide network of its own.
    """

    function: Float[Array, " T"]
    function_error: Float[Array, " T"]
    displacement: Float[Array, " T"]
    displacement_error: Float[Array, " T"]


def bias_factor(m: int, reference: int, *, nested: bool = True) -> float:
    r"""$E‖f_m − f_M‖^2 / E‖f_m − f‖^2$ to first order: 1 − m/M if starts are nested, else 1 + m/M.

    **Raises** `ValueError` unless 1 ≤ m < M = `reference`.
    """
    require(m >= 1, "m", "at least 1", m)
    require(reference > m, "reference", f"a width above m = {m}", reference)
    return 1 - m / reference if nested else 1 + m / reference


def proxy_gap(
    function: Values, displacement: Values, *, m: int, reference: int, nested: bool = True
) -> ProxyGap:
    r"""Unbiased to first order in 1/m: raw distances of S seeds to their wide networks, corrected.

    **Arguments:** `function` (S, T), $‖f_m − f_M‖^2$; `displacement` (S, T), $\frac1m Σ_i ‖ŵ_i^{(m)} − ŵ_i^{(M)}‖^2$; `m` and
    `reference`, the two widths; `nested`, whether the narrow starts are the first of the wide ones.

    **Raises** `ValueError` for fewer than two seeds (no error bar) or shapes that differ.
    """
    function, displacement = jnp.asarray(function), jnp.asarray(displacement)
    require(
        function.ndim == 2 and function.shape[0] >= 2,
        "function",
        "of shape (S, T) with S ≥ 2 seeds",
        function.shape,
    )
    require(
        displacement.shape == function.shape,
        "displacement",
        f"of the shape of `function`, {function.shape}",
        displacement.shape,
    )
    scale = m / bias_factor(m, reference, nested=nested)

    def estimate(raw):
        error = jnp.std(raw, axis=0, ddof=1) / np.sqrt(raw.shape[0])
        return scale * jnp.mean(raw, axis=0), scale * error

    return ProxyGap(*estimate(function), *estimate(displacement))


@eqx.filter_jit
def function_distance(
    problem: Problem | Task,
    first: Float[Array, "T m d"],
    second: Float[Array, "T n d"],
    inputs: Float[Array, "b d"] | None = None,
) -> Float[Array, " T"]:
    r"""‖f − f'‖² between two paths of networks, at each of T times.

    In closed form, $\frac1{m^2} Σ g(w_i·w_j) − \frac2{mn} Σ g(w_i·w'_j) + \frac1{n^2} Σ g(w'_i·w'_j)$, or for a
    `Task` the mean over `inputs`. The closed form is a small difference: give it float64.
    """
    if isinstance(problem, Task):
        require(inputs is not None, "inputs", "given for a Task", None)

        def mean_square(pair):
            return jnp.mean(
                (outputs(problem, pair[0], inputs) - outputs(problem, pair[1], inputs)) ** 2
            )

        return jax.lax.map(mean_square, (first, second))

    def product(left, right):
        kernel = problem.kernel_coefficients.astype(left.dtype)

        def row_means(rows: Float[Array, "c d"]) -> Float[Array, " c"]:
            return jnp.mean(
                polynomial(kernel, jnp.matmul(rows, right.T, precision="highest")), axis=1
            )

        return jnp.mean(map_rows(row_means, left, _BLOCK, None))

    return jax.lax.map(
        lambda pair: product(pair[0], pair[0]) - 2 * product(*pair) + product(pair[1], pair[1]),
        (first, second),
    )
