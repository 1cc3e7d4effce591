"""The constants of the cost model `mflib.form`, in flops of a large matrix product."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.jobs import network
from benchmarks.measure import Measured, compare, compiled
from mflib import form
from mflib.drift import drift
from mflib.form import Form


def constants(quick: bool) -> Iterator[Measured]:
    """What is left of each time when the flops of its matrix products are taken off."""
    side, scale = (512, 8) if quick else (4096, 1)
    matrix = jax.random.normal(jax.random.key(1), (side, side), jnp.float32)
    product = "matrix product"
    # For each constant a case in which it decides: (m, d, form, what is counted).
    m = 16384 // scale
    problem = network(1, 16)[0]
    cases = {
        "PAIR": (m, 16, Form("tiled", 2048)),
        "GATHER": (8 * m, 16, Form("moments", 2048)),
        "CALL": (4096 // scale, 16, Form("tiled", 16)),
    }
    made = {product: compiled(partial(jnp.matmul, precision="highest"), matrix, matrix)[0]}
    for name, (width, dim, shape) in cases.items():
        _, w = network(width, dim)
        made[name] = compiled(lambda v, shape=shape: drift(problem, v, shape), w)[0]

    numbers = jnp.zeros(2**26 // scale**2, jnp.float32)
    made["copy"] = compiled(lambda x: x + 1, numbers)[0]

    def found(name: str, ratio: float) -> dict[str, float]:
        if name == product:
            return {}
        if name == "copy":  # read and written: flops of a product in the time of one byte
            return {"flops_per_byte": ratio * 2 * side**3 / (2 * numbers.nbytes)}
        width, dim, shape = cases[name]
        total = ratio * 2 * side**3
        known = getattr(form, name)
        cost = form.costs(problem, width, dim, shape.block)[shape.kernel]
        setattr(form, name, 0.0)
        rest = form.costs(problem, width, dim, shape.block)[shape.kernel]
        setattr(form, name, known)
        return {"constant": (total - rest) / ((cost - rest) / known), "in_use": known}

    yield from compare(
        "0 constants",
        "h4, float32",
        made,
        3 if quick else 7,
        reference=product,
        sizes={},
        extra=found,
    )
