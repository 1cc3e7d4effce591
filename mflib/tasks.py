r"""What is learnt from examples: any activation, Gaussian or Boolean inputs, signed second layer (chapter 11).

    f(x) = (1/m) Σ_i s_i σ(w_i·x),    s_i = 1 for all i, or s_i = ±1,    y = f*(x).

A `SingleIndex` or a `MultiIndex` knows its population velocity in closed form. A `Task` is known by its
examples alone: σ and f* are any functions, and x is Gaussian or uniform on the cube {−1, 1}^d.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ._check import Values, check_dim, require
from .problem import Problem

# 2^16 corners times 16 coordinates are 8 MB in float64; four times as many for each further pair.
_ENUMERABLE = 16


class Task(eqx.Module):
    r"""A task known by its examples (chapter 11).

    **Arguments**

    - `dim`: d ≥ 3. `activation`: σ, applied elementwise; `target`: f*, from inputs (n, d) to (n,). JAX
      functions, or modules whose arrays are then inputs of the compiled descent.
    - `inputs`: "gaussian", N(0, I_d), or "boolean", uniform on $\{−1, 1\}^d$.
    - `signed`: False, all $s_i = 1$; True, $s_i = (−1)^i$, so that the first m signs of any even m
      balance.

    **Raises** `ValueError` naming the argument that is not as said.
    """

    dim: int = eqx.field(static=True)
    activation: Callable
    target: Callable
    inputs: str = eqx.field(static=True)
    signed: bool = eqx.field(static=True)

    def __init__(
        self,
        dim: Any,
        activation: Any,
        target: Any,
        *,
        inputs: str = "gaussian",
        signed: bool = False,
    ):
        check_dim(dim)
        require(dim == int(dim), "dim", "an integer", dim)
        for name, value in (("activation", activation), ("target", target)):
            require(callable(value), name, "a function", type(value).__name__)
        kinds = ("gaussian", "boolean")
        require(inputs in kinds, "inputs", " or ".join(map(repr, kinds)), repr(inputs))
        self.dim, self.activation, self.target = int(dim), activation, target
        self.inputs, self.signed = inputs, bool(signed)

    def sample(self, key: Key[Array, ""], n: int, dtype: Any = None) -> Float[Array, "n d"]:
        """n independent inputs x."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if self.inputs == "gaussian":
            return jax.random.normal(key, (n, self.dim), dtype)
        return jax.random.rademacher(key, (n, self.dim), dtype)

    def labels(self, inputs: Float[Array, "n d"]) -> Float[Array, " n"]:
        """f*(x) at inputs x (n, d). Raises `ValueError` if `target` does not give one number for each."""
        y = self.target(inputs)
        shape = inputs.shape[:1]
        require(
            y.shape == shape, "target", f"a function from (n, d) to (n,), here {shape}", y.shape
        )
        return y

    def signs(self, m: int, dtype: Any = None) -> Float[Array, " m"]:
        """s_1, …, s_m."""
        dtype = jnp.result_type(float) if dtype is None else dtype
        if not self.signed:
            return jnp.ones(m, dtype)
        return jnp.asarray(1 - 2 * (np.arange(m) % 2), dtype)

    @property
    def enumerable(self) -> bool:
        """Whether the whole population of inputs is `corners(dim)`."""
        return self.inputs == "boolean" and self.dim <= _ENUMERABLE


def sampled(problem: Problem | Task) -> Task:
    """The task whose examples are those of `problem` (a `Task` is returned as it is)."""
    if isinstance(problem, Task):
        return problem
    return Task(int(problem.dim), problem.activation, problem.target)


def corners(dim: int) -> Float[Array, "n d"]:
    r"""All $2^d$ points of $\{−1, 1\}^d$, d ≤ 16."""
    require(
        isinstance(dim, int | np.integer) and 1 <= dim <= _ENUMERABLE,
        "dim",
        f"an integer from 1 to {_ENUMERABLE} (there are 2^dim corners)",
        dim,
    )
    bits = np.arange(2**dim)[:, None] >> np.arange(dim) & 1
    return jnp.asarray(1 - 2 * bits, jnp.result_type(float))


class Monomials(eqx.Module):
    r"""$f^*(x) = Σ_S c_S Π_{i∈S} x_i$, the Fourier series of a function on the cube.

    **Arguments:** `terms`, {S: c_S} with S a tuple of coordinates counted from 0.

    **Raises** `ValueError` for no terms, or a set with a repeated or negative coordinate.
    """

    sets: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    coefficients: Float[Array, " n"]

    def __init__(self, terms: Mapping[tuple[int, ...], float]):
        require(terms, "terms", "at least one monomial", dict(terms))
        for s in terms:
            require(
                len(set(s)) == len(s) and all(i >= 0 for i in s),
                "terms",
                "monomials of different coordinates i ≥ 0",
                s,
            )
        self.sets = tuple(tuple(s) for s in terms)
        self.coefficients = jnp.asarray(list(terms.values()), jnp.result_type(float))

    def __call__(self, x: Values) -> Float[Array, " n"]:
        """f*(x) at inputs x (n, d), of floats or integers. Raises `ValueError` if d is too small."""
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.result_type(float))
        least = 1 + max((i for s in self.sets for i in s), default=-1)
        require(x.shape[-1] >= least, "x", f"of shape (n, d) with d ≥ {least}", f"shape {x.shape}")
        products = jnp.stack([jnp.prod(x[:, jnp.asarray(s, int)], axis=1) for s in self.sets])
        return self.coefficients.astype(x.dtype) @ products
