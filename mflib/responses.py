r"""How the limit responds to itself: features and stability along traced-back trajectories (chapter 8).

Particles are known by where they are at time t. Traced back, each gives its overlap and J_{t,s} at every
earlier s, and the density of the law at time t by ρ_t dφ_t = ρ_0 dφ_0: so expectations over the law of
products of features at t and at s need a few dozen panels in x = log tan φ, for any d and any t. Fronts
of the flow map, narrow as a function of where particles start, are no obstacle.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .blocks import Features, azimuthal_counts, features
from .integrate import integrate
from .moment_path import MomentPath
from .problem import SingleIndex
from .stability_matrix import Backwards, follow

# Positions x of the particles at time t: one panel from the equator to z = √d·α = e^{−5}, then panels of
# width about 1, as many for every d, so that a new d does not recompile. At x = 17 cos φ = 4e-8 still has eight digits; what has gone beyond came from the pole as
# well, and is put there.
_NEAREST, _POLE = -5.0, 17.0
_PANELS = 28
# Nodes a panel.
_ORDER = 10


class Histories(eqx.Module):
    r"""N particles of the limit at time t, traced back to S earlier times; blocks ℓ = 0, …, K.

    `now`: features at t, each (L, k, N); `then`: at the earlier times, (S, L, k, N); `parallel`,
    `perpendicular` (S, N): J_{t,s}; `law` (N,): weights, summing to 1; `counts`, `eigenvalues` (L,):
    N_ℓ and ℓ(ℓ+d−3).
    """

    now: Features
    then: Features
    parallel: Float[Array, "S N"]
    perpendicular: Float[Array, "S N"]
    law: Float[Array, " N"]
    counts: Float[Array, " l"]
    eigenvalues: Float[Array, " l"]

    @eqx.filter_jit
    def covariance(self) -> Float[Array, "S l k k"]:
        """E [φ_kℓ(θ_t) − φ_kℓ(0)] φ_jℓ(θ_s) at the earlier times.

        φ_kℓ(0), the value at the pole w*, is √a_k for ℓ = 0 and zero else. Without it a particle at
        the pole counts, however long ago it arrived, and those who did are not told apart here.
        """
        now = self.now.value.at[0].add(-self.now.value[0, :, -1:])
        return jnp.einsum("lkn,sljn,n->slkj", now, self.then.value, self.law)

    @eqx.filter_jit
    def response(self) -> Float[Array, "S l k k"]:
        """Γ^ℓ_{t,s} = E DΦ(ξ_t) J_{t,s} DΦ(ξ_s)* in block ℓ at the earlier times."""

        def pair(now, then, J):
            return jnp.einsum("lkn,sljn,sn->slkj", now, then, J * self.law)

        return self._both(
            pair(self.now.slope, self.then.slope, self.parallel),
            pair(self.now.ratio, self.then.ratio, self.perpendicular),
        )

    @eqx.filter_jit
    def moves(self) -> Float[Array, "S l k k"]:
        """E (J_{t,s} DΦ_ℓ(ξ_s)*)* J_{t,s} DΦ_ℓ(ξ_s)*: the square of how far u_s moves a particle."""

        def square(then, J):
            return jnp.einsum("slkn,sljn,sn->slkj", then, then, J**2 * self.law)

        return self._both(
            square(self.then.slope, self.parallel), square(self.then.ratio, self.perpendicular)
        )

    @eqx.filter_jit
    def moves_between(self, rows: Int[Array, " R"]) -> Float[Array, "l a a"]:
        """The same between all pairs of the earlier times `rows`; a = (R, k) flattened."""

        def gram(then, J):
            moved = jnp.moveaxis(J[rows][:, None, None] * then[rows], 0, 1)
            moved = moved.reshape(moved.shape[0], -1, moved.shape[-1])
            return jnp.einsum("lan,lbn,n->lab", moved, moved, self.law)

        return self._both(
            gram(self.then.slope, self.parallel), gram(self.then.ratio, self.perpendicular)
        )

    def _both(self, along, across):
        """Along and across the meridian together, (…, L, ·, ·)."""
        scale, counts = self.eigenvalues[:, None, None], self.counts[:, None, None]
        return (along + scale * across) / counts


class Positions(eqx.Module):
    """Where the particles of the limit may be at any time: `tangents` (N,), tan φ, and `spacings`.

    From the image of the equator on, if they start on the hemisphere: some are thrown back across it.
    """

    path: MomentPath
    tangents: Float[Array, " N"]
    spacings: Float[Array, " N"]
    degrees: tuple[int, ...] = eqx.field(static=True)
    folded: bool = eqx.field(static=True)

    def histories(self, now: float, lags: np.ndarray) -> Histories:
        """Traced back from time `now` to `now` − lag, for increasing `lags` (S,) ≥ 0.

        One of the lags must be `now`: there the law is known. Lags beyond it are allowed (the potential
        is continued as at time 0), so that all times can share compiled code.

        **Raises** `SolverError` like `mflib.integrate.integrate`.
        """
        dtype = self.tangents.dtype
        tangents = self.tangents + self._lowest(now)
        latitudes = jnp.arctan(tangents)
        solved = integrate(
            Backwards(self.path, jnp.asarray(now, dtype)),
            (latitudes, jnp.zeros_like(latitudes)),
            jnp.asarray(lags, dtype),
            rtol=1e-6,
            atol=1e-7 / float(np.sqrt(self.path.dim)),
            context={"m": "∞", "d": self.path.dim, "backwards from t": now},
        ).states
        # dφ = cos²φ d(tan φ).
        measure = self.spacings / (1 + tangents**2)
        origin = jnp.asarray(np.searchsorted(lags, now))
        return _histories(self, latitudes, measure, *solved, origin)

    def _lowest(self, now: float) -> Float[Array, ""]:
        """tan φ of the particle that started on the equator; 0 where that is no end of the law."""
        still = jnp.zeros((), self.tangents.dtype)
        if not self.path.hemisphere or now == 0:
            return still
        times = jnp.full(1, now, still.dtype)
        alpha = follow(self.path, still[None], times, 1e-8)[0][0, 0]
        return alpha / jnp.sqrt(1 - alpha**2)


def positions(problem: SingleIndex, path: MomentPath) -> Positions:
    """Gauss–Legendre panels in x = log tan φ, on one side where ±w move alike (or none starts below)."""
    folded = problem.even or path.hemisphere
    points, weights = np.polynomial.legendre.leggauss(_ORDER)
    first = _NEAREST - 0.5 * np.log(float(path.dim))
    edges = np.linspace(first, _POLE, 1 + _PANELS)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + points)).ravel()
    # The end itself, of weight zero, holds what has gone beyond.
    near = np.exp(first) / 2
    tangents = np.concatenate([near * (1 + points), np.exp(x), [np.exp(_POLE)]])
    spacings = np.concatenate([near * weights, (half * weights).ravel() * np.exp(x), [0.0]])
    if not folded:
        tangents = np.concatenate([-tangents[::-1], tangents])
        spacings = np.concatenate([spacings[::-1], spacings])
    dtype = path.repulsion.dtype
    degrees = tuple(int(k) for k in np.flatnonzero(np.asarray(path.repulsion) > 0))
    return Positions(
        path, jnp.asarray(tangents, dtype), jnp.asarray(spacings, dtype), degrees, folded
    )


@eqx.filter_jit
def _histories(at: Positions, latitudes, measure, then, log_stretch, origin) -> Histories:
    path, kept = at.path, jnp.array(at.degrees)

    def only_present(latitudes) -> Features:
        found = features(path.repulsion, path.dim, jnp.sin(latitudes), jnp.cos(latitudes))
        return Features(found.value[:, kept], found.slope[:, kept], found.ratio[:, kept])

    counts, eigenvalues = azimuthal_counts(path.repulsion.size - 1, path.dim)
    return Histories(
        now=only_present(latitudes),
        then=jax.lax.map(only_present, then),
        parallel=jnp.exp(log_stretch),
        perpendicular=jnp.cos(latitudes) / jnp.cos(then),
        law=_law(path.dim, at.folded, measure, then[origin], log_stretch[origin]),
        counts=counts,
        eigenvalues=eigenvalues,
    )


def _law(dim, folded: bool, measure, start, log_stretch) -> Float[Array, " N"]:
    """Weights of the particles now, from where they started: ρ_t dφ = ρ_0(φ_0)/J∥ dφ, in logs."""
    half = (dim - 1) / 2
    scale = jax.scipy.special.gammaln(dim / 2) - jax.scipy.special.gammaln(half)
    density = jnp.exp((half - 0.5) * jnp.log(jnp.cos(start) ** 2) - log_stretch + scale)
    law = density * measure / jnp.sqrt(jnp.pi) * (2 if folded else 1)
    # What lies beyond an end of the grid, P(α_0 > sin φ_0), is put there.
    beyond = jax.scipy.special.betainc(half, 0.5, jnp.cos(start[jnp.array([0, -1])]) ** 2)
    if folded:
        return law.at[-1].add(beyond[1])
    return law.at[0].add(beyond[0] / 2).at[-1].add(beyond[1] / 2)
