r"""The problem families of the paper's authors, under their names (chapter 13).

`family(name, dim)` gives the task that is trained on examples and, where inputs are Gaussian, the problem
whose population velocity (and, with at most two directions, whose limit) is known in closed form.
h_k is normalised; the authors' loss has no ½, so that their time t is 2t here.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._check import Values, require
from .hermite import Activation
from .multi_index import MultiIndex
from .problem import SingleIndex
from .tasks import Monomials, Task, sampled

# Hermite coefficients of the two bell-shaped functions below fall like (2/3)^{k/2} and (1/2)^{k/2}, so
# that the series stops at a relative error of 5e-4 and 1e-5.
_DEGREE = 40


class Family(NamedTuple):
    """A family in one dimension: `task`, and `problem` (None for Boolean inputs)."""

    task: Task
    problem: SingleIndex | MultiIndex | None


def ge4(z: Values) -> Float[Array, "..."]:
    r"""$5(z^2 e^{−z^2} − √3/9)$: not a polynomial, information exponent 4."""
    z = jnp.asarray(z)
    return 5 * (z**2 * jnp.exp(-(z**2)) - 3**0.5 / 9)


def np_mis(z: Values) -> Float[Array, "..."]:
    r"""$e^{−z^2/2} (2z^2 − 1)$: information exponent 2, but 4 on the target `ge4`."""
    z = jnp.asarray(z)
    return jnp.exp(-(z**2) / 2) * (2 * z**2 - 1)


def _hermite(dim: int, coefficients: dict[int, float], link: dict[int, float] | None = None):
    def series(terms):
        return Activation([terms.get(k, 0.0) for k in range(max(terms) + 1)])

    problem = SingleIndex(dim, series(coefficients), link and series(link))
    return Family(sampled(problem), problem)


def _bell(dim: int, activation: Callable):
    """On examples with the functions themselves; the population by their series."""
    series = [Activation.from_function(fn, _DEGREE) for fn in (activation, ge4)]
    task = Task(dim, activation, _FirstCoordinate(ge4))
    return Family(task, SingleIndex(dim, *series))


class _FirstCoordinate(NamedTuple):
    """x ↦ link(x_1)."""

    link: Callable

    def __call__(self, x):
        return self.link(x[:, 0])


def _directions(dim: int, directions: Values):
    problem = MultiIndex(dim, Activation.hermite(4), directions)
    return Family(sampled(problem), problem)


def _random(dim: int, r: int, n: int):
    # One draw for the whole book: the same task for every width and seed.
    problem = MultiIndex.random(jax.random.key(r * 100 + n), dim, Activation.hermite(4), n, r)
    return Family(sampled(problem), problem)


def _circle(dim: int, scale: float):
    problem = MultiIndex.circle(dim, Activation.hermite(4), scale=scale)
    return Family(sampled(problem), problem)


def _boolean(dim: int, terms: dict[tuple[int, ...], float]):
    least = 1 + max(i for coordinates in terms for i in coordinates)
    require(dim >= least, "dim", f"at least {least}, the coordinates of the target", dim)
    task = Task(dim, jax.nn.relu, Monomials(terms), inputs="boolean", signed=True)
    return Family(task, None)


def _first(n: int) -> tuple[int, ...]:
    return tuple(range(n))


_HALF = 0.5**0.5
_FAMILIES: dict[str, Callable[[int], Family]] = {
    "He3": lambda d: _hermite(d, {3: 1.0}),
    "He4": lambda d: _hermite(d, {4: 1.0}),
    "He4_small": lambda d: _hermite(d, {4: 1.0}, {4: 0.5}),
    "He4_misspecified": lambda d: _hermite(d, {4: 1.0, 6: 1.0}, {4: 0.6, 6: 0.3}),
    "Ge4": lambda d: _bell(d, ge4),
    "NP_mis": lambda d: _bell(d, np_mis),
    "He4_orth": lambda d: _directions(d, [[1, 0], [-1, 0], [0, 1], [0, -1]]),
    "He4_nonorth": lambda d: _directions(d, [[1, 0], [-1, 0], [_HALF, _HALF], [-_HALF, -_HALF]]),
    **{
        f"He4_random_{r}_{n}": lambda d, r=r, n=n: _random(d, r, n)
        for r, n in ((2, 8), (2, 16), (8, 8), (16, 16))
    },
    "Man_2": lambda d: _circle(d, 1.0),
    "Man_big_2": lambda d: _circle(d, 4.0),
    **{f"XOR_{k}": lambda d, k=k: _boolean(d, {_first(k): 1.0}) for k in (2, 3, 4, 5)},
    "XOR_4_quarter": lambda d: _boolean(d, {_first(4): 0.25}),
    "Hop_1_3": lambda d: _boolean(d, {_first(1): 0.25, _first(4): 0.75}),
    "Hop_2_4": lambda d: _boolean(d, {_first(2): 0.25, _first(6): 0.75}),
    "Hop_2": lambda d: _boolean(d, {_first(2): 0.5, _first(4): 0.5}),
    "Hop_4": lambda d: _boolean(d, {_first(4): 0.5, _first(8): 0.5}),
    "stair_3": lambda d: _boolean(d, {_first(k): 0.1 for k in (1, 2, 3)}),
    "stair_4": lambda d: _boolean(d, {_first(k): 0.1 for k in (1, 2, 3, 4)}),
}

NAMES = tuple(_FAMILIES)


def family(name: str, dim: int) -> Family:
    """The family of that name in dimension d.

    **Raises** `ValueError` for a name that is not in `NAMES`, or a dimension too small for the target.
    """
    require(name in _FAMILIES, "name", "one of " + ", ".join(NAMES), repr(name))
    return _FAMILIES[name](dim)
