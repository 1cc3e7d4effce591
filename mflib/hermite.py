r"""Activations as series of normalised Hermite polynomials (chapter 2).

With $h_k$ the probabilists' Hermite polynomials normalised so that $E[h_j(z) h_k(z)] = δ_{jk}$ for
$z ∼ N(0, 1)$, an activation is $σ = Σ_k c_k h_k$ and, for unit vectors $w, w'$,

    E σ(w·x) σ(w'·x) = g(w·w'),    g(s) = Σ_k c_k² s^k      (x ∼ N(0, I_d)).

Everything the mean-field dynamics needs of σ is in the coefficients $c_k$.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import roots_hermitenorm

from ._check import Values, is_traced, require


def hermite(z: Float[Array, "*s"], degree: int) -> Float[Array, "k *s"]:
    r"""All $h_0(z), …, h_K(z)$ by the recurrence $√(k+1) h_{k+1} = z h_k − √k h_{k−1}$."""
    rows = [jnp.ones_like(z), z]
    for k in range(1, degree):
        rows.append((z * rows[k] - math.sqrt(k) * rows[k - 1]) / math.sqrt(k + 1))
    return jnp.stack(rows[: degree + 1])


def polynomial(coefficients: Float[Array, " k"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Σ_k coefficients[k] s^k (lowest degree first), by Horner's rule."""
    total = jnp.broadcast_to(coefficients[-1], jnp.shape(s))
    for k in range(coefficients.size - 2, -1, -1):
        total = total * s + coefficients[k]
    return total


def differentiate(coefficients: Float[Array, " k"], order: int = 1) -> Float[Array, " J"]:
    """Coefficients of the `order`-th derivative of Σ_k coefficients[k] s^k (lowest degree first)."""
    for _ in range(order):
        k = jnp.arange(1, coefficients.size, dtype=coefficients.dtype)
        coefficients = k * coefficients[1:] if coefficients.size > 1 else 0 * coefficients
    return coefficients


class Activation(eqx.Module):
    r"""An activation $σ = Σ_{k=0}^K c_k h_k$ in the normalised Hermite basis (chapter 2).

    **Arguments:** `coefficients`, shape (K+1,): $c_0, …, c_K$; trailing zeros are dropped.

    **Attributes**

    - `coefficients`: (K+1,) array $c_k$, in JAX's default float dtype (an array's own if floating).
    - `degree`: K.
    - `information_exponent`: $k^* = \min\{k ≥ 1 : |c_k| > \sqrt{\text{eps}}\, ‖c‖\}$, where eps is
      the spacing of the dtype (1.5e-8 relative in float64): what lies below is taken for rounding.
    - `present`: the set of degrees k (0 included) with a coefficient above that tolerance.
    - `parity`: "even", "odd" or "mixed", of those degrees.
    - `truncation_error`: $\big(E(f−σ)^2 / E f^2\big)^{1/2}$ if σ was made from a function f, else 0.

    **Raises** `ValueError` for coefficients that are empty, not one-dimensional, not finite, all
    zero, or constant (only $c_0$: then the information exponent is undefined).
    """

    coefficients: Float[Array, " k"]
    information_exponent: int = eqx.field(static=True)
    present: frozenset[int] = eqx.field(static=True)
    parity: str = eqx.field(static=True)
    truncation_error: float = eqx.field(static=True)

    def __init__(self, coefficients: Values, *, truncation_error: float = 0.0):
        if is_traced(coefficients):
            raise ValueError("`coefficients` must be concrete numbers; got a traced array.")
        c = np.asarray(coefficients)
        require(c.ndim == 1 and c.size > 0, "coefficients", "a non-empty 1-d array", c.shape)
        require(np.isrealobj(c), "coefficients", "real numbers", c.dtype)
        if isinstance(coefficients, jax.Array) and np.issubdtype(c.dtype, np.floating):
            dtype = c.dtype
        else:
            dtype = jnp.result_type(float)
        c = c.astype(dtype)
        require(np.isfinite(c).all(), "coefficients", "finite", c)
        require(np.any(c != 0), "coefficients", "not all zero (a zero activation)", c)
        c = np.trim_zeros(c, "b")
        # The dtype's own resolution: a quadrature that should give 0 gives a few eps.
        degrees = np.flatnonzero(
            np.abs(c) > math.sqrt(np.finfo(dtype).eps) * np.linalg.norm(c)
        ).tolist()
        positive = [k for k in degrees if k >= 1]
        require(
            positive,
            "coefficients",
            "those of a non-constant activation (the information exponent of a constant is undefined)",
            c,
        )
        self.coefficients = jnp.asarray(c)
        self.information_exponent = positive[0]
        self.present = frozenset(degrees)
        parities = {k % 2 for k in degrees}
        self.parity = "mixed" if len(parities) == 2 else ("even", "odd")[parities.pop()]
        self.truncation_error = float(truncation_error)

    @property
    def degree(self) -> int:
        """K, the largest degree with a non-zero coefficient."""
        return self.coefficients.size - 1

    @classmethod
    def hermite(cls, k: int | np.integer) -> "Activation":
        """The pure Hermite activation σ = h_k, k ≥ 1."""
        require(isinstance(k, int | np.integer) and k >= 1, "k", "an integer ≥ 1", k)
        return cls(np.eye(k + 1)[k])

    @classmethod
    def from_function(cls, fn: Callable, degree: int | np.integer) -> "Activation":
        r"""Project a function on $h_0, …, h_K$: $c_k = E[f(z) h_k(z)]$, with K = `degree`.

        The integrals are taken by Gauss–Hermite quadrature if fn is smooth and, if that and a rule
        with panel edges at all multiples of ¼ disagree (a kink at the origin, as in ReLU, leaves
        Gauss–Hermite with an error ~ 1/n), by that composite Gauss–Legendre rule. `fn` is called on a
        NumPy array of float64 and may be a NumPy or JAX function. The part of f above degree K is
        reported as `.truncation_error` (relative, in L²(N(0,1)); below 1e-7 it is rounding).

        **Raises** `ValueError` if `degree` is not an integer ≥ 1 or fn gives non-finite values.
        """
        fits = isinstance(degree, int | np.integer) and degree >= 1
        require(fits, "degree", "an integer ≥ 1", degree)
        degree = int(degree)
        # High degrees overflow far out, where the rule of panels ends: it is taken then.
        with np.errstate(over="ignore", invalid="ignore"):
            smooth = _project(fn, degree, *_gauss_hermite(max(256, 4 * degree)))
        split = _project(fn, degree, *_split_at_origin())
        # 1e-9: what two converged rules agree to; a kink leaves them 1e-3 apart.
        c, norm2 = smooth if np.abs(smooth[0] - split[0]).max() < 1e-9 * smooth[1] ** 0.5 else split
        require(norm2 > 0, "fn", "a non-zero function", "a function that vanishes at every node")
        error = math.sqrt(max(0.0, 1 - float(c @ c) / norm2))
        return cls(c, truncation_error=error)

    def __call__(self, z: Values) -> Float[Array, "..."]:
        """σ(z) = Σ c_k h_k(z), by Clenshaw's recurrence (no table of h_k is stored)."""
        z = jnp.asarray(z, self.coefficients.dtype)
        above, b = jnp.zeros_like(z), jnp.zeros_like(z)
        for k in range(self.degree, -1, -1):
            b, above = (
                self.coefficients[k]
                + z * b / math.sqrt(k + 1)
                - math.sqrt((k + 1) / (k + 2)) * above,
                b,
            )
        return b

    def kernel(self, s: Values, derivative: int = 0) -> Float[Array, "..."]:
        r"""The link kernel $g(s) = Σ c_k^2 s^k$, or its `derivative`-th derivative, at s ∈ [−1, 1]."""
        s = jnp.asarray(s, self.coefficients.dtype)
        return polynomial(differentiate(self.coefficients**2, derivative), s)


def _project(fn, degree: int, z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Hermite coefficients up to `degree` and E f², by the rule (z, weights) for N(0, 1)."""
    values = np.asarray(fn(z), dtype=np.float64)
    require(values.shape == z.shape, "fn", "a function applied elementwise", values.shape)
    require(np.isfinite(values).all(), "fn", "finite on the real line", "non-finite values")
    below, h = np.zeros_like(z), np.ones_like(z)
    c = np.empty(degree + 1)
    for k in range(degree + 1):
        c[k] = (weights * values) @ h
        below, h = h, (z * h - math.sqrt(k) * below) / math.sqrt(k + 1)
    return c, float(weights @ values**2)


def _gauss_hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    z, weights = roots_hermitenorm(n)
    return z, weights / weights.sum()


def _split_at_origin() -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre panels of width ¼ on [−14, 14], N(0,1) beyond which weighs 2e-44."""
    x, w = np.polynomial.legendre.leggauss(24)
    left = np.arange(-14, 14, 0.25)[:, None]
    z = (left + (x + 1) / 8).ravel()
    weights = np.tile(w / 8, left.size) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return z, weights
