r"""Targets of several directions: $f^*(x) = Σ_n a_n φ(v_n·x)$ (chapter 12).

The uniform start and the Gaussian input are rotation invariant, so nothing is lost by taking the $v_n$ in the
span of the first r basis vectors.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from ._check import Values, check_dim, is_traced, require
from .hermite import Activation, differentiate, polynomial
from .problem import Problem, SingleIndex, shared_degrees
from .sphere import legendre_coefficients, normalise


class MultiIndex(Problem):
    r"""A target of several directions in dimension d (chapter 12): $f^*(x) = Σ_n a_n φ(v_n·x)$.

    **Arguments**

    - `dim`: d ≥ r + 2. `activation`, `link`: σ and φ, as for `SingleIndex`.
    - `directions` (n, r): the $v_n$, unit vectors in the first r coordinates of $R^d$.
    - `weights` (n,): the $a_n$. `None`: 1/n each.

    **Attributes:** the above, and

    - `information_exponent`: the smallest k ≥ 1 with $c_k b_k ≠ 0$ for which the degree-k part of f*,
      of squared norm $b_k^2 Σ_{nn'} a_n a_{n'} (v_n·v_{n'})^k$, is not zero.
    - `even`: σ is even, so that ±w move alike.

    Finite width takes any r; the infinite-width limit r ≤ 2 (`mflib.disk`).

    **Raises** `ValueError` for d < r + 2, directions that are not unit vectors, weights of another
    shape, σ or φ that are not an `Activation`, or an undefined information exponent.
    """

    directions: Float[Array, "n r"]
    weights: Float[Array, " n"]

    def __init__(
        self,
        dim: Values,
        activation: Any,
        directions: Values,
        weights: Values | None = None,
        link: Any = None,
    ):
        link = activation if link is None else link
        shared = shared_degrees(activation, link)
        v, a, eps = _check_directions(directions, weights, activation.coefficients.dtype)
        check_dim(dim)
        r = v.shape[1]
        require(is_traced(dim) or dim >= r + 2, "dim", f"at least r + 2 = {r + 2}", dim)
        # Σ (v_n·v_n')^k a_n a_n' to rounding: a mean over a circle has no odd degrees, say.
        floor = 100 * eps * np.sum(np.abs(a)) ** 2
        shared = [k for k in shared if a @ (v @ v.T) ** k @ a > floor]
        require(
            shared,
            "directions",
            "those of a target with a part of a degree k ≥ 1 that σ and φ share "
            "(the information exponent is undefined otherwise)",
            f"weights {a} and directions {v.tolist()} that cancel",
        )
        self.dim, self.activation, self.link = dim, activation, link
        self.information_exponent = shared[0]
        self.even = activation.parity == "even"
        self.directions = jnp.asarray(v, activation.coefficients.dtype)
        self.weights = jnp.asarray(a, activation.coefficients.dtype)

    @classmethod
    def circle(cls, dim: Values, activation: Any, scale: float = 1.0) -> "MultiIndex":
        r"""$f^*(x) = \text{scale} · \frac{1}{2π} ∫ σ(x_1 \cos ϑ + x_2 \sin ϑ)\,dϑ$, exactly, by K+1 directions.

        As a function of ϑ the integrand is a trigonometric polynomial of degree K, which the mean over
        n equally spaced angles integrates if no multiple of n is among the frequencies: n > K.
        """
        require(isinstance(activation, Activation), "activation", "an mflib.Activation", activation)
        n = activation.degree + 1
        angles = 2 * np.pi * np.arange(n) / n
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return cls(dim, activation, directions, np.full(n, scale / n))

    @classmethod
    def random(
        cls,
        key: PRNGKeyArray | UInt32[Array, "2"],
        dim: Values,
        activation: Any,
        count: int,
        r: int,
    ) -> "MultiIndex":
        """The mean over `count` ≥ 1 directions, uniform on the unit sphere of R^r, r ≥ 1."""
        for name, value in (("count", count), ("r", r)):
            require(
                isinstance(value, int | np.integer) and value >= 1, name, "an integer ≥ 1", value
            )
        return cls(dim, activation, normalise(jax.random.normal(key, (count, r))))

    @property
    def r(self) -> int:
        """The number of coordinates that f* depends on."""
        return self.directions.shape[1]

    def single_index(self) -> SingleIndex:
        """The same target as a `SingleIndex`, for r = 1: v_n = ±1 and φ becomes Σ_k b_k (Σ_n a_n v_n^k) h_k.

        **Raises** `ValueError` for r > 1.
        """
        require(self.r == 1, "directions", "of shape (n, 1)", self.directions.shape)
        powers = jnp.vander(self.directions[:, 0], self.link.coefficients.size, increasing=True)
        factors = (self.weights @ powers).astype(self.link.coefficients.dtype)
        link = Activation(self.link.coefficients * factors)
        return SingleIndex(self.dim, self.activation, link)

    @property
    def target_power(self) -> Float[Array, ""]:
        r"""$‖f^*‖^2 = Σ_{nn'} a_n a_{n'} Σ_k b_k^2 (v_n·v_{n'})^k$."""
        overlaps = jnp.matmul(self.directions, self.directions.T, precision="highest")
        power = polynomial(self.link.coefficients.astype(overlaps.dtype) ** 2, overlaps)
        return self.weights @ power @ self.weights

    @property
    def initial_loss(self) -> Float[Array, ""]:
        """L(0) = ½ (‖f*‖² − 2τ_0 Σ a_n + a_0): infinitely many particles, uniform on the sphere."""
        dim = jnp.asarray(self.dim, self.activation.coefficients.dtype)
        repulsion = legendre_coefficients(self.kernel_coefficients, dim)[0]
        attraction = legendre_coefficients(self.target_coefficients, dim)[0]
        return 0.5 * (self.target_power - 2 * attraction * jnp.sum(self.weights) + repulsion)

    def target(self, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        """f*(x) = Σ_n a_n φ(v_n·x), row by row."""
        return self.link(self._overlaps(x)) @ self.weights

    def potential(self, particles: Float[Array, "m d"]) -> Float[Array, " m"]:
        """E f*(x) σ(w·x) = Σ_n a_n F(w·v_n), in the particles' dtype."""
        values = polynomial(self.target_coefficients, self._overlaps(particles)) @ self.weights
        return values.astype(particles.dtype)

    def inner_pull(self, particles: Float[Array, "m d"]) -> Float[Array, "m r"]:
        """Σ_n a_n F'(w·v_n) v_n, the first r coordinates of the gradient of `potential`."""
        slopes = polynomial(differentiate(self.target_coefficients), self._overlaps(particles))
        inside = jnp.matmul(slopes * self.weights, self.directions, precision="highest")
        return inside.astype(particles.dtype)

    def _overlaps(self, x: Float[Array, "*n d"]) -> Float[Array, "*n v"]:
        """v_n·x, in the dtype of the problem."""
        x = x[..., : self.r].astype(self.directions.dtype)
        return jnp.matmul(x, self.directions.T, precision="highest")


def _check_directions(directions, weights, dtype) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit directions (n, r), weights (n,), and the spacing of the coarser of their dtypes."""
    require(not is_traced(directions, weights), "directions", "concrete numbers", "a traced array")
    v = np.asarray(directions)
    eps = float(np.finfo(v.dtype if v.dtype == np.float32 else dtype).eps)
    v = v.astype(np.float64)
    require(v.ndim == 2 and v.size > 0, "directions", "of shape (n, r), n ≥ 1, r ≥ 1", v.shape)
    norms = np.linalg.norm(v, axis=1, keepdims=True)
    unit = np.isfinite(norms).all() and np.abs(norms - 1).max() <= np.sqrt(eps)
    require(unit, "directions", f"unit vectors to {np.sqrt(eps):.1g}", f"norms {norms[:, 0]}")
    n = v.shape[0]
    a = np.full(n, 1 / n) if weights is None else np.asarray(weights, np.float64)
    require(a.shape == (n,) and np.isfinite(a).all(), "weights", f"{n} finite numbers", a)
    return v / norms, a, eps
