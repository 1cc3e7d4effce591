r"""Adaptive time integration: the only file that knows the ODE library (diffrax).

One function for every flow of the book. It saves at the times asked for, shows progress when asked,
and turns a failed solve into an error that says where it failed and what to do; no solver of the
library ever returns NaN.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
from threadpoolctl import threadpool_limits

from ._check import is_traced

_SOLVERS = {
    # Non-stiff, fifth order: particles under their own velocity.
    "explicit": diffrax.Tsit5,
    # L-stable, fifth order: a transport equation whose advection is fast and whose solution is slow.
    # The Newton iteration may stop at a tenth of the step tolerance: halves the steps against the
    # default hundredth at d = 64 and leaves the measured error as it was.
    "implicit": lambda: diffrax.Kvaerno5(
        root_finder=diffrax.with_stepsize_controller_tols(diffrax.VeryChord)(kappa=0.1)
    ),
}


_single = threading.Lock()
_inside = {"solves": 0, "limits": None}


@contextmanager
def _single_thread() -> Iterator[None]:
    """One thread for LAPACK, in the whole process, until the last of the solves that ask for it has left."""
    with _single:
        if not _inside["solves"]:
            _inside["limits"] = threadpool_limits(1, user_api="blas")
        _inside["solves"] += 1
    try:
        yield
    finally:
        with _single:
            _inside["solves"] -= 1
            if not _inside["solves"]:
                _inside["limits"].restore_original_limits()


class SolverError(RuntimeError):
    """A time integration that could not be completed to the accuracy asked for."""


class Trajectory(eqx.Module):
    """States at the times asked for (leading axis T), and the accepted and rejected steps."""

    states: PyTree
    steps: Int[Array, ""]


@eqx.filter_jit
def _run(field, initial, times, rtol, atol, method, max_steps, progress):
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, f: f(t, y)),
        _SOLVERS[method](),
        jnp.zeros_like(times[0]),
        times[-1],
        None,
        initial,
        args=field,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        saveat=diffrax.SaveAt(
            subs={
                "states": diffrax.SubSaveAt(ts=times),
                "reached": diffrax.SubSaveAt(t1=True, fn=lambda t, y, f: t),
            }
        ),
        max_steps=max_steps,
        progress_meter=diffrax.TqdmProgressMeter() if progress else diffrax.NoProgressMeter(),
        throw=False,
    )
    states = solution.ys["states"]
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(states)]))
    completed = (solution.result == diffrax.RESULTS.successful) & finite
    return states, solution.stats["num_steps"], completed, solution.ys["reached"][-1]


def integrate(
    field: Callable[[Float[Array, ""], PyTree], PyTree],
    initial: PyTree,
    times: Float[Array, " T"],
    *,
    rtol: float | Float[Array, ""],
    atol: float | Float[Array, ""],
    context: Mapping[str, Any],
    method: str = "explicit",
    max_steps: int = 100_000,
    progress: bool = False,
) -> Trajectory:
    r"""Integrate $\dot y = \mathrm{field}(t, y)$ from y(0) = `initial`, saving y at `times`.

    `field` is an `equinox.Module` (its arrays are inputs of the compiled solve, so that new values
    do not recompile it). The local error is kept below `atol` + `rtol`·|y| in the root mean square.

    **Raises** `SolverError` with `context` (m, d, …), the time reached, the steps taken and the
    likely fix if the solve stops early or leaves the finite numbers. Under `jit` or `vmap`, where
    Python cannot look at values, the same condition raises JAX's runtime error.
    """
    dtype = times.dtype
    padded = _pad(times, initial)
    # The implicit method factorises small matrices, which LAPACK's threads slow down: 18 times on two
    # busy cores at 160×160. Results are awaited inside, since JAX computes asynchronously.
    with _single_thread() if method == "implicit" else nullcontext():
        states, steps, completed, reached = jax.block_until_ready(
            _run(
                field,
                initial,
                padded,
                jnp.asarray(rtol, dtype),
                jnp.asarray(atol, dtype),
                method,
                max_steps,
                progress,
            )
        )
    if is_traced(completed):
        message = "mflib: the time integration did not complete."
        states = eqx.error_if(states, ~completed, message, on_error="raise")
    elif not completed:
        given = ", ".join(f"{name} = {value}" for name, value in context.items())
        raise SolverError(
            f"the {method} solve stopped at t = {float(reached):.6g} of {float(times[-1]):.6g} "
            f"after {int(steps)} steps ({given}, {dtype.name}). Likely fix: "
            + (
                f"max_steps = {max_steps} was reached: ask for shorter `times`, a looser tolerance "
                "or more `max_steps`."
                if int(steps) >= max_steps
                else "the state left the finite numbers or the step size underflowed: use float64 "
                "(jax.config.update('jax_enable_x64', True)) or a tighter tolerance."
            )
        )
    return Trajectory(jax.tree.map(lambda leaf: leaf[: times.size], states), steps)


def _pad(times: Float[Array, " T"], initial: PyTree) -> Float[Array, " P"]:
    """The last time repeated up to a multiple of eight.

    A solve is compiled for its number of times, in seconds to tens of seconds; so most solves share one.
    Not for large states, of which seven more would be felt.
    """
    if sum(leaf.size for leaf in jax.tree.leaves(initial)) > 2**17:
        return times
    return jnp.concatenate([times, jnp.repeat(times[-1:], -times.size % 8)])
