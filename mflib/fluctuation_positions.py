r"""The exact 1/m law at fixed positions, for even problems of any dimension (chapter 8).

`mflib.fluctuation` follows pairs (particle, source) along their trajectories. Seen from where particles
start, responses have fronts, as the flow map does; seen from where they *are* now, in x = log tan φ,
they are smooth on the scale 1 for every d and t. So the response δ(x; y) of a particle at x to a source
at y lives on a grid of a few hundred positions for each. One step from t to t + h:

- characteristics: where particles now at grid positions were at t, and the growth exp ∫λ of δ since;
- δ and the labels are carried from there, by interpolation in x and in y;
- the forcing −φ' u is integrated along the characteristic by the trapezoidal rule, u(t + h) solved for
  implicitly (a system of size K+1 for each source).

Second order in h, with an even expansion, so that two steps sizes give the fourth order and an error.
"""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import legendre as npleg

from .blocks import Features, azimuthal_counts, features
from .hessian import curvature
from .initial_law import NEAREST, InitialLaw
from .labels import lobatto
from .moment_path import MomentPath
from .sphere import legendre_derivative

_ORDER = 10


class _Grid(eqx.Module):
    """Positions x in panels, and what is interpolated or integrated on them."""

    edges: Float[Array, " e"]
    to_modes: Float[Array, "n n"]
    to_fine: Float[Array, "q n"]
    fine_weights: Float[Array, " q"]
    distribution: InitialLaw

    @property
    def x(self) -> Float[Array, " N"]:
        nodes = jnp.asarray(lobatto(self.to_modes.shape[0])[0], self.edges.dtype)
        left, width = self.edges[:-1, None], jnp.diff(self.edges)[:, None]
        return (left + width * (nodes + 1) / 2).ravel()

    def interpolation(self, x: Float[Array, " N"]) -> Float[Array, "N N"]:
        """The matrix that takes values on the grid to values at x (at the ends beyond them)."""
        order = self.to_modes.shape[0]
        panel = jnp.clip(jnp.searchsorted(self.edges, x) - 1, 0, self.edges.size - 2)
        left, width = self.edges[panel], jnp.diff(self.edges)[panel]
        at = jnp.clip(2 * (x - left) / width - 1, -1.0, 1.0)
        rows = [jnp.ones_like(at), at]
        for k in range(1, order - 1):
            rows.append(((2 * k + 1) * at * rows[k] - k * rows[k - 1]) / (k + 1))
        local = jnp.stack(rows, axis=1) @ self.to_modes
        spread = jax.nn.one_hot(panel, self.edges.size - 1, dtype=x.dtype)
        return (spread[:, :, None] * local[:, None, :]).reshape(x.size, -1)

    def masses(self, labels: Float[Array, " N"]) -> Float[Array, " N"]:
        """Weights on the grid of ∫ f dG_0(Y(x)): the law of the particles now; they sum to 1."""
        order = self.to_modes.shape[0]
        fine = labels.reshape(-1, order) @ self.to_fine.T
        below = self.distribution(fine)
        # ∫ f dG = [f G] − ∫ f' G dx, panel by panel, with f the interpolant: exact in f.
        slopes = jnp.asarray(self._slopes(), labels.dtype)
        ends = self.distribution(labels.reshape(-1, order)[:, jnp.array([0, -1])])
        inside = -(below * self.fine_weights) @ slopes
        inside = inside.at[:, 0].add(-ends[:, 0]).at[:, -1].add(ends[:, 1])
        # What lies beyond either end of the grid is as at that end.
        inside = inside.at[0, 0].add(ends[0, 0]).at[-1, -1].add(1 - ends[-1, 1])
        return inside.ravel()

    def _slopes(self):
        """d/dξ of the cardinal functions at the fine points, times dξ: widths cancel."""
        order = self.to_modes.shape[0]
        points = np.polynomial.legendre.leggauss(self.to_fine.shape[0])[0]
        columns = [
            npleg.legval(points, npleg.legder(row)) if k else 0 * points
            for k, row in enumerate(np.eye(order))
        ]
        return np.stack(columns, axis=1) @ np.linalg.inv(lobatto(order)[3])


# Beyond this position the law no longer sees labels: 1 − α² = 1.5e-8.
_TABULATED = 9.0


def _grid(dim: float, right: float, dtype) -> _Grid:
    """Panels of width about 1 to x = 1, of width 2 to x = 20, and growing to `right`."""
    to_modes = np.linalg.inv(lobatto(_ORDER)[3])
    points, weights = np.polynomial.legendre.leggauss(2 * _ORDER)
    scale = -0.5 * np.log(dim)
    first, last = np.log(NEAREST) + scale, min(np.log(1 / 30) + scale, -2.0)
    middle = round(1.0 - last) + 4
    edges = [*np.linspace(first, last, 3, endpoint=False), *np.linspace(last, 1.0, middle)]
    width = 2.0
    while edges[-1] < right:
        edges.append(edges[-1] + width)
        width *= 1.0 if edges[-1] < 20 else 1.15
    return _Grid(
        edges=jnp.asarray(edges, dtype),
        to_modes=jnp.asarray(to_modes, dtype),
        to_fine=jnp.asarray(npleg.legvander(points, _ORDER - 1) @ to_modes, dtype),
        fine_weights=jnp.asarray(weights, dtype),
        distribution=InitialLaw.tabulate(
            jnp.asarray(first, dtype), jnp.asarray(_TABULATED, dtype), jnp.asarray(dim, dtype)
        ),
    )


class _State(eqx.Module):
    """Y − x on both grids (constant beyond them); δ∥, δ⊥ (L, N, S) and u (L, K+1, S)."""

    shift: Float[Array, " N"]
    source_shift: Float[Array, " S"]
    along: Float[Array, "l N S"]
    across: Float[Array, "l N S"]
    u: Float[Array, "l k S"]


def _place(x):
    """α and sin θ at x = log tan φ."""
    return jnp.exp(-0.5 * jnp.logaddexp(0.0, -2 * x)), jnp.exp(-0.5 * jnp.logaddexp(0.0, 2 * x))


def _characteristics(path: MomentPath, x, t, h):
    """Positions at t of the particles at x at t + h, and ∫λ∥, ∫λ⊥ in between: one Runge–Kutta step."""

    def rate(s, position):
        alpha, _ = _place(position)
        slope, parallel, perpendicular = curvature(alpha, path.potential(s), path.dim)
        return jnp.stack([slope / alpha, parallel, perpendicular])

    first = rate(t + h, x)
    second = rate(t + h / 2, x - h / 2 * first[0])
    third = rate(t + h / 2, x - h / 2 * second[0])
    fourth = rate(t, x - h * third[0])
    total = h / 6 * (first + 2 * second + 2 * third + fourth)
    return x - total[0], total[1], total[2]


class _Sweep(eqx.Module):
    path: MomentPath
    grid: _Grid
    sources: _Grid
    here: Features
    emitted: Features

    @property
    def blocks(self):
        return azimuthal_counts(self.path.repulsion.size - 1, self.path.dim)

    def start(self) -> _State:
        x, y = self.grid.x, self.sources.x
        still = jnp.zeros((self.path.repulsion.size, x.size, y.size), x.dtype)
        zero = jnp.zeros((), x.dtype)
        return _State(jnp.zeros_like(x), jnp.zeros_like(y), still, still, self._source(zero))

    def _source(self, t):
        mean = jnp.sqrt(self.path.repulsion) * self.path.moments(t)
        return self.emitted.value.at[0].add(-mean[:, None])

    def step(self, state: _State, t, h) -> _State:
        x, y = self.grid.x, self.sources.x
        before, grown, turned = _characteristics(self.path, x, t, h)
        source_before, _, _ = _characteristics(self.path, y, t, h)
        carry, source_carry = (
            self.grid.interpolation(before),
            self.sources.interpolation(source_before),
        )
        there = features(self.path.repulsion, self.path.dim, *_place(before))
        u = state.u @ source_carry.T

        def carried(field, growth, slope):
            """Half the trapezoidal rule: δ and −φ' u at the other end of the characteristic."""
            force = jnp.einsum("lkn,lks->lns", slope, u)
            return jnp.exp(growth)[:, None] * (carry @ field @ source_carry.T - h / 2 * force)

        along = carried(state.along, grown, there.slope)
        across = carried(state.across, turned, there.ratio)
        shift = carry @ state.shift + before - x
        # The other half: u(t+h) = known − M u(t+h).
        counts, eigenvalues = self.blocks
        masses = self.grid.masses(x + shift)
        pull = self.here.slope * masses / counts[:, None, None]
        turn = self.here.ratio * masses * (eigenvalues / counts)[:, None, None]
        known = self._source(t + h) + pull @ along + turn @ across
        implicit = pull @ jnp.swapaxes(self.here.slope, 1, 2)
        implicit = h / 2 * (implicit + turn @ jnp.swapaxes(self.here.ratio, 1, 2))
        u = jnp.linalg.solve(jnp.eye(implicit.shape[1], dtype=implicit.dtype) + implicit, known)
        return _State(
            shift=shift,
            source_shift=source_carry @ state.source_shift + source_before - y,
            along=along - h / 2 * jnp.einsum("lkn,lks->lns", self.here.slope, u),
            across=across - h / 2 * jnp.einsum("lkn,lks->lns", self.here.ratio, u),
            u=u,
        )

    def laws(self, state: _State):
        masses = self.grid.masses(self.grid.x + state.shift)
        source_masses = self.sources.masses(self.sources.x + state.source_shift)
        counts, eigenvalues = self.blocks
        squares = state.along**2 + eigenvalues[:, None, None] * state.across**2
        return (
            jnp.einsum("s,lks->l", source_masses, state.u**2),
            jnp.einsum("n,s,lns->l", masses, source_masses, squares) / counts,
        )


@eqx.filter_jit
def _run(sweep: _Sweep, starts, lengths):
    def step(state, interval):
        t, h = interval
        state = sweep.step(state, t, h)
        return state, sweep.laws(state)

    first = sweep.start()
    _, laws = jax.lax.scan(step, first, (starts, lengths))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), sweep.laws(first), laws)


def by_positions(path: MomentPath, times, step: float):
    """The two laws at `times`, (T, L) each, with steps of at most `step`."""
    times = np.asarray(times, float)
    edges = np.union1d([0.0], times)
    grid_t = np.concatenate(
        [[0.0]]
        + [
            np.linspace(a, b, 1 + max(1, int(np.ceil((b - a) / step - 1e-9))))[1:]
            for a, b in pairwise(edges)
        ]
    )
    dtype, dim = path.repulsion.dtype, float(path.dim)
    # How far a particle at the pole moves in x: V_t'(1) dt.
    potentials = jax.vmap(path.potential)(jnp.asarray(grid_t, dtype))
    speed = potentials @ legendre_derivative(jnp.ones((), dtype), path.repulsion.size - 1, path.dim)
    travel = float(np.trapezoid(np.maximum(speed, 0), grid_t))
    # A response amplified by the escape, up to (√d)^{k−1}, has died out at the right end.
    grid = _grid(dim, 9.0 + 2.5 * np.log(dim), dtype)
    # What a source did while it escaped is not forgotten: the grid holds all who did.
    sources = _grid(dim, 5.0 + travel, dtype)
    here, emitted = (features(path.repulsion, path.dim, *_place(g.x)) for g in (grid, sources))
    sweep = _Sweep(path, grid, sources, here, emitted)
    laws = _run(sweep, jnp.asarray(grid_t[:-1], dtype), jnp.asarray(np.diff(grid_t), dtype))
    at = np.searchsorted(grid_t, times - 1e-9)
    return jax.tree.map(lambda a: a[at], laws)
