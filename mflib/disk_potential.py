r"""Particles on the unit disk: the kernel, the target and the potential there (chapter 12).

A target of two directions leaves the law of infinitely many particles invariant under the rotations of the
other d−2 coordinates, $w = (a, \sqrt{1−|a|^2}\,ω)$ with ω uniform on $S^{d−3}$. The mean of the kernel over ω
is a sum of squares of features $ψ_{pqj}(a) = a_1^p a_2^q (1−|a|^2)^j$, with $k = p + q + 2j$:

    E_ω g(w·w') = Σ λ_pqj ψ_pqj(a) ψ_pqj(a'),   λ_pqj = c_k² C(k, 2j) C(p+q, p) μ_j,
    μ_j = E s^{2j} = (2j−1)!! / ((d−2) d ⋯ (d+2j−4)),   s a coordinate of S^{d−3},

so that the law acts through finitely many moments $m_{pq} = E a_1^p a_2^q$. Polynomials on the disk are
held as square arrays u of coefficients, $u(a) = Σ_{p+q≤K} u_{pq} a_1^p a_2^q$.
"""

from math import comb

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .hermite import polynomial
from .multi_index import MultiIndex


def evaluate(u: Float[Array, "k k"], a: Float[Array, "2 *n"]) -> Float[Array, "*n"]:
    """u(a) = Σ_{p+q≤K} u_pq a_1^p a_2^q, by Horner's rule in both variables."""
    size = u.shape[0]
    total = jnp.zeros_like(a[0])
    for p in range(size - 1, -1, -1):
        total = total * a[0] + polynomial(u[p, : size - p], a[1])
    return total


def partial(u: Float[Array, "k k"], axis: int) -> Float[Array, "k k"]:
    """Coefficients of ∂u/∂a_1 (`axis` 0) or ∂u/∂a_2 (`axis` 1)."""
    v = jnp.moveaxis(u, axis, 0)
    factors = jnp.arange(1, v.shape[0], dtype=v.dtype)[:, None]
    v = jnp.concatenate([factors * v[1:], jnp.zeros_like(v[:1])])
    return jnp.moveaxis(v, 0, axis)


def gradient(u: Float[Array, "k k"], a: Float[Array, "2 *n"]) -> Float[Array, "2 *n"]:
    """∇u(a)."""
    return jnp.stack([evaluate(partial(u, 0), a), evaluate(partial(u, 1), a)])


def second(u: Float[Array, "k k"], a: Float[Array, "2 *n"]) -> Float[Array, "3 *n"]:
    """(∂_11 u, ∂_12 u, ∂_22 u) at a."""
    first, other = partial(u, 0), partial(u, 1)
    parts = (partial(first, 0), partial(first, 1), partial(other, 1))
    return jnp.stack([evaluate(part, a) for part in parts])


def law_moments(
    a: Float[Array, "2 N"], weights: Float[Array, " N"], degree: int
) -> Float[Array, "k k"]:
    """m_pq = Σ_i ω_i a_1^p a_2^q, for p, q ≤ K."""
    rows = [jnp.ones_like(a)]
    for _ in range(degree):
        rows.append(rows[-1] * a)
    powers = jnp.stack(rows, axis=1)
    return jnp.matmul(powers[0] * weights, powers[1].T, precision="highest")


class DiskPotential(eqx.Module):
    r"""What acts on a particle at a: $U_t(a) = Σ_n a_n F(v_n·a) − E g(w·w')$, from the moments m(t).

    **Attributes:** `target` (K+1, K+1), the coefficients of $Σ_n a_n F(v_n·a)$; `scales` (R,), the
    $λ_{pqj}$; `power`, ‖f*‖².
    """

    target: Float[Array, "k k"]
    scales: Float[Array, " R"]
    power: Float[Array, ""]

    def __init__(self, problem: MultiIndex, dtype):
        degree = problem.activation.degree
        c2 = problem.kernel_coefficients.astype(dtype)
        sphere = jnp.asarray(problem.dim, dtype) - 2  # S^{d−3} lies in R^{d−2}
        mu = [jnp.ones((), dtype)]
        for j in range(degree // 2):
            mu.append(mu[-1] * (2 * j + 1) / (sphere + 2 * j))
        self.scales = jnp.stack(
            [
                c2[p + q + 2 * j] * comb(p + q + 2 * j, 2 * j) * comb(p + q, p) * mu[j]
                for p, q, j in _features(degree)
            ]
        )
        p, q = np.indices((degree + 1, degree + 1))
        k = np.minimum(p + q, degree)
        factors = np.where(p + q <= degree, np.vectorize(comb)(k, np.minimum(p, k)), 0)
        v = problem.directions.astype(dtype)
        powers = (jnp.vander(v[:, axis], degree + 1, increasing=True) for axis in (0, 1))
        means = jnp.einsum("n,np,nq->pq", problem.weights.astype(dtype), *powers)
        series = problem.target_coefficients.astype(dtype)[k]
        self.target = jnp.asarray(factors, dtype) * series * means
        self.power = problem.target_power.astype(dtype)

    @property
    def degree(self) -> int:
        """K, the degree of σ."""
        return self.target.shape[0] - 1

    def interaction(self, moments: Float[Array, "k k"]) -> Float[Array, "k k"]:
        """Coefficients of a ↦ E g(w·w'), w' from the law with these `moments`."""
        basis = jnp.asarray(_basis(self.degree), moments.dtype)
        weights = self.scales * jnp.tensordot(basis, moments, 2)
        return jnp.tensordot(weights, basis, 1)

    def potential(self, moments: Float[Array, "k k"]) -> Float[Array, "k k"]:
        """Coefficients of U_t."""
        return self.target - self.interaction(moments)

    def energy(self, moments: Float[Array, "k k"]) -> Float[Array, ""]:
        """E g(w·w') = Σ λ (E ψ)², both particles from the law."""
        basis = jnp.asarray(_basis(self.degree), moments.dtype)
        return self.scales @ jnp.tensordot(basis, moments, 2) ** 2

    def loss(self, moments: Float[Array, "k k"]) -> Float[Array, ""]:
        """L = ½ [‖f*‖² − 2 E Σ_n a_n F(v_n·a) + E g(w·w')]."""
        return 0.5 * (self.power - 2 * jnp.sum(self.target * moments) + self.energy(moments))


def _features(degree: int) -> list[tuple[int, int, int]]:
    """All (p, q, j) with p + q + 2j ≤ K."""
    n = range(degree + 1)
    return [(p, q, j) for p in n for q in n for j in n if p + q + 2 * j <= degree]


def _basis(degree: int) -> np.ndarray:
    """(R, K+1, K+1): the coefficients of ψ_pqj = a_1^p a_2^q (1 − a_1² − a_2²)^j."""
    features = _features(degree)
    basis = np.zeros((len(features), degree + 1, degree + 1))
    for row, (p, q, j) in zip(basis, features, strict=True):
        for n in range(j + 1):
            for i in range(n + 1):
                row[p + 2 * i, q + 2 * (n - i)] = (-1) ** n * comb(j, n) * comb(n, i)
    return basis
