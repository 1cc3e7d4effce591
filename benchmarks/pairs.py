"""(1) The drift against the rate of matrix products, (2) against automatic differentiation."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.jobs import autodiff, network, torch_autograd
from benchmarks.measure import Measured, available, compare, compiled
from benchmarks.resident import resident
from mflib.drift import drift
from mflib.form import Form, choose


def rate(quick: bool) -> Iterator[Measured]:
    """Each form counted at 4m²d flops, over the flops a second of a product of two large matrices."""
    m, dim, side = (2048, 32, 512) if quick else (16384, 128, 4096)
    problem, w = network(m, dim)
    matrix = jax.random.normal(jax.random.key(1), (side, side), jnp.float32)
    product = "matrix product"
    made = {product: compiled(partial(jnp.matmul, precision="highest"), matrix, matrix)}
    for form in (Form("dense", m), choose(problem, m, dim, kernel="tiled")):
        made[form.kernel] = compiled(lambda v, form=form: drift(problem, v, form), w)
    flops = dict.fromkeys(made, 4 * m**2 * dim) | {product: 2 * side**3}
    yield from compare(
        "1 rate",
        f"h4, m = {m}, d = {dim}, float32",
        {name: call for name, (call, _) in made.items()},
        3 if quick else 7,
        reference=product,
        sizes={name: (size, "compiled") for name, (_, size) in made.items()},
        extra=lambda name, ratio: {"of_rate": flops[name] / flops[product] / ratio},
    )


def automatic(quick: bool) -> Iterator[Measured]:
    """How many times slower the same velocity is by reverse-mode differentiation of the dense loss."""
    for m, dim in [(512, 16)] if quick else [(16384, 128), (32768, 32)]:
        problem, w = network(m, dim)
        chosen = choose(problem, m, dim)
        ours = f"mflib ({chosen.kernel})"
        call, size = compiled(lambda v, p=problem, form=chosen: drift(p, v, form), w)
        calls, sizes = {ours: call}, {ours: (size, "compiled")}
        case, missing = f"h4, m = {m}, d = {dim}, float32", {}
        call, size = compiled(autodiff(m, dim), w)
        if size < 0.6 * available():
            calls["JAX autodiff"], sizes["JAX autodiff"] = call, (size, "compiled")
        else:
            missing["JAX autodiff"] = f"needs {size / 1e9:.0f} GB"
        try:
            # Five m×m arrays in float32, as its process was seen to grow.
            if 20 * m**2 < 0.6 * available():
                calls["PyTorch autograd"] = torch_autograd(m, dim)
                sizes["PyTorch autograd"] = resident("torch", m, dim)
            else:
                missing["PyTorch autograd"] = f"needs {20 * m**2 / 1e9:.0f} GB"
        except ImportError:
            missing["PyTorch autograd"] = "not installed: pip install 'torch>=2'"
        yield from compare(
            "2 autodiff", case, calls, 3 if quick else 5, reference=ours, sizes=sizes
        )
        for name, why in missing.items():
            yield Measured("2 autodiff", case, name, None, extra={"why": why})
