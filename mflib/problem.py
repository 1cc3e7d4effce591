r"""What is learnt: targets, and the constants the dynamics needs of them (chapters 2 and 12).

A network $f_ρ(x) = ∫ σ(w·x) ρ(dw)$ is trained on a target of one direction, $f^*(x) = φ(w^*·x)$, or of
several, $f^*(x) = Σ_n a_n φ(v_n·x)$, with $φ = Σ b_k h_k$ and the loss $L(ρ) = ½ E (f_ρ − f^*)^2$. The
uniform start and the Gaussian input are rotation invariant, so nothing is lost by taking $w^* = e_1$,
and the $v_n$ in the span of the first r basis vectors.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, Values, check_dim, is_traced, require
from .hermite import Activation, differentiate, polynomial
from .sphere import legendre_coefficients


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


def shared_degrees(activation: Any, link: Any) -> list[int]:
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
        shared = shared_degrees(activation, link)
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
    fits = particles.dtype in (jnp.float32, jnp.float64)
    require(fits, "particles", "floating (float32 or float64)", particles.dtype)
    if not is_traced(particles):
        row, norm = map(float, _farthest(particles))
        # √eps: rounding in one normalisation is eps; a forgotten normalisation is O(1).
        limit = float(np.sqrt(np.finfo(particles.dtype).eps))
        require(
            abs(norm - 1) <= limit,
            "particles",
            f"unit vectors to {limit:.1g} (use mflib.sample_sphere or mflib.sphere.normalise)",
            f"row {row:.0f} of norm {norm:.6g}",
        )
    return particles


def check_single_index(problem: Any) -> None:
    """`problem` has one direction: what a limit on the sphere's overlaps needs."""
    fits = isinstance(problem, SingleIndex)
    require(fits, "problem", "a SingleIndex (one direction)", type(problem).__name__)


def _farthest(particles: Float[Array, "m d"]) -> tuple:
    """(row, norm) of the particle farthest from the sphere. Those of a mesh stay where they are."""
    if len(particles.sharding.device_set) > 1:
        return _find_on_devices(particles)
    return _find(np.asarray(particles, np.float64), np)


def _find(w, xp):
    norms = xp.linalg.norm(w, axis=1)
    off = xp.abs(norms - 1)
    row = xp.argmax(xp.where(xp.isfinite(off), off, xp.inf))
    return row, norms[row]


_find_on_devices = jax.jit(partial(_find, xp=jnp))
