"""Saved states of a descent in one file that is whole at any moment, and knows what it belongs to."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    """States of the computation that `owner` (a `fingerprint`) stands for, in the file `path`."""

    path: Path
    owner: str

    def load(self) -> np.ndarray:
        """The states saved so far, along the first axis; none if there is no file.

        **Raises** `ValueError` if the file belongs to another computation.
        """
        if not self.path.exists():
            return np.empty(0)
        with np.load(self.path) as file:
            if str(file["owner"]) != self.owner:
                raise ValueError(
                    f"`checkpoint` must be a file of the same problem, particles and settings; "
                    f"got {self.path.name}, which belongs to another descent."
                )
            return file["states"]

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
    """Hash of pytrees of arrays, numbers, strings, random keys and functions (those by name only)."""
    leaves, structure = jax.tree.flatten(values)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        digest.update(_bytes(leaf))
    return digest.hexdigest()


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        array = np.asarray(leaf)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return (getattr(leaf, "__qualname__", None) or repr(leaf)).encode()
