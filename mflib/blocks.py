r"""The kernel split by rotations about w*: features of the overlap for each azimuthal degree (chapter 8).

Write w = cos θ w* + sin θ ω. With Y_ℓμ the harmonics of degree ℓ on the sphere of azimuths ω, scaled so
that Σ_μ Y_ℓμ(ω) Y_ℓμ(ω') = P_ℓ^{(d−1)}(ω·ω'), the addition theorem reads

    a_k P_k(w·w') = Σ_ℓ φ_kℓ(θ) φ_kℓ(θ') P_ℓ^{(d−1)}(ω·ω'),
    φ_kℓ(θ) = √(a_k B_kℓ) sin^ℓ θ P_{k−ℓ}^{(d+2ℓ)}(cos θ),    ℓ = 0, …, k,
    B_kℓ = N(d−1,ℓ) N(d+2ℓ,k−ℓ) / ( N(d,k) Π_{j<ℓ} (d−1+2j)/(d+2j) ).
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._check import Scalar
from .sphere import harmonic_count, legendre, legendre_derivative


class Features(eqx.Module):
    """φ_kℓ at n overlaps: `value`, `slope` = dφ_kℓ/dθ and `ratio` = φ_kℓ/sin θ (0 for ℓ = 0).

    Each of shape (L, K+1, n), L = K+1 blocks; zero for k < ℓ.
    """

    value: Float[Array, "l k n"]
    slope: Float[Array, "l k n"]
    ratio: Float[Array, "l k n"]


def azimuthal_counts(degree: int, dim: Scalar) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    """N(d−1, ℓ), the size of block ℓ, and ℓ(ℓ+d−3), its eigenvalue, for ℓ = 0, …, K."""
    block = jnp.arange(degree + 1.0)
    return harmonic_count(degree, dim - 1), block * (block + dim - 3)


def features(
    repulsion: Float[Array, " k"],
    dim: Scalar,
    alpha: Float[Array, " n"],
    sine: Float[Array, " n"],
) -> Features:
    """The features at overlaps `alpha` = cos θ; `sine` = sin θ, given apart for the sake of the pole."""
    degree = repulsion.size - 1
    own = harmonic_count(degree, dim)
    outer = harmonic_count(degree, dim - 1)
    rows, measure = [], jnp.ones_like(alpha[0])
    nothing = jnp.zeros_like(alpha)
    for block in range(degree + 1):
        # Degree k−ℓ in dimension d+2ℓ, shifted to row k.
        inner = legendre(alpha, degree - block, dim + 2 * block)
        steep = legendre_derivative(alpha, degree - block, dim + 2 * block)
        count = harmonic_count(degree - block, dim + 2 * block)
        scale = repulsion[block:] * outer[block] * count / (own[block:] * measure)
        scale = jnp.sqrt(scale)[:, None]
        power = sine ** (block - 1) if block else nothing
        slope = block * power * alpha * inner - sine ** (block + 1) * steep
        pad = ((block, 0), (0, 0))
        rows.append(
            [jnp.pad(scale * part, pad) for part in (sine**block * inner, slope, power * inner)]
        )
        measure = measure * (dim - 1 + 2 * block) / (dim + 2 * block)
    return Features(*(jnp.stack(part) for part in zip(*rows, strict=True)))
