"""The infinite-width limit at one fixed size, so that no move of a slider compiles anything.

`mflib.solve_mean_field` refines until its error is small, and each refinement has shapes of its own. A
picture needs three digits: one level, checked against it in the tests.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._check import require
from ..eulerian import solve_labels
from ..hermite import Activation
from ..lagrangian import solve_nodes
from ..sphere import legendre_coefficients, overlap_quadrature

# Label map: nodes a panel, and the error of a label; moving nodes: their number and tolerance.
_ORDER, _LABEL_ERROR = 10, 3e-5
_NODES, _RTOL = 512, 1e-4


class Limit(NamedTuple):
    """Infinite width at `times`: `loss` (T,), `moments` (T, K+1), `overlaps` (T, N), `weights` (N,)."""

    times: Float[np.ndarray, " T"]
    loss: Float[np.ndarray, " T"]
    moments: Float[Array, "T k"]
    overlaps: Float[np.ndarray, "T N"]
    weights: Float[np.ndarray, " N"]


def padded(activation: Activation, degree: int) -> Activation:
    """The same activation with coefficients up to `degree`, the new ones too small to matter.

    Activations of one shape share what is compiled.
    """
    c = activation.coefficients
    tiny = np.full(degree + 1 - c.size, np.finfo(c.dtype).tiny)
    return Activation(jnp.concatenate([c, jnp.asarray(tiny, c.dtype)]))


def check_activation(activation) -> Activation:
    """Return it, or say what was expected."""
    kind = type(activation).__name__
    require(isinstance(activation, Activation), "activation", "an mflib.Activation", kind)
    return activation


def check_dims(dims, most: int | float, argument: str = "dims") -> list[int]:
    """Return `dims` as a sorted list, after checking that it holds at least two dimensions."""
    values = sorted(set(np.ravel(dims).tolist()))
    fits = len(values) >= 2 and all(3 <= d <= most and d == int(d) for d in values)
    require(fits, argument, f"at least two different integers from 3 to {most:g}", dims)
    return [int(d) for d in values]


def horizon(activation: Activation, dim: int | float) -> float:
    """A time at which most of what is learnt has been learnt: three times the escape scale."""
    k = activation.information_exponent
    power = float(activation.coefficients[k]) ** 2
    if k == 1:
        return 4 / power
    scale = np.log(dim) / 4 + 0.5 if k == 2 else dim ** (k / 2 - 1) / (k * (k - 2))
    return float(3 * scale / power)


@eqx.filter_jit
def _constants(kernel, dim, even: bool):
    start = overlap_quadrature(128 if even else _NODES, dim, even=even)
    return legendre_coefficients(kernel, dim), *start


@jax.jit
def _loss(repulsion, moments):
    return 0.5 * (1 - moments) ** 2 @ repulsion


def solve_limit(activation: Activation, dim: int | float, times: np.ndarray) -> Limit:
    """The limit of the well-specified problem from the uniform start."""
    dim = jnp.asarray(float(dim), activation.coefficients.dtype)
    even = activation.parity == "even"
    a, start, weights = _constants(activation.coefficients**2, dim, even)
    clock = jnp.asarray(times, a.dtype)
    if even:
        # Order and steps as at the first level of `mflib.solve_mean_field`: compiled once for both.
        labels = solve_labels(
            a, a, dim, clock, order=_ORDER, atol=_LABEL_ERROR, max_steps=1500, progress=False
        )
        moments, overlaps = labels.moments, labels.positions(start)
    else:
        none = jnp.zeros(0, a.dtype)
        options = {"rtol": _RTOL, "max_steps": 20_000, "progress": False}
        found = solve_nodes(a, a, dim, clock, start, weights, none, **options)
        moments, overlaps = found.moments, found.overlaps
    rows = (np.asarray(row) for row in (_loss(a, moments), overlaps, weights))
    loss, overlaps, weights = rows
    return Limit(np.asarray(times), loss, moments, overlaps, weights)
