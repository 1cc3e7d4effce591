r"""The sphere $S^{d−1}$: uniform particles, Legendre polynomials of dimension d, overlap quadrature.

The dimension d may be a traced number everywhere except in `sample_sphere`, where it is a shape.
Formulas: Dai and Xu (2013), chapter 1; chapter 3 of the book derives those that are used.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from ._check import Scalar, Values, check_dim, require


def sample_sphere(
    key: PRNGKeyArray | UInt32[Array, "2"],
    m: int | np.integer,
    dim: int | np.integer,
    *,
    hemisphere: bool = False,
) -> Float[Array, "m d"]:
    """m independent particles, uniform on the unit sphere of R^dim, or on its half w·w* > 0.

    One key may give the same first particles for every m, which couples widths; for draws that are
    independent between widths use `jax.random.fold_in(key, m)`.

    **Raises** `ValueError` if m < 1 or dim is not an integer ≥ 3.
    """
    require(isinstance(m, int | np.integer) and m >= 1, "m", "an integer ≥ 1", m)
    require(isinstance(dim, int | np.integer), "dim", "an integer", dim)
    check_dim(dim)
    w = normalise(jax.random.normal(key, (int(m), int(dim))))
    return w.at[:, 0].set(jnp.abs(w[:, 0])) if hemisphere else w


def normalise(w: Float[Array, "*m d"]) -> Float[Array, "*m d"]:
    """w / ‖w‖, row by row."""
    return w / jnp.linalg.norm(w, axis=-1, keepdims=True)


def tangent(w: Float[Array, "*m d"], v: Float[Array, "*m d"]) -> Float[Array, "*m d"]:
    r"""$P_w v = v − (w·v) w$, row by row: the projection on the tangent space at w, ‖w‖ = 1."""
    return v - jnp.sum(w * v, axis=-1, keepdims=True) * w


def legendre(s: Values, degree: int, dim: Scalar) -> Float[Array, "k *s"]:
    r"""Legendre polynomials of dimension d, $P_0(s), …, P_K(s)$, normalised to $P_k(1) = 1$.

    By the recurrence $(k+d−2) P_{k+1} = (2k+d−2) s P_k − k P_{k−1}$, stable on [−1, 1] for every d:
    it never forms the unnormalised Gegenbauer polynomials, which overflow for large d.
    """
    s = jnp.asarray(s, jnp.result_type(float, s))
    rows = [jnp.ones_like(s), s]
    for k in range(1, degree):
        rows.append(((2 * k + dim - 2) * s * rows[k] - k * rows[k - 1]) / (k + dim - 2))
    return jnp.stack(rows[: degree + 1])


def legendre_derivative(
    s: Values, degree: int, dim: Scalar, order: int = 1
) -> Float[Array, "k *s"]:
    r"""The `order`-th derivatives of $P_0, …, P_K$, by $P_k' = \frac{k(k+d−2)}{d−1} P_{k−1}^{(d+2)}$."""
    if order == 0:
        return legendre(s, degree, dim)
    raised = legendre_derivative(s, max(degree - 1, 0), dim + 2, order - 1)
    rows = [jnp.zeros_like(raised[0])]
    for k in range(1, degree + 1):
        rows.append(k * (k + dim - 2) / (dim - 1) * raised[k - 1])
    return jnp.stack(rows)


def legendre_coefficients(monomials: Float[Array, " k"], dim: Scalar) -> Float[Array, " k"]:
    r"""Coefficients $a_k$ with $Σ_n b_n s^n = Σ_k a_k P_k(s)$, from the $b_n$ (`monomials`).

    Horner's rule, with multiplication by s done on coefficients:
    $s P_k = \frac{k+d−2}{2k+d−2} P_{k+1} + \frac{k}{2k+d−2} P_{k−1}$. All factors are positive, so
    nothing cancels: for $b_n ≥ 0$ every $a_k ≥ 0$ (Schoenberg) comes out to full precision.
    """
    k = jnp.arange(monomials.size, dtype=monomials.dtype)
    # At k = 0 and d = 2 the ratio would be 0/0; d ≥ 3 keeps it 1.
    up, down = (k + dim - 2) / (2 * k + dim - 2), k / (2 * k + dim - 2)
    zero = jnp.zeros(1, monomials.dtype)
    a = jnp.zeros_like(monomials)
    for n in range(monomials.size - 1, -1, -1):
        a = jnp.concatenate([zero, (up * a)[:-1]]) + jnp.concatenate([(down * a)[1:], zero])
        a = a.at[0].add(monomials[n])
    return a


def harmonic_count(degree: int, dim: Scalar) -> Float[Array, " k"]:
    r"""$N(d, 0), …, N(d, K)$: the dimensions of the spaces of spherical harmonics.

    By the ratio $N(d,k)/N(d,k−1) = \frac{(2k+d−2)(k+d−3)}{(2k+d−4)k}$ (k ≥ 2), free of factorials.
    """
    dim = jnp.asarray(dim, jnp.result_type(float, dim))
    k = jnp.arange(2, degree + 1, dtype=dim.dtype)
    ratios = (2 * k + dim - 2) * (k + dim - 3) / ((2 * k + dim - 4) * k)
    head = jnp.stack([jnp.ones_like(dim), dim])[: degree + 1]
    return jnp.cumprod(jnp.concatenate([head, ratios]))


# Both ends of the overlap quadrature, in z = √d·α. Below _NEAREST the uniform law has mass 8e-7 (one
# linear panel); above exp(−_TAIL) relative density nothing is left in float64.
_NEAREST, _TAIL = 1e-6, 40.0


def overlap_quadrature(
    nodes: int, dim: Scalar, *, even: bool = False
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    r"""Nodes $α_i$ and weights $ω_i$ (summing to 1) for the overlap of a uniform particle.

    The law of $α = w·w^*$ has density $∝ (1−α^2)^{(d−3)/2}$; with $x = \log\tan φ$, φ the latitude,
    $α = \sin φ$, the panels are equal in x: geometrically graded to the equator on the scale
    $1/√d$, because a particle's escape time depends on $\log α_0$. Up to eight Gauss–Legendre nodes a
    panel. With `even`, nodes lie in (0, 1] only and carry the weight of ±α.

    **Raises** `ValueError` unless `nodes` is ≥ 32, and even if the overlaps are not folded.
    """
    require(nodes >= 32 and (even or nodes % 2 == 0), "nodes", "an even number ≥ 32", nodes)
    dim = jnp.asarray(dim, jnp.result_type(float, dim))
    lower = jnp.log(_NEAREST / jnp.sqrt(dim))
    upper = 0.5 * jnp.log(jnp.expm1(2 * _TAIL / (dim - 1)))
    # One panel, linear in tan φ, from the equator to exp(lower); the others equal in x above it.
    per_side = nodes if even else nodes // 2
    rules = [
        np.polynomial.legendre.leggauss(len(part))
        for part in np.array_split(np.arange(per_side), -(-per_side // 8))
    ]
    g0, gw0 = rules[0]
    steps = len(rules) - 1
    fraction = np.concatenate([(i + (g + 1) / 2) / steps for i, (g, _) in enumerate(rules[1:])])
    share = np.concatenate([gw / 2 / steps for _, gw in rules[1:]])
    tan = jnp.concatenate(
        [jnp.exp(lower) * (g0 + 1) / 2, jnp.exp(lower + (upper - lower) * fraction)]
    )
    measure = jnp.concatenate([jnp.exp(lower) * gw0 / 2, tan[g0.size :] * (upper - lower) * share])
    # cos^{d−2}φ dφ with dφ = cos²φ d(tan φ), in logs: the power underflows on its own terms only.
    weights = measure * jnp.exp(-0.5 * dim * jnp.log1p(tan**2))
    alpha = tan / jnp.sqrt(1 + tan**2)
    if not even:
        alpha = jnp.concatenate([-alpha[::-1], alpha])
        weights = jnp.concatenate([weights[::-1], weights])
    return alpha, weights / jnp.sum(weights)
