r"""The velocity of m neurons: the hot loop (chapter 1), in three forms of the same sum (chapter 14).

    ν_i = P_{w_i} [ F'(w_i·w*) w* − (1/m) Σ_j g'(w_i·w_j) w_j ] = −m P_{w_i} ∇_{w_i} L_m

and Σ_n a_n F'(w_i·v_n) v_n in place of F'(w_i·w*) w* where the target has several directions. The sum over
j is dense (an m×m buffer, the reference), by tiles of which half are needed (`mflib.kernels`), or
through moments of the particles (`mflib.moments`); `mflib.form` says which is the fastest.
"""

import equinox as eqx
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ._check import Values
from .form import Form, choose
from .hermite import differentiate, polynomial
from .kernels import interaction, tiled, tiled_sum
from .mesh import map_rows, total_over_rows
from .moments import from_moments, interaction_degrees, mean_kernel, moments, weighted
from .problem import Problem, check_particles
from .sharded import sharded_interaction, sharded_sum
from .sphere import tangent


def velocity(
    problem: Problem,
    particles: Values,
    *,
    kernel: str | None = None,
    block: int | None = None,
    precision: str = "highest",
) -> Float[Array, "m d"]:
    r"""Mean-field velocity of every particle, ½-loss clock: rows $ν_i$, each tangent at $w_i$.

    **Arguments**

    - `kernel`: `"dense"`, `"tiled"`, `"moments"`, or None for the cheapest by `mflib.form.costs`.
    - `block`: rows (of a tile) handled at once; alone it means tiles, or the dense form from m on.
    - `precision`: of matrix products on a GPU or TPU: `"highest"` is full float32, `"high"` and
      `"default"` are what JAX makes of them there (TF32 for float32 on a GPU: a relative error of
      1e-4 at m = 1024, d = 128 and σ = h_4, emulated in chapter 14). A CPU always computes in full.

    **Raises** `ValueError` for particles not of shape (m, d) or off the sphere, and as `mflib.form.choose`.
    """
    particles = check_particles(problem, particles)
    form = choose(problem, *particles.shape, kernel=kernel, block=block, precision=precision)
    return _velocity(problem, particles, form)


@eqx.filter_jit
def _velocity(problem, particles, form):
    return drift(problem, particles, form)


def drift(
    problem: Problem,
    particles: Float[Array, "m d"],
    form: Form | int | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, "m d"]:
    """`velocity` without its checks, for use inside a compiled solve.

    `form`: a `Form`, or what `block` is for `velocity`; `mesh`: where the particles are.
    """
    form = _form(problem, particles, form)
    slope = differentiate(problem.kernel_coefficients).astype(particles.dtype)
    if form.kernel == "moments":
        degrees = interaction_degrees(problem)
        sums = _moments(degrees, particles, form, mesh)
        matrices = weighted(degrees, slope, sums, particles.shape[1])
        total = map_rows(
            lambda rows: from_moments(degrees, rows, matrices, form.precision),
            particles,
            form.block,
            mesh,
        )
    elif mesh is not None:
        total = sharded_interaction(slope, particles, form.block, form.precision, mesh)
    elif form.kernel == "tiled":
        total = tiled(slope, particles, form.block, form.precision)
    else:
        total = interaction(slope, particles, particles, form.precision)
    total = -total / particles.shape[0]
    return tangent(particles, total.at[:, : problem.r].add(problem.inner_pull(particles)))


def loss(
    problem: Problem,
    particles: Float[Array, "m d"],
    form: Form | int | None = None,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    r"""Population loss $L_m = ½[‖f^*‖^2 − \frac2m Σ_i E f^* σ(w_i·x) + \frac1{m^2} Σ_{ij} g(w_i·w_j)]$."""
    m, dim = particles.shape
    form = _form(problem, particles, form)
    kernel = problem.kernel_coefficients.astype(particles.dtype)
    if form.kernel == "moments":
        degrees = interaction_degrees(problem)
        own = mean_kernel(degrees, kernel, _moments(degrees, particles, form, mesh), dim, m)
    elif mesh is not None:
        own = sharded_sum(kernel, particles, form.block, form.precision, mesh)
    elif form.kernel == "tiled":
        own = tiled_sum(kernel, particles, form.block, form.precision)
    else:
        overlaps = jnp.matmul(particles, particles.T, precision=form.precision)
        own = jnp.mean(polynomial(kernel, overlaps))
    pull = jnp.mean(problem.potential(particles))
    return 0.5 * (problem.target_power.astype(particles.dtype) - 2 * pull + own)


def _form(problem, particles, form):
    if isinstance(form, Form):
        return form
    return choose(problem, *particles.shape, block=form)


def _moments(degrees, particles, form, mesh):
    return total_over_rows(
        lambda rows: moments(degrees, rows, form.precision), particles, form.block, mesh
    )
