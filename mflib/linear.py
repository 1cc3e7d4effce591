r"""The gap ODE: the gap to first order, along the infinite-width trajectories (chapter 6).

To first order in Δ, along the infinite-width trajectories ξ_i and with covariant derivatives,

    d/dt Δ_i = D_t(ξ_i) Δ_i − (1/m) Σ_j H(ξ_i, ξ_j) Δ_j + ε_t(i),
    ε_t(i)   = ν(ξ_i, (1/m) Σ_j δ_{ξ_j}) − ν(ξ_i, ρ_t).

Azimuths never change, and both the unit vector e_φ along a meridian and any fixed vector orthogonal to
it and to w* are parallel along it. So in the frame Δ_i = a_i e_φ + b_i, with b_i ∈ R^{d−1} orthogonal
to ω_i, the covariant derivative is the plain one, D_t is diagonal (λ∥, λ⊥), and Δ stays tangent.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._check import Scalar, Values, require
from .gap import (
    Gap,
    check_coupling,
    function_gap,
    limit_speeds,
    meridian,
    to_meridians,
)
from .hessian import BLOCK, curvature, response
from .integrate import integrate
from .moment_path import MomentPath
from .problem import SingleIndex
from .sphere import legendre_derivative, tangent


class _GapODE(eqx.Module):
    """State: latitudes (m,) of the limit, components a (m,) and b (m, d−1) of Δ."""

    problem: SingleIndex
    path: MomentPath
    azimuths: Float[Array, "m e"]
    quiet_from: Float[Array, ""]
    interaction: bool = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __call__(self, t, state):
        latitudes, along, across = state
        potential = self.path.potential(t)
        slope, parallel, perpendicular = curvature(jnp.sin(latitudes), potential, self.path.dim)
        limit = meridian(latitudes, self.azimuths)
        vectors = _assemble(latitudes, self.azimuths, along, across)
        noisy = (t < self.quiet_from).astype(limit.dtype)
        coupled = vectors if self.interaction else jnp.zeros_like(vectors)
        # Noise and interaction in one pass: −DΦ* of (1/m) Σ [noisy·Φ(ξ_j) + DΦ(ξ_j) Δ_j] − noisy·f_t.
        force = -response(self.problem, limit, coupled, noisy, self.block)
        force = force + noisy * _pull(self.path, t, limit)
        force_along, force_across = _components(latitudes, self.azimuths, force)
        return (
            jnp.cos(latitudes) * slope,
            parallel * along + force_along,
            perpendicular[:, None] * across + force_across,
        )


def _assemble(latitudes, azimuths, along, across) -> Float[Array, "*T m d"]:
    """a e_φ + b, with e_φ = (cos φ, −sin φ ω)."""
    first = (jnp.cos(latitudes) * along)[..., None]
    rest = across - (jnp.sin(latitudes) * along)[..., None] * azimuths
    return jnp.concatenate([first, rest], axis=-1)


def _components(latitudes, azimuths, vectors: Float[Array, "m d"]):
    """(a, b) of tangent vectors."""
    rest = vectors[:, 1:]
    outward = jnp.sum(rest * azimuths, axis=1)
    along = jnp.cos(latitudes) * vectors[:, 0] - jnp.sin(latitudes) * outward
    return along, rest - outward[:, None] * azimuths


def _pull(path: MomentPath, t, limit: Float[Array, "m d"]) -> Float[Array, "m d"]:
    """DΦ(ξ_i)* f_t = P_i Σ_k a_k p_k P_k'(α_i) w*: what the infinite network exerts on each particle."""
    own = path.repulsion * path.moments(t)
    slopes = own @ legendre_derivative(limit[:, 0], own.size - 1, path.dim)
    return tangent(limit, jnp.zeros_like(limit).at[:, 0].set(slopes))


def solve_gap_ode(
    problem: SingleIndex,
    particles: Values,
    times: Values,
    *,
    interaction: bool = True,
    noise_until: Scalar = np.inf,
    path: MomentPath | None = None,
    rtol: float = 1e-5,
    block: int = BLOCK,
    max_steps: int = 100_000,
    progress: bool = False,
) -> Gap:
    r"""First-order prediction of the gap: the gap ODE with its exact sampling noise (chapter 6).

    **Arguments**, besides those of `mflib.gap.measure_gap`

    - `interaction=False` leaves out $−\frac1m Σ_j H(ξ_i,ξ_j) Δ_j$: each particle then drifts under
      the noise and its own local Hessian alone.
    - `noise_until`: the noise ε is switched off from that time on; what is left is how an existing
      gap evolves.
    - `rtol`: relative local error; absolute times $1/√{md}$, the size of a component of Δ.

    **Returns** a `mflib.gap.Gap`: `vectors` are tangent at `limit`, and `function` is
    $‖\frac1m Σ_j [Φ(ξ_j) + DΦ(ξ_j) Δ_j] − f_t‖^2$, the squared gap of the network displaced by Δ to
    first order.

    **Raises** like `mflib.gap.measure_gap`.
    """
    particles, times, path = check_coupling(problem, particles, times, path, rtol, block)
    require(not np.isnan(noise_until), "noise_until", "a time", noise_until)
    m, d = particles.shape
    latitudes, azimuths = to_meridians(particles)
    field = _GapODE(
        problem, path, azimuths, jnp.asarray(noise_until, times.dtype), interaction, block
    )
    start = (latitudes, jnp.zeros_like(latitudes), jnp.zeros_like(azimuths))
    latitudes, along, across = integrate(
        field,
        start,
        times,
        rtol=rtol,
        atol=rtol / np.sqrt(d * m),
        context={"m": m, "d": d, "rtol": rtol},
        max_steps=max_steps,
        progress=progress,
    ).states
    limit = meridian(latitudes, azimuths)
    vectors = _assemble(latitudes, azimuths, along, across)
    return Gap(
        times=times,
        function=_function_gaps(problem, path, times, limit, vectors, block),
        vectors=vectors,
        limit=limit,
        speed=limit_speeds(path, times, latitudes),
        error=path.error,
    )


@eqx.filter_jit
def _function_gaps(problem, path, times, limit, vectors, block):
    def at_one_time(t, limit, vectors):
        # ‖ū + DΦΔ‖² = ‖ū‖² + (2/m) Σ ⟨DΦ(ξ_j)* ū, Δ_j⟩ + (1/m) Σ ⟨Δ_i, (HΔ)_i⟩.
        noise = response(problem, limit, 0 * vectors, 1.0, block) - _pull(path, t, limit)
        moved = response(problem, limit, vectors, 0.0, block)
        linear = jnp.sum((2 * noise + moved) * vectors) / limit.shape[0]
        return function_gap(problem, path, t, limit, block) + linear

    return jax.lax.map(lambda row: at_one_time(*row), (times, limit, vectors))
