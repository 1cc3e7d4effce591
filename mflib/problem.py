r"""What is learnt: targets, and the constants the dynamics needs of them (chapters 2 and 12).

A network $f_ρ(x) = ∫ σ(w·x) ρ(dw)$ is trained on a target of one direction, $f^*(x) = φ(w^*·x)$, or of
several, $f^*(x) = Σ_n a_n φ(v_n·x)$, with $φ = Σ b_k h_k$ and the loss $L(ρ) = ½ E (f_ρ − f^*)^2$. The
uniform start and the Gaussian input are rotation invariant, so nothing is lost by taking $w^* = e_1$,
and the $v_n$ in the span of the first r basis vectors.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from ._check import Scalar, Values, check_dim, is_traced, require
from .hermite import Activation, differentiate, polynomial
from .sphere import legendre_coefficients, normalise


class Problem(eqx.Module):
    r"""What `SingleIndex` and `MultiIndex` share: σ = Σ c_k h_k, φ = Σ b_k h_k and their kernels.

    Each adds its `target` f*, `potential` E f*(x) σ(w·x) and `inner_pull`, the r coordinates in which
    the gradient of that lies: with the kernel g all that the dynamics of a network asks for.
    """

    dim: Scalar
    activation: Activation
    link: Activation
    information_exponent: int = eqx.field(static=True)
    even: bool = eqx.field(static=True)

    @property
    def kernel_coefficients(self) -> Float[Array, " k"]:
        """c_k², the monomial coefficients of g."""
        return self.activation.coefficients**2

    @property
    def target_coefficients(self) -> Float[Array, " k"]:
        """c_k b_k, the monomial coefficients of F(α) = E φ(v·x) σ(w·x), padded to the degree of σ."""
        c, b = self.activation.coefficients, self.link.coefficients
        n = min(c.size, b.size)
        return jnp.zeros_like(c).at[:n].set(c[:n] * b[:n].astype(c.dtype))

    def pull(self, particles: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """The gradient of `potential` before its projection on the sphere."""
        return jnp.zeros_like(particles).at[:, : self.r].set(self.inner_pull(particles))


def _shared_degrees(activation: Any, link: Any) -> list[int]:
    """The degrees k ≥ 1 that σ and φ have in common; ValueError if there is none."""
    for name, value in (("activation", activation), ("link", link)):
        require(isinstance(value, Activation), name, "an mflib.Activation", type(value).__name__)
    shared = [k for k in sorted(activation.present & link.present) if k >= 1]
    require(
        shared,
        "link",
        "a function sharing a Hermite degree k ≥ 1 with the activation "
        "(the information exponent is undefined otherwise)",
        f"degrees {sorted(link.present)} against {sorted(activation.present)}",
    )
    return shared


class SingleIndex(Problem):
    r"""A single-index problem in dimension d (chapter 2): $f^*(x) = φ(x_1)$.

    **Arguments**

    - `dim`: d ≥ 3. A traced number is allowed for the infinite-width solver.
    - `activation`: σ = Σ c_k h_k, the network's activation.
    - `link`: φ = Σ b_k h_k, the target's. `None`: well specified, φ = σ.

    **Attributes:** the above, and

    - `information_exponent`: $k^* = \min\{k ≥ 1 : c_k b_k ≠ 0\}$ (each factor by the tolerance of
      `Activation`).
    - `even`: σ is even and F is even, so that ±w move alike and overlaps may be folded to [0, 1].

    **Raises** `ValueError` if d < 3, if σ or φ is not an `Activation`, or if no degree k ≥ 1 is
    common to σ and φ (the information exponent is undefined: from the uniform start nothing pulls
    towards the target).
    """

    def __init__(self, dim: Values, activation: Any, link: Any = None):
        check_dim(dim)
        link = activation if link is None else link
        shared = _shared_degrees(activation, link)
        self.dim, self.activation, self.link = dim, activation, link
        self.information_exponent = shared[0]
        self.even = activation.parity == "even"  # then so is every shared degree

    @property
    def target_power(self) -> Float[Array, ""]:
        """‖f*‖² = Σ b_k²."""
        return jnp.sum(self.link.coefficients**2)

    @property
    def initial_loss(self) -> Float[Array, ""]:
        """L(0) = ½ (‖f*‖² − 2τ_0 + a_0): infinitely many particles, uniform on the sphere."""
        repulsion, attraction = self.harmonics()
        return 0.5 * (self.target_power - 2 * attraction[0] + repulsion[0])

    def target_kernel(self, alpha: Values, derivative: int = 0) -> Float[Array, "..."]:
        """F(α) = Σ c_k b_k α^k, or its `derivative`-th derivative, at overlaps α."""
        alpha = jnp.asarray(alpha, self.target_coefficients.dtype)
        return polynomial(differentiate(self.target_coefficients, derivative), alpha)

    def harmonics(self) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """(a_k, τ_k): coefficients of g and of F on the Legendre polynomials of dimension d."""
        dim = jnp.asarray(self.dim, self.activation.coefficients.dtype)
        return (
            legendre_coefficients(self.kernel_coefficients, dim),
            legendre_coefficients(self.target_coefficients, dim),
        )

    def target(self, x: Float[Array, "*n d"]) -> Float[Array, "*n"]:
        """f*(x) = φ(x_1), row by row."""
        return self.link(x[..., 0])

    def potential(self, particles: Float[Array, "m d"]) -> Float[Array, " m"]:
        """E f*(x) σ(w·x) = F(w·w*), in the particles' dtype."""
        return self.target_kernel(particles[:, 0]).astype(particles.dtype)

    @property
    def r(self) -> int:
        """1, the number of coordinates that f* depends on."""
        return 1

    def inner_pull(self, particles: Float[Array, "m d"]) -> Float[Array, "m r"]:
        """F'(w·w*), the one coordinate of the gradient of `potential`."""
        slope = self.target_kernel(particles[:, 0], derivative=1)
        return slope.astype(particles.dtype)[:, None]


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
        shared = _shared_degrees(activation, link)
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
            require(isinstance(value, int) and value >= 1, name, "an integer ≥ 1", value)
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


def check_particles(problem: Any, particles: Values) -> Float[Array, "m d"]:
    """Return `particles` as an array, after checking shape (m, d) and unit norms (to √eps)."""
    particles = jnp.asarray(particles)
    require(
        particles.ndim == 2 and particles.shape[0] >= 1,
        "particles",
        "of shape (m, d) with m ≥ 1",
        f"shape {particles.shape}",
    )
    require(
        particles.shape[1] == problem.dim,
        "particles",
        f"of shape (m, {problem.dim}), the problem's dimension",
        f"shape {particles.shape}",
    )
    require(jnp.issubdtype(particles.dtype, jnp.floating), "particles", "floating", particles.dtype)
    if not is_traced(particles):
        norms = np.linalg.norm(np.asarray(particles, np.float64), axis=1)
        worst = (
            int(np.argmax(np.abs(norms - 1)))
            if np.isfinite(norms).all()
            else int(np.flatnonzero(~np.isfinite(norms))[0])
        )
        # √eps: rounding in one normalisation is eps; a forgotten normalisation is O(1).
        limit = float(np.sqrt(np.finfo(particles.dtype).eps))
        require(
            abs(norms[worst] - 1) <= limit,
            "particles",
            f"unit vectors to {limit:.1g} (use mflib.sample_sphere or mflib.sphere.normalise)",
            f"row {worst} of norm {norms[worst]:.6g}",
        )
    return particles
