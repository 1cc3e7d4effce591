"""Saved states of a descent in one file that is whole at any moment, and knows what it belongs to."""

import functools
import hashlib
import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any
from zipfile import BadZipFile

import jax
import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    """States of the computation that `owner` (a `fingerprint`) stands for, in the file `path`."""

    path: Path
    owner: str

    def load(self) -> np.ndarray:
        """The states saved so far, along the first axis; none if there is no file.

        **Raises** `ValueError` if the file belongs to another computation, or is damaged.
        """
        if not self.path.exists():
            return np.empty(0)
        try:
            with open(self.path, "rb") as raw, np.load(raw) as file:
                owner, states = str(file["owner"]), file["states"]
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"`checkpoint` must be a file that a descent has written; got {self.path.name}, "
                f"which cannot be read as one ({error})."
            ) from error
        if owner != self.owner:
            raise ValueError(
                f"`checkpoint` must be a file of the same problem, particles and settings; "
                f"got {self.path.name}, which belongs to another descent."
            )
        return states

    def save(self, states: Sequence[np.ndarray]) -> None:
        """Replace the file: what is on the disk is the old one or the new one, never a part."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.tmp")
        with open(draft, "wb") as file:
            np.savez(file, owner=self.owner, states=np.stack(states))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)


def fingerprint(*values: Any) -> str:
    """Hash of pytrees of arrays, numbers, strings, random keys and functions.

    Functions by name and code: not by the values of other variables that they use.
    """
    leaves, structure = jax.tree.flatten(values)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        data = _bytes(leaf)
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        array = np.asarray(leaf)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    if isinstance(leaf, functools.partial):
        return fingerprint(leaf.func, leaf.args, leaf.keywords).encode()
    if not hasattr(leaf, "__qualname__"):
        return repr(leaf).encode()
    name = f"{getattr(leaf, '__module__', '')}.{leaf.__qualname__}".encode()
    code = getattr(inspect.unwrap(leaf), "__code__", None)
    if code is None:
        return name
    # The order of a set is another one in each process.
    constants = [
        sorted(map(repr, c)) if isinstance(c, frozenset) else c
        for c in code.co_consts
        if not isinstance(c, CodeType)
    ]
    return name + code.co_code + repr((code.co_names, constants)).encode()
