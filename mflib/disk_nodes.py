r"""Quadrature of the uniform start on the disk: nodes like the seeds of a sunflower (chapter 12).

Of a uniform particle $w = (a, b\,ω)$, $b = e^{−Q/(d−2)}$ with Q exactly exponential, and the angle of a is
uniform. Node i has s = s_0 + i h, where $Q = \exp(s − e^{−s})$ makes the density of s vanish doubly
exponentially at both ends, and an angle of i golden sections of a turn. Such a lattice converges like the
trapezoidal rule for what is smooth, faster than any power of N. And a front of the flow map, whichever way
it runs, crosses the nodes a few at a time: in a grid it would cross a whole line of them at once.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Range of s: outside lies 1e-12 of the law.
_RANGE = (-3.2, 3.45)
_GOLDEN = (np.sqrt(5) - 1) / 2


def disk_nodes(
    nodes: int, dim: Any, *, even: bool
) -> tuple[Float[Array, "3 N"], Float[Array, " N"]]:
    """Nodes (a, b) and weights, summing to 1, for the law of a uniform particle in dimension d.

    With `even`, nodes lie in the half disk a_2 > 0 and carry the weight of ±a.
    """
    dim = jnp.asarray(dim, jnp.result_type(float))
    low, high = _RANGE
    i = np.arange(nodes)
    s = low + (high - low) * (i + 0.5) / nodes
    q = np.exp(s - np.exp(-s))
    weights = q * (1 + np.exp(-s)) * np.exp(-q)
    angle = (np.pi if even else 2 * np.pi) * (_GOLDEN * (i + 0.5) % 1)
    q = jnp.asarray(q, dim.dtype) / (dim - 2)
    size = jnp.sqrt(-jnp.expm1(-2 * q))
    nodes = jnp.stack([size * np.cos(angle), size * np.sin(angle), jnp.exp(-q)])
    return nodes, jnp.asarray(weights / weights.sum(), dim.dtype)
