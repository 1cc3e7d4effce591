"""What is timed: one function for each candidate, given its sizes, that returns a call without arguments."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import mflib
from mflib.drift import loss
from mflib.form import Form
from mflib.sphere import tangent


def quartic() -> mflib.Activation:
    """σ = h_4, with coefficients in the precision that is on when it is made."""
    return mflib.Activation([0, 0, 0, 0, 1])


def network(m: int, dim: int, dtype: Any = jnp.float32):
    """(σ = h_4 in dimension d, m particles from the uniform start)."""
    start = mflib.sample_sphere(jax.random.key(0), m, dim)
    return mflib.SingleIndex(dim, quartic()), start.astype(dtype)


def autodiff(m: int, dim: int) -> Callable:
    """−m P ∇L of the dense loss, the gradient by JAX."""
    problem, _ = network(1, dim)

    def velocity(w):
        return -m * tangent(w, jax.grad(lambda v: loss(problem, v, Form("dense", m)))(w))

    return velocity


def torch_autograd(m: int, dim: int) -> Callable[[], Any]:
    """The same by PyTorch. Raises ImportError without it."""
    import torch

    w = torch.tensor(np.asarray(network(m, dim)[1]), requires_grad=True)

    def velocity():
        w.grad = None
        # ½ [1 − 2 mean F + mean g] with F(s) = g(s) = s⁴
        (0.5 * (1 - 2 * (w[:, 0] ** 4).mean() + ((w @ w.T) ** 4).mean())).backward()
        with torch.no_grad():
            gradient = w.grad
            return -m * (gradient - (w * gradient).sum(dim=1, keepdim=True) * w)

    return velocity


def infinite_width(dim: int, tol: float) -> Callable[[], Any]:
    """The limit until its loss is 0.1, to an estimated error of the loss."""
    problem, times = _until(dim)
    return lambda: mflib.solve_mean_field(problem, times, tol=tol)


def finite_width(m: int, dim: int, seed: int = 0) -> Callable[[], Any]:
    """A network over the same times."""
    problem, times = _until(dim)
    start = mflib.sample_sphere(jax.random.key(seed), m, dim)
    return lambda: jax.block_until_ready(mflib.solve_network(problem, start, times, rtol=1e-4))


def law(dim: int, tol: float) -> Callable[[], Any]:
    """The 1/m law over the same times."""
    problem, times = _until(dim)
    return lambda: mflib.fluctuation_law(problem, times[1:], tol=tol)


def gap(m: int, dim: int, seed: int = 0) -> Callable[[], Any]:
    """One network beside its limit, which is solved once for all seeds."""
    problem, times = _until(dim)
    path = _path(dim)
    start = mflib.sample_sphere(jax.random.key(seed), m, dim)
    return lambda: jax.block_until_ready(
        mflib.measure_gap(problem, start, times, path=path, rtol=1e-4)
    )


@cache
def _path(dim: int):
    problem, times = _until(dim)
    return mflib.moment_path(problem, float(times[-1]))


@cache
def _until(dim: int):
    problem = mflib.SingleIndex(dim, quartic())
    return problem, jnp.linspace(0, mflib.time_to_loss(problem, 0.1), 9)


JOBS = {
    "torch": lambda m, dim: torch_autograd(int(m), int(dim)),
    "limit": lambda dim, tol: infinite_width(int(dim), tol),
    "network": lambda m, dim: finite_width(int(m), int(dim)),
    "law": lambda dim, tol: law(int(dim), tol),
    "gap": lambda m, dim: gap(int(m), int(dim)),
}
