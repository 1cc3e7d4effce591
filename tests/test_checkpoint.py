"""A checkpoint knows what it belongs to."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mflib.checkpoint import Checkpoint, fingerprint


def test_different_arguments_have_different_fingerprints():
    several = [
        (1234, 5),
        (123, 45),
        (1.0, 2),
        (jnp.ones(2), 2),
        (np.ones(2, np.float32), 2),
        ("a", "bc"),
        ("ab", "c"),
        (lambda z: jnp.tanh(z),),
        (lambda z: jnp.sin(z),),
        (lambda z: 2 * z,),
        (lambda z: 3 * z,),
        (partial(jnp.roll, shift=1),),
        (partial(jnp.roll, shift=2),),
        (jax.nn.relu,),
        (jax.nn.silu,),
    ]
    found = [fingerprint(values) for values in several]
    assert len(set(found)) == len(found)


def test_the_same_arguments_have_the_same_fingerprint():
    def again():
        return fingerprint(
            jax.random.key(3), jnp.arange(3), partial(jax.nn.gelu, approximate=False), lambda z: z
        )

    assert again() == again()


@pytest.mark.parametrize("what", ["text", "pickle", "another", "cut"])
def test_a_damaged_file_is_named(tmp_path, what):
    path = tmp_path / "run.npz"
    if what == "text":
        path.write_text("not this")
    elif what == "pickle":
        with path.open("wb") as file:
            np.save(file, np.array([{}], object), allow_pickle=True)
    elif what == "another":
        np.savez(path, other=np.ones(2))
    else:
        Checkpoint(path, "me").save([np.ones(100)])
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"`checkpoint` must be a file that a descent.*run\.npz"):
        Checkpoint(path, "me").load()


def test_a_fingerprint_is_the_same_in_every_process():
    """Also of a function with a set in its code, whose order depends on the process."""
    program = (
        "from mflib.checkpoint import fingerprint\n"
        "print(fingerprint(lambda z: z in {'some', 'words', 'in', 'a', 'set'}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
