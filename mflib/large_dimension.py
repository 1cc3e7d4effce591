r"""The exact 1/m law for d → ∞ at a fixed fraction of training (chapter 9).

Let k ≥ 3 be the information exponent of a well-specified problem, c its coefficient, s = t/d^{(k−2)/2}.
Particles leave the equator one by one: z = √d·α obeys dz/ds = q k c² z^{k−1}, q the fraction left. On the
clock dτ = q ds a particle leaves at τ = 1/(k(k−2) c² |z_0|^{k−2}), z_0 standard normal, so that

    q = P(leaves after τ) = erf( (k(k−2) c² τ)^{−1/(k−2)} / √2 ).

m particles leave at m independent such τ: their empirical q is q + B/√m with B a Brownian bridge,
Cov(B_τ, B_τ') = q(max) − q(τ) q(τ'), and their delays in s are −A/√m, A = ∫ B/q² dτ. With P = Σ_{k≥1} c_k²
the power of σ about its mean, q̇ = dq/ds, W = ∫_0^s ds/q and Var A = 2∫_0^s W ds − s²,

    lim m E‖u‖² = P · ( q + Var[B + q̇ A] ) = P · ( q + q (1−q) + 2 q̇ q (W−s) + q̇² Var A ),
    lim m E‖Δ‖² / d^{(k−2)/2} = −P q̇ q Var A.

The first term is the noise of those still at the equator, the second how many left too early or too late:
nothing in it knows d.
"""

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.integrate import cumulative_simpson
from scipy.special import erf

from ._check import Values, require
from .hermite import Activation

# Nodes in τ; halving them changes neither law by more than 1e-7 for k = 3, 4, 6, 8 and s ≤ 0.3.
_NODES = 8001


class LargeDimensionLaw(eqx.Module):
    """At `scaled_times` s (S,): `left` q, limits `function`, and `displacement` over d^{(k−2)/2}."""

    scaled_times: Float[np.ndarray, " S"]
    left: Float[np.ndarray, " S"]
    function: Float[np.ndarray, " S"]
    displacement: Float[np.ndarray, " S"]


def large_dimension_law(activation: Activation, scaled_times: Values) -> LargeDimensionLaw:
    r"""The two laws for d → ∞ at $s = t/d^{(k−2)/2}$ (½-loss clock), φ = σ.

    For even σ and the uniform start, or odd σ started on the hemisphere w·w* > 0.

    **Raises** `ValueError` unless σ is even or odd, of lowest degree ≥ 3 but for a constant, and the
    times are a 1-d array of finite numbers ≥ 0.
    """
    degrees = sorted(k for k in activation.present if k > 0)
    require(
        activation.parity != "mixed" and bool(degrees) and degrees[0] >= 3,
        "activation",
        "even or odd, of lowest degree ≥ 3",
        f"degrees {degrees}",
    )
    wanted = np.asarray(scaled_times, float)
    valid = (
        wanted.ndim == 1 and wanted.size > 0 and bool(np.all(np.isfinite(wanted) & (wanted >= 0)))
    )
    require(valid, "scaled_times", "a non-empty 1-d array of finite numbers ≥ 0", scaled_times)
    coefficients = np.asarray(activation.coefficients, float)
    k, power = degrees[0], np.sum(coefficients[1:] ** 2)
    rate = k * (k - 2) * coefficients[k] ** 2
    # q ≤ 1, so τ ≤ s. Equal steps while q falls, and then of equal ratios: late times cost early ones nothing.
    fast = 50 * rate
    tau = np.sinh(np.linspace(0, np.arcsinh(fast * max(wanted.max(), 1e-9)), _NODES)) / fast
    # All of q happens at y < 40; the bound keeps τ = 0 finite.
    y = np.minimum((rate * np.maximum(tau, 1e-300)) ** (-1 / (k - 2)), 40.0)
    q = erf(y / np.sqrt(2))
    density = np.sqrt(2 / np.pi) * np.exp(-(y**2) / 2)
    fall = -density * y / ((k - 2) * np.maximum(tau, 1e-300)) * q
    # dτ = q ds.
    s, W = (cumulative_simpson(row, x=tau, initial=0) for row in (1 / q, 1 / q**2))
    delay = 2 * cumulative_simpson(W / q, x=tau, initial=0) - s**2
    function = q + q * (1 - q) + 2 * fall * q * (W - s) + fall**2 * delay
    displacement = -fall * q * delay
    rows = (np.interp(wanted, s, row) for row in (q, power * function, power * displacement))
    return LargeDimensionLaw(wanted, *rows)
