"""Evaluations of the drift until L = 0.1: adaptive solvers against descent with fixed steps."""

from collections.abc import Iterator

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import mflib
from benchmarks.jobs import quartic
from benchmarks.measure import Measured
from mflib.drift import drift
from mflib.network import Flow, _numeric
from mflib.sphere import normalise

# Each with its smallest tolerance: the second order would need 10^5 evaluations for the last two digits.
SOLVERS = {"Heun": 1e-6, "Bosh3": 1e-7, "Dopri5": 1e-8, "Tsit5": 1e-8, "Dopri8": 1e-8}
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
ROW = "6 steps"


def steps(quick: bool) -> Iterator[Measured]:
    """The error is the root mean square over particles of the distance to a solve at rtol = 1e-11."""
    with jax.enable_x64(True):
        mixed = mflib.Activation([0, 0, 0, 0.6, 0, 0.8])
        hemisphere = {"hemisphere": True}
        cases = [("h4", quartic(), 16, {})]
        if not quick:
            cases += [("h4", quartic(), 64, {}), ("0.6 h3 + 0.8 h5", mixed, 16, hemisphere)]
        for name, sigma, dim, where in cases:
            m = 64 if quick else 256
            yield from _case(f"{name}, d = {dim}, m = {m}", sigma, dim, m, where, quick)


def _case(case, sigma, dim, m, where, quick) -> Iterator[Measured]:
    problem = mflib.SingleIndex(dim, sigma)
    start = mflib.sample_sphere(jax.random.key(0), m, dim, **where)
    flow = Flow(_numeric(problem), mflib.form.Form("dense", m))
    until = _time_to(problem, start, 0.1)
    best = _solve(diffrax.Dopri8(), flow, start, until, 1e-11)[0]
    for solver in ("Tsit5",) if quick else SOLVERS:
        for rtol in TOLERANCES[2:4] if quick else TOLERANCES:
            if rtol < SOLVERS[solver]:
                continue
            state, count = _solve(getattr(diffrax, solver)(), flow, start, until, rtol)
            extra = {"rtol": rtol, "evaluations": count, "error": _distance(state, best)}
            yield Measured(ROW, case, f"{solver}, rtol = {rtol:.0e}", None, extra=extra)
    # First order: error × steps tends to a constant.
    for n in (250, 1000, 4000)[: 2 if quick else 3]:
        error = _distance(_descend(problem, start, jnp.asarray(until / n), jnp.asarray(n)), best)
        extra = {"evaluations": n, "error": error, "error_times_evaluations": n * error}
        yield Measured(ROW, case, f"descent, {n} steps", None, extra=extra)


def _time_to(problem, start, level: float) -> float:
    """The first of 400 times at which the loss of these m neurons is below `level`."""
    horizon = 4 * float(problem.dim) ** (problem.information_exponent / 2 - 1)
    times = np.linspace(0, horizon, 400)
    losses = np.asarray(mflib.solve_network(problem, start, times, rtol=1e-8).loss)
    reached = np.flatnonzero(losses <= level)
    if not reached.size:
        raise RuntimeError(f"the loss is {losses[-1]:.3f} at t = {horizon:.1f}, not yet {level}")
    return float(times[reached[0]])


def _solve(solver, flow, start, until, rtol):
    """(particles at the end, how often the flow was evaluated: counted, not calculated)."""
    evaluations = []

    def field(t, w, args):
        jax.debug.callback(lambda: evaluations.append(1))
        return flow(t, w)

    @jax.jit
    def run(w, rtol):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            solver,
            0.0,
            until,
            None,
            w,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol / w.shape[1] ** 0.5),
            max_steps=None,
        ).ys[-1]

    state = jax.block_until_ready(run(start, jnp.asarray(rtol)))
    jax.effects_barrier()
    return normalise(state), len(evaluations)


@eqx.filter_jit
def _descend(problem, start, step, count):
    def body(_, w):
        return normalise(w + step * drift(problem, w))

    return jax.lax.fori_loop(0, count, body, start)


def _distance(first, second) -> float:
    return float(jnp.sqrt(jnp.mean(jnp.sum((first - second) ** 2, axis=1))))
