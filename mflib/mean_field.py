r"""Infinite width, exactly: the one-dimensional flow of a single-index model (chapter 3).

From the uniform start, the law of infinitely many particles stays invariant under the rotations that
fix w*, so that it is known through the law of the overlap α = w·w* alone, and through it by the moments
p_k(t) = E P_k(α_t):

    α̇ = (1−α²) V_t'(α),   V_t = Σ_k (τ_k − a_k p_k(t)) P_k,
    L(t) = ½ [ ‖f*‖² − 2 Σ τ_k p_k + Σ a_k p_k² ].

Two discretisations: the label map (`mflib.eulerian`) for even problems, a few hundred nodes for any
d and time; nodes that move (`mflib.lagrangian`) for every other.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Values, check_times, check_tolerance, is_traced, require
from .disk import DiskMeanField, solve_disk
from .eulerian import solve_labels
from .integrate import SolverError
from .labels import Labels
from .lagrangian import law_moments, solve_nodes, staircase
from .multi_index import MultiIndex
from .problem import SingleIndex
from .sphere import overlap_quadrature

# Label map: (nodes per panel, local error of a label). Measured for k* = 2, 4, 6, 8 and d = 16 … 1024,
# the loss is in error by 1.5 times the second number at most, the first being large enough not to
# matter; so each level is five times as accurate as the one before (chapter 3).
_LEVELS = ((10, 3e-6), (12, 3e-7), (14, 3e-8), (16, 3e-9), (18, 3e-10), (20, 3e-11))
# Moving nodes: first count and last; the last keeps d = 10^6 within a minute on two cores.
_NODES = (1024, 16384)


class MeanField(eqx.Module):
    r"""The infinite-width limit at the times asked for (½-loss clock).

    **Attributes**

    - `problem`: the `SingleIndex` solved.
    - `times` (T,); `loss` (T,), L(t); `moments` (T, K+1), $p_k(t) = E P_k(α_t)$.
    - `error`: estimated largest error of `loss` over `times`.
    - `weights` (N,), summing to 1, and `overlaps` (T, N): a fixed-weight quadrature of the initial law
      and where its nodes are at each time, each on its exact trajectory. Nodes lie in (0, 1] for even
      problems (±w move alike), else in (−1, 1).
    - `quadrature_error`: largest |L − L computed from `weights` and `overlaps`|. `loss` and `moments`
      are *not* limited by it for even problems.
    - `initial_overlaps` (N,): where the nodes of that quadrature start, at time 0.
    - `labels`: the label map behind an even problem (`mflib.labels.Labels`), else None.
    - `rtol`: tolerance with which `transport` follows particles where there is no label map.
    - `hemisphere`: whether the particles start on the half w·w* > 0 only.
    """

    problem: SingleIndex
    times: Float[Array, " T"]
    loss: Float[Array, " T"]
    moments: Float[Array, "T k"]
    overlaps: Float[Array, "T N"]
    weights: Float[Array, " N"]
    initial_overlaps: Float[Array, " N"]
    error: Float[Array, ""] | float
    quadrature_error: Float[Array, ""] | float
    labels: Labels | None
    rtol: float = eqx.field(static=True)
    hemisphere: bool = eqx.field(static=True, default=False)

    def transport(self, overlaps0: Values) -> Float[Array, "T n"]:
        r"""Overlaps at `times` of the particles that start at overlaps `overlaps0` (n,).

        Any particle, of either sign, carried by the same limit; the rest of its position never
        changes: $ξ_t(w) = α_t w^* + \sqrt{1−α_t^2}\, ω$, with ω the direction of its part orthogonal
        to w*.

        **Raises** `ValueError` unless `overlaps0` is a 1-d array in [−1, 1].
        """
        overlaps0 = jnp.asarray(overlaps0, self.times.dtype)
        require(overlaps0.ndim == 1, "overlaps0", "a 1-d array", f"shape {overlaps0.shape}")
        if not is_traced(overlaps0):
            worst = float(jnp.max(jnp.abs(overlaps0))) if overlaps0.size else 0.0
            require(worst <= 1, "overlaps0", "overlaps in [−1, 1]", worst)
        if self.labels is not None:
            return self.labels.positions(overlaps0)
        attraction, repulsion, dim = _constants(self.problem, self.times.dtype)
        return solve_nodes(
            attraction,
            repulsion,
            dim,
            self.times,
            self.initial_overlaps,
            self.weights,
            overlaps0,
            rtol=self.rtol,
            max_steps=_MAX_STEPS,
            progress=False,
        ).tracers


_MAX_STEPS = 1_000_000


def solve_mean_field(
    problem: SingleIndex | MultiIndex,
    times: Values,
    *,
    nodes: Any = None,
    tol: float = 1e-5,
    hemisphere: bool = False,
    max_steps: int = _MAX_STEPS,
    progress: bool = False,
) -> MeanField | DiskMeanField:
    r"""Solve the infinite-width limit from the uniform law at time 0, at `times` (½-loss clock).

    **Arguments**

    - `problem`: a `SingleIndex`; its `dim` may be traced if `nodes` is given, so that the solve can be
      mapped over d with `jax.vmap`. A new d never recompiles. Or a `MultiIndex`: solved on the disk
      (`mflib.disk.solve_disk`, which says what `nodes` and `tol` are there) if r = 2, and as the
      single-index problem that it is if r = 1.
    - `times`: (T,) strictly increasing, ≥ 0.
    - `nodes`: N, the size of the quadrature `.weights`, `.overlaps`; a multiple of 16, ≥ 32. `None`:
      doubled until the errors below meet `tol` (or the largest size is reached: then read `.error`).
    - `tol`: accuracy of the loss. Even problems refine the label map until two levels differ by less;
      `.error` is that difference, so it belongs to the coarser of the two. Other problems compare N
      and N/2 nodes.
    - `hemisphere`: start from the uniform law on the half w·w* > 0 instead; `problem` must not be even
      (where ±w move alike, both starts have the same limit).
    - `progress`: shows a progress bar for each level.

    **Raises** `ValueError` for bad arguments (times, nodes, tol below what the dtype can give) and
    `SolverError` if a solve does not complete.
    """
    if isinstance(problem, MultiIndex):
        if problem.r > 1:
            require(not hemisphere, "hemisphere", "False for several directions", hemisphere)
            options = {"max_steps": max_steps, "progress": progress}
            return solve_disk(problem, times, nodes=nodes, tol=tol, **options)
        problem = problem.single_index()
    times = check_times(times)
    # 1e3 spacings: 1e-4 in float32, where labels of size 10 leave a step no more than that.
    check_tolerance(tol, "tol", max(1e3 * float(np.finfo(times.dtype).eps), 1e-11), times.dtype)
    even = problem.even
    traced = is_traced(problem)
    require(
        nodes is None or (isinstance(nodes, int | np.integer) and nodes >= 32 and nodes % 16 == 0),
        "nodes",
        "None or a multiple of 16, at least 32",
        nodes,
    )
    require(not (traced and nodes is None), "nodes", "given when `dim` is traced", nodes)
    require(not (even and hemisphere), "hemisphere", "False for an even problem", hemisphere)
    options = {"max_steps": max_steps, "progress": progress}
    if not even:
        return _by_nodes(problem, times, nodes, tol, hemisphere, **options)
    try:
        solved = _by_labels(problem, times, nodes, tol, traced, **options)
    except SolverError:
        return _by_nodes(problem, times, nodes, tol, **options)
    if traced or solved.error <= tol:
        return solved
    # A potential with an attractor inside (0, 1) tears the label map; there the forward map is smooth.
    moved = _by_nodes(problem, times, nodes, tol, **options)
    return moved if moved.error < solved.error else solved


def _constants(problem: SingleIndex, dtype):
    """(τ_k, a_k, d) in the dtype of the solve."""
    repulsion, attraction = problem.harmonics()
    return attraction.astype(dtype), repulsion.astype(dtype), jnp.asarray(problem.dim, dtype)


def _loss(problem: SingleIndex, moments: Float[Array, "T k"]) -> Float[Array, " T"]:
    attraction, repulsion, _ = _constants(problem, moments.dtype)
    power = problem.target_power.astype(moments.dtype)
    return 0.5 * (power - 2 * moments @ attraction + moments**2 @ repulsion)


def _unfold(problem: SingleIndex, moments: Float[Array, "T k"]) -> Float[Array, "T k"]:
    """Moments of α from those of |α|: a law that stays even has no odd ones."""
    return moments.at[:, 1::2].set(0.0) if problem.even else moments


def _gap(first: Float[Array, " T"], second: Float[Array, " T"]):
    """Largest difference, as a number where it can be one."""
    worst = jnp.max(jnp.abs(first - second))
    return worst if is_traced(worst) else float(worst)


def _by_labels(problem, times, nodes, tol, traced, **options) -> MeanField:
    attraction, repulsion, dim = _constants(problem, times.dtype)

    # A smooth label map takes at most 500 steps at any level; one that tears takes any number.
    options |= {"max_steps": min(options["max_steps"], 1500)}

    # 300 spacings: what is left of a label of size 10 after a few hundred steps.
    floor = 300 * float(np.finfo(times.dtype).eps)

    def level(order, atol):
        found = solve_labels(
            attraction, repulsion, dim, times, order=order, atol=max(atol, floor), **options
        )
        return found, _loss(problem, found.moments)

    # Start where the difference to the next level may already meet tol, not lower.
    first = min(sum(atol > tol for _, atol in _LEVELS), len(_LEVELS) - 2)
    labels, loss = level(*_LEVELS[first])
    error = np.inf
    for settings in _LEVELS[first + 1 :]:
        before, (labels, loss) = loss, level(*settings)
        # At the floor both levels take the same steps: what those leave no longer shows as a
        # difference, and is added as measured, 1.5 times their tolerance.
        last, error = error, _gap(loss, before) + 1.5 * floor * (settings[1] < floor)
        # Levels gain a factor of five; one that gains less than two meets something it cannot resolve.
        if traced or error <= tol or error > 0.5 * last:
            break

    def quadrature(size, every):
        start, weights = overlap_quadrature(size, dim, even=True)
        overlaps = labels.every(every).positions(start)
        moments = law_moments(overlaps, weights, repulsion.size - 1, dim)
        return start, weights, overlaps, _gap(_loss(problem, moments), loss[::every])

    sizes = _doublings(nodes)
    for size in sizes:
        # A few of the times first, with a margin for the others: positions at all of them cost as
        # much as the solve.
        if size != sizes[-1] and quadrature(size, max(1, times.size // 8))[-1] > 0.1 * tol:
            continue
        start, weights, overlaps, quadrature_error = quadrature(size, 1)
        if traced or quadrature_error <= tol:
            break
    return MeanField(
        problem=problem,
        times=times,
        loss=loss,
        moments=_unfold(problem, labels.moments),
        overlaps=overlaps,
        weights=weights,
        initial_overlaps=start,
        error=error,
        quadrature_error=quadrature_error,
        labels=labels,
        rtol=tol,
    )


def _by_nodes(problem, times, nodes, tol, hemisphere=False, **options) -> MeanField:
    attraction, repulsion, dim = _constants(problem, times.dtype)
    floor = 100 * float(np.finfo(times.dtype).eps)
    rtol = max(0.03 * tol, floor)

    def solve(size, rtol):
        start, weights = overlap_quadrature(size, dim, even=problem.even or hemisphere)
        none = jnp.zeros(0, times.dtype)
        found = solve_nodes(
            attraction, repulsion, dim, times, start, weights, none, rtol=rtol, **options
        )
        return start, weights, found, _loss(problem, found.moments)

    sizes = _doublings(nodes)
    # N/2 nodes, or 2N where N/2 are too few for the rule.
    other = sizes[0] // 4 * 2 if sizes[0] >= 64 else 64
    coarse = solve(other, 10 * rtol)[-1]
    for size in sizes:
        start, weights, found, loss = solve(size, rtol)
        error = _gap(loss, coarse) + _scalar(staircase(found.overlaps, weights))
        if is_traced(error) or error <= tol:
            break
        coarse = loss
    return MeanField(
        problem=problem,
        times=times,
        loss=loss,
        moments=_unfold(problem, found.moments),
        overlaps=found.overlaps,
        weights=weights,
        initial_overlaps=start,
        error=error,
        quadrature_error=error,
        labels=None,
        rtol=rtol,
        hemisphere=hemisphere,
    )


def _doublings(nodes: int | None) -> list[int]:
    """The node counts to try: the one given, or all from the first to the last by doubling."""
    if nodes is not None:
        return [int(nodes)]
    first, last = _NODES
    return [first << k for k in range((last // first).bit_length())]


def _scalar(value):
    return value if is_traced(value) else float(value)
