r"""The velocity of m neurons on examples: what `mflib.drift` is for a population (chapter 11).

    ν̂_i = −P_{w_i} (1/n) Σ_x (f(x) − y) s_i σ'(w_i·x) x = −m P_{w_i} ∇_{w_i} L̂,    L̂ = (1/2n) Σ_x (f(x) − y)²

Examples are taken a block at a time, so that beside the data only a few numbers for each pair of a
neuron and an example of one block exist at once.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .mesh import map_rows
from .sphere import tangent
from .tasks import Task

# Numbers in one (examples × neurons) product: 8 MB in float32, about what a core's caches hold.
_PAIRS = 2**21


def outputs(
    task: Task, particles: Float[Array, "m d"], inputs: Float[Array, "n d"]
) -> Float[Array, " n"]:
    """f(x) at the inputs (n, d)."""
    signs = task.signs(particles.shape[0], particles.dtype)

    def block(x: Float[Array, "b d"]) -> Float[Array, " b"]:
        z = jnp.matmul(x, particles.T, precision="highest")
        return jnp.matmul(task.activation(z), signs, precision="highest") / signs.size

    return map_rows(block, inputs, _rows(particles), None)


def empirical_loss(
    task: Task,
    particles: Float[Array, "m d"],
    inputs: Float[Array, "n d"],
    labels: Float[Array, " n"],
) -> Float[Array, ""]:
    """L̂ = (1/2n) Σ_x (f(x) − y)²."""
    return 0.5 * jnp.mean((outputs(task, particles, inputs) - labels) ** 2)


def empirical_drift(
    task: Task,
    particles: Float[Array, "m d"],
    inputs: Float[Array, "n d"],
    labels: Float[Array, " n"],
) -> Float[Array, "m d"]:
    """ν̂_i of every particle, from n examples; each row tangent to the sphere."""
    signs = task.signs(particles.shape[0], particles.dtype)

    def block(x, y):
        z = jnp.matmul(x, particles.T, precision="highest")
        value, slope = jax.jvp(task.activation, (z,), (jnp.ones_like(z),))
        residual = jnp.matmul(value, signs, precision="highest") / signs.size - y
        return jnp.matmul((residual[:, None] * slope).T, x, precision="highest")

    total = sum_over_blocks(block, (inputs, labels), _rows(particles))
    return tangent(particles, -signs[:, None] * total / inputs.shape[0])


def _rows(particles: Float[Array, "m d"]) -> int:
    return max(1, _PAIRS // particles.shape[0])


def sum_over_blocks(fn, data: tuple, rows: int) -> Float[Array, "..."]:
    """The sum of fn over blocks of at most `rows` rows of each part of the data, which is not copied."""
    n = data[0].shape[0]
    if rows >= n:
        return fn(*data)

    def block(i):
        return fn(*(jax.lax.dynamic_slice_in_dim(part, i * rows, rows) for part in data))

    shape = jax.eval_shape(block, 0)
    zero = jnp.zeros(shape.shape, shape.dtype)
    total = jax.lax.fori_loop(0, n // rows, lambda i, sum_: sum_ + block(i), zero)
    left = n % rows
    return total + fn(*(part[n - left :] for part in data)) if left else total


@eqx.filter_jit
def path_losses(
    task: Task,
    inputs: Float[Array, "n d"],
    labels: Float[Array, " n"],
    path: Float[Array, "T m d"],
) -> Float[Array, " T"]:
    """L̂ of every saved state."""
    return jax.lax.map(lambda w: empirical_loss(task, w, inputs, labels), path)
