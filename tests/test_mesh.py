"""Several devices: the results of one, of each device its share, and no more than a block from the others."""

import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from mflib import Activation, SingleIndex, particle_mesh, solve_network
from mflib.mesh import map_rows, place, sum_over_rows

ROOT = Path(__file__).parents[1]
# As in `on_devices.py`.
D, M, BLOCK, DEVICES = 6, 64, 16, 8


def begin(*arguments):
    """A process of `on_devices.py`, which knows how many devices it has before JAX starts."""
    command = [sys.executable, ROOT / "tests" / "on_devices.py", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def end(process):
    try:
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def found(folder):
    """Reads what eight devices of one process found."""
    end(begin(folder))
    return lambda name: dict(np.load(folder / f"{name}.npz"))


@pytest.fixture(scope="module")
def processes(folder):
    """What two processes of two devices each found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [begin(folder, port, rank) for rank in (0, 1)]
    for process in started:
        end(process)
    return [dict(np.load(folder / f"process_{rank}.npz")) for rank in (0, 1)]


def assert_same(one, many):
    for name, value in one.items():
        np.testing.assert_allclose(many[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_eight_devices_give_what_one_gives(found):
    one, many = found("one"), found("many")
    assert_same(one, many)
    assert one.keys() == many.keys() and one["batches_pool_loss"].shape == (4,)
    assert np.abs(one["flow_particles"][-1] - one["flow_particles"][0]).max() > 0.1


def test_two_processes_give_what_one_gives(found, processes):
    one = found("one")
    for process in processes:
        assert (process["devices"], process["here"]) == (4, 2)
        assert_same(
            {name: value for name, value in one.items() if "population" not in name}, process
        )


def test_checkpoints_of_several_processes_are_refused(processes):
    for process in processes:
        assert "`checkpoint` must be None on a mesh of several processes" in str(process["refused"])


def test_saved_paths_stay_spread(found):
    for name, shapes in found("shards").items():
        saved = 3 if name == "flow" else 4
        np.testing.assert_array_equal(shapes, [[saved, M // DEVICES, D]] * DEVICES)


def test_ragged_blocks_of_rows_and_columns(found):
    """10 rows of each device in blocks of 4, and of 1 or 4 columns of each."""
    blocked = found("blocked")
    for name in blocked.keys() - {"drift", "loss"}:
        np.testing.assert_allclose(blocked[name], blocked[name.split("_")[0]], atol=1e-14)
    assert len(blocked) == 7


def test_a_device_hears_blocks_of_particles_and_sums(found):
    programs = found("programs")
    kinds, sizes = programs["solve_kinds"], programs["solve_sizes"]
    assert set(kinds) == {"all-gather", "all-reduce"}
    assert set(sizes[kinds == "all-gather"]) == {BLOCK * D}
    assert sizes.max() == BLOCK * D < M * D
    assert set(programs["tiled_kinds"]) == {"all-gather"}
    assert set(programs["tiled_sizes"]) == {256 * D}
    # The degrees 1 and 2 of g': D_1² and D_2 D_1 numbers, once, not for each block.
    assert programs["moments_kinds"].tolist() == ["all-reduce"]
    assert programs["moments_sizes"].tolist() == [D * D + D * (D + 1) // 2 * D]


def test_a_device_holds_its_share(found):
    programs = found("programs")
    # A solve gives the saved path of its own particles (of eight times, the last being repeated), and a few numbers.
    assert programs["solve"][2] < 1.05 * 8 * (8 * M // DEVICES * D)
    # A drift takes and gives its own rows. At work, as much again, and blocks: 256×256 overlaps, or
    # 256 rows of monomials; all pairs of its own rows with all others would be a gigabyte.
    own = 8 * 2**15 // DEVICES * D
    for kernel in ("tiled", "moments"):
        temporary, given, result = programs[kernel]
        assert given == result == own
        assert temporary < 2 * own + 2 * 8 * 256**2


def test_restart_from_a_checkpoint_is_bit_identical(found):
    restart = found("restart")
    assert np.array_equal(restart["again"], restart["whole"])


def test_start_made_on_the_devices(found):
    start = found("start")
    np.testing.assert_allclose(start["many"], start["one"], atol=1e-15)


def test_sweep_on_eight_devices(found):
    sweep = found("sweep")
    assert sweep["done"].tolist() == [16, 16, 0, 0, 16]
    # Each once, cheapest first: those under way at once may overtake each other.
    assert sorted(sweep["order"]) == [*range(16)]
    assert set(sweep["order"][:8]) == {*range(8)}
    assert set(sweep["devices"][:8]) == {*range(8)}
    np.testing.assert_array_equal(sweep["powers"], np.arange(4.0) ** np.arange(16)[:, None])


def test_width_that_the_devices_do_not_divide(found):
    message = "`mesh` must be of a number of devices that divides m; got 8 devices, m = 65."
    assert found("errors")["ragged"] == message


def test_blocks_of_rows_on_one_device():
    rows = jnp.arange(14.0).reshape(7, 2)
    mapped = map_rows(lambda r: r[:, :1] ** 2, rows, 3, None)
    np.testing.assert_array_equal(mapped, rows[:, :1] ** 2)
    assert float(sum_over_rows(jnp.sum, rows, 3, None)) == 91


@pytest.mark.parametrize(
    "mesh",
    [
        jax.devices(),
        Mesh(np.array(jax.devices()[:1]), ("data",)),
        Mesh(np.array(jax.devices()[:1]), ("particles",), axis_types=(AxisType.Explicit,)),
    ],
)
def test_bad_meshes_are_named(mesh):
    with pytest.raises(ValueError, match="`mesh` must be a jax.sharding.Mesh with an axis"):
        place(np.eye(D), mesh)


@pytest.mark.parametrize("count", [0, 2])
def test_bad_devices_are_named(count):
    with pytest.raises(ValueError, match="`devices` must be different devices, one or more"):
        particle_mesh(jax.devices()[:1] * count)


@pytest.mark.parametrize("shape", [(), (D,), (0, D), (2, 3, D)])
def test_bad_particles_are_named_on_a_mesh_too(shape):
    problem = SingleIndex(D, Activation.hermite(2))
    with pytest.raises(ValueError, match="`particles` must be of shape"):
        solve_network(problem, np.ones(shape), [1.0], mesh=particle_mesh(jax.devices()[:1]))
