r"""What is learnt: single-index targets, and the constants the dynamics needs of them (chapter 2).

A network $f_ρ(x) = ∫ σ(w·x) ρ(dw)$ is trained on $f^*(x) = φ(w^*·x)$, $φ = Σ b_k h_k$, with the loss
$L(ρ) = ½ E (f_ρ − f^*)^2$. The target direction is the first basis vector, $w^* = e_1$: the uniform
start and the Gaussian input are rotation invariant, so nothing is lost.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, Values, check_dim, is_traced, require
from .hermite import Activation, differentiate, polynomial
from .sphere import legendre_coefficients


class SingleIndex(eqx.Module):
    r"""A single-index problem in dimension d (chapter 2).

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

    dim: Scalar
    activation: Activation
    link: Activation
    information_exponent: int = eqx.field(static=True)
    even: bool = eqx.field(static=True)

    def __init__(self, dim: Values, activation: Any, link: Any = None):
        check_dim(dim)
        link = activation if link is None else link
        for name, value in (("activation", activation), ("link", link)):
            require(
                isinstance(value, Activation), name, "an mflib.Activation", type(value).__name__
            )
        common = activation.present & link.present
        shared = [k for k in sorted(common) if k >= 1]
        require(
            shared,
            "link",
            "a function sharing a Hermite degree k ≥ 1 with the activation "
            "(the information exponent is undefined otherwise)",
            f"degrees {sorted(link.present)} against {sorted(activation.present)}",
        )
        self.dim, self.activation, self.link = dim, activation, link
        self.information_exponent = shared[0]
        self.even = activation.parity == "even" and all(k % 2 == 0 for k in shared)

    @property
    def kernel_coefficients(self) -> Float[Array, " k"]:
        """c_k², the monomial coefficients of g."""
        return self.activation.coefficients**2

    @property
    def target_coefficients(self) -> Float[Array, " k"]:
        """c_k b_k, the monomial coefficients of F(α) = E f*(x) σ(w·x), padded to the degree of σ."""
        c, b = self.activation.coefficients, self.link.coefficients
        n = min(c.size, b.size)
        return jnp.zeros_like(c).at[:n].set(c[:n] * b[:n].astype(c.dtype))

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


def check_particles(problem: SingleIndex, particles: Values) -> Float[Array, "m d"]:
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
