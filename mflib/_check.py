"""Argument checks shared by every public function.

A value that JAX is tracing (under ``jit`` or ``vmap``) has no value to look at: only its shape is
checked, so that solvers can still be mapped over numeric arguments that do not decide the program.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Shaped

# What public functions accept. Their shapes and values are checked when they are called, with an error
# that says more than a type checker's; internal functions carry exact shapes instead.
Scalar = int | float | np.number | Shaped[Array, ""]
Values = ArrayLike | Sequence


def is_traced(*values: Any) -> bool:
    """Whether any leaf of `values` is an abstract value inside a JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def require(condition: Any, argument: str, expected: str, got: Any) -> None:
    """Raise ``ValueError`` naming the argument, what was expected and what came, unless met."""
    if not condition:
        raise ValueError(f"`{argument}` must be {expected}; got {got}.")


def check_dim(dim: Any, argument: str = "dim") -> None:
    """A dimension is a single finite number d ≥ 3; below that the sphere has no interior overlaps."""
    require(np.shape(dim) == (), argument, "a single number", f"shape {np.shape(dim)}")
    if not is_traced(dim):
        number = np.issubdtype(np.asarray(dim).dtype, np.number)
        require(number, argument, "a number", repr(dim))
        require(np.isfinite(dim) and dim >= 3, argument, "at least 3", dim)


def check_times(times: Any) -> Float[Array, " T"]:
    """Return `times` as a 1-d array of strictly increasing, finite, non-negative numbers."""
    times = jax.numpy.asarray(times, dtype=jax.numpy.result_type(float))
    require(times.ndim == 1 and times.size > 0, "times", "a non-empty 1-d array", times.shape)
    if not is_traced(times):
        values = np.asarray(times)
        require(np.isfinite(values).all(), "times", "finite", values)
        require(values[0] >= 0, "times", "non-negative", f"times[0] = {values[0]:g}")
        step = np.diff(values)
        bad = int(np.argmin(step)) if step.size else 0
        require(
            (step > 0).all(),
            "times",
            "strictly increasing",
            f"times[{bad}] = {values[bad]:g}, times[{bad + 1 if step.size else bad}] = "
            f"{values[bad + 1 if step.size else bad]:g}",
        )
    return times


def check_tolerance(value: Any, argument: str, floor: float, dtype: Any) -> None:
    """A tolerance lies in [floor, 1): below `floor` rounding in `dtype` decides, not the solver."""
    if is_traced(value):
        return
    require(np.isscalar(value) or np.shape(value) == (), argument, "a single number", value)
    require(
        np.isfinite(value) and floor <= value < 1,
        argument,
        f"in [{floor:.3g}, 1) for {np.dtype(dtype).name} (tighter needs float64: "
        "jax.config.update('jax_enable_x64', True))",
        value,
    )
