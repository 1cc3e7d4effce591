r"""How long learning takes: escape of one particle, and the time to reach a loss (chapter 4)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import PchipInterpolator

from ._check import Values, require
from .integrate import SolverError
from .mean_field import solve_mean_field
from .problem import SingleIndex, check_single_index


def escape_time(k: int, start: Values, stop: Values) -> Float[Array, "..."]:
    r"""Time in which $\dot α = k α^{k−1}(1−α^2)$ takes an overlap from `start` to `stop`.

    This is a particle of $σ = h_k$ (c_k = 1; divide by c_k² otherwise) before the network has learnt
    anything, by the exact antiderivative of $1/(k α^{k−1}(1−α^2))$ (½-loss clock, chapter 4):

        1/(α^n (1−α²)) = α^{−n} + α^{−n+2} + … + α^{−r} + α^{2−r}/(1−α²),    n = k−1, r ∈ {1, 2}.

    **Raises** `ValueError` unless k ≥ 2 and 0 < start ≤ stop < 1.
    """
    require(isinstance(k, int | np.integer) and k >= 2, "k", "an integer ≥ 2", k)
    start, stop = np.asarray(start, float), np.asarray(stop, float)
    require(np.all((start > 0) & (start <= stop)), "start", "in (0, stop]", start)
    require(np.all(stop < 1), "stop", "below 1", stop)

    def antiderivative(alpha):
        # Odd n ends at α^{−1}, which leaves α/(1−α²); even n at α^{−2}, which leaves 1/(1−α²).
        total = -0.5 * np.log1p(-(alpha**2)) if k % 2 == 0 else np.arctanh(alpha)
        for n in range(k - 1, 0, -2):
            total = total + (np.log(alpha) if n == 1 else alpha ** (1.0 - n) / (1.0 - n))
        return total / k

    return jnp.asarray(antiderivative(stop) - antiderivative(start))


def time_to_loss(problem: SingleIndex, level: float, *, tol: float = 1e-5) -> float:
    r"""First time at which the infinite-width loss falls to `level` (½-loss clock).

    The loss is solved on a geometric grid around $d^{(k^*-2)/2}$, then again on 65 times within the
    interval that brackets `level`; monotone cubic interpolation between those leaves an error below
    that of the solve, about `tol`·|dt/dL|.

    Where the label map of an even problem tears, the loss is that of 32 nodes, good to some $10^{-3}$.

    **Raises** `ValueError` unless 0 < level < L(0) and `SolverError` if the loss is still above it at
    10^4 times the escape scale (a plateau, as for odd activations from the uniform start).
    """
    check_single_index(problem)
    k, dim = problem.information_exponent, float(problem.dim)
    rate = k * abs(float(problem.target_coefficients[k]))
    scale = (np.log(dim) if k <= 2 else dim ** (0.5 * k - 1) / (k - 2)) / rate
    initial = problem.initial_loss
    require(0 < level < initial, "level", f"between 0 and L(0) = {initial:.6g}", level)
    for window in (np.geomspace(1e-2, 1e2, 65), np.geomspace(1e2, 1e4, 65)):
        times = scale * window
        loss = _loss_at(problem, times, tol)
        after = int(np.argmax(loss <= level))
        if loss[after] <= level:
            break
    else:
        raise SolverError(
            f"the loss is still {loss[-1]:.6g} > {level:g} at t = {times[-1]:.4g} (d = {dim:g}, "
            f"k* = {k}). Likely reason: a plateau of the infinite-width loss; choose a higher level."
        )
    # 65 times again: the shape of the first solve, hence nothing new to compile.
    times = np.linspace(times[after - 1] if after else 0.0, times[after], 65)
    return float(PchipInterpolator(-_loss_at(problem, times, tol), times)(-level))


def _loss_at(problem: SingleIndex, times: np.ndarray, tol: float) -> np.ndarray:
    nodes = 32 if problem.even else None
    return np.asarray(solve_mean_field(problem, times, nodes=nodes, tol=tol).loss)
