r"""Self-concordance: the local Hessian against the relative speed (chapter 7).

λ_max(D_t) ≤ C d(log α)/dt + κ_t  for every particle    ⇒    ‖J_{t,s}‖ ≤ (α_t/α_s)^C exp ∫_s^t κ.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, require
from .hessian import local_hessian
from .mean_field import MeanField
from .sphere import legendre_derivative


class SelfConcordance(eqx.Module):
    r"""The local Hessian against the relative speed, over all overlaps and the times of a solve.

    **Attributes**

    - `times` (T,).
    - `constant`: the supremum over particles and times of $λ_{\max}(D_t)/|d(\log α)/dt|$, taken
      where $λ_{\max}$ exceeds `resolution`; infinite where such a particle stands still.
    - `resolution`: what the error of the solve leaves undecided of a Hessian. A smaller `tol` of the
      solve makes it smaller.
    - `time`, `overlap`: where it is attained.
    - `exponent`: the constant C asked for in what follows.
    - `slack` (T,): the least $κ_t ≥ 0$ with $λ_{\max}(D_t) ≤ C\,d(\log α)/dt + κ_t$ for every
      particle, so that $‖J_{t,s}‖ ≤ (α_t/α_s)^C \exp ∫_s^t κ$.
    """

    times: Float[Array, " T"]
    constant: float
    resolution: float
    time: float
    overlap: float
    exponent: float
    slack: Float[Array, " T"]


def self_concordance(
    mean_field: MeanField, *, exponent: Scalar | None = None, points: int = 4000
) -> SelfConcordance:
    r"""The self-concordance constant of a solved limit (chapter 7), and what a given one leaves over.

    Every overlap is occupied at every time, so the supremum is taken over all of (0, 1) (of (−1, 1)
    if the problem is not even), on `points` overlaps equally spaced in $\log\tan φ$ from
    $10^{-6}/√d$; a change of sign of the speed between two of them, where the Hessian is positive,
    makes the constant infinite. `exponent`: C; `None`: $k^*−1$, the value for large d.

    **Raises** `ValueError` unless `exponent` ≥ 0 and `points` ≥ 100.
    """
    problem = mean_field.problem
    exponent = problem.information_exponent - 1 if exponent is None else exponent
    require(exponent >= 0, "exponent", "non-negative", exponent)
    require(points >= 100, "points", "at least 100", points)
    # From z = 1e-6 to 1 − α² = 1e-8.
    x = np.linspace(np.log(1e-6 / np.sqrt(float(problem.dim))), 9.0, points)
    alpha = jnp.exp(-0.5 * jnp.logaddexp(0.0, -2 * jnp.asarray(x, mean_field.times.dtype)))
    if not problem.even:
        alpha = jnp.concatenate([-alpha[::-1], alpha])
    where = jnp.broadcast_to(alpha, (mean_field.times.size, alpha.size))
    found = local_hessian(problem, mean_field, where)
    largest = jnp.maximum(found.parallel, found.perpendicular)
    relative = found.relative_speed
    slack = jnp.max(jnp.maximum(largest - exponent * relative, 0.0), axis=1)
    repulsion, _ = problem.harmonics()
    steepest = legendre_derivative(1.0, repulsion.size - 1, float(problem.dim), order=2)
    # 1e5 spacings: where Hessian and speed are both nearly zero, rounding must not make their ratio.
    rounding = 1e5 * float(jnp.finfo(repulsion.dtype).eps)
    unsure = max(10 * float(mean_field.error), rounding)
    resolution = unsure * float(repulsion @ steepest)
    growing = largest > resolution
    ratio = jnp.where(growing, largest / jnp.abs(relative), 0.0)
    # The speed passes through zero between two points of one side, both with a positive Hessian.
    same_side = alpha[1:] * alpha[:-1] > 0
    stands = (relative[:, 1:] * relative[:, :-1] <= 0) & growing[:, 1:] & growing[:, :-1]
    ratio = ratio.at[:, 1:].set(jnp.where(stands & same_side, jnp.inf, ratio[:, 1:]))
    row, column = np.unravel_index(int(jnp.argmax(ratio)), ratio.shape)
    return SelfConcordance(
        times=mean_field.times,
        constant=float(ratio[row, column]),
        resolution=resolution,
        time=float(mean_field.times[row]),
        overlap=float(alpha[column]),
        exponent=float(exponent),
        slack=slack,
    )
