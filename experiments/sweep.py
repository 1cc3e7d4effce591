"""Resumable sweeps: a list of configurations, a function of one, and a file for each result.

    sweep = Sweep("widths", version="1", run=…, cost=…, folder=Path("_build/sweeps"))
    sweep.start(configurations, budget=1500)        # as often as needed: what exists is not run again
    sweep.collect(configurations, summarise, Path("book/data/widths.json"), command="…")

A result is written whole or not at all, so a kill at any time loses the one run in flight, and it
carries a checksum, so a file that was damaged later counts as missing.
"""

import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

Config = TypeVar("Config")  # a frozen dataclass of numbers and strings
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a start of a sweep came to: runs finished (ever) of `total`, and those that failed now."""

    done: int
    total: int
    failed: int
    interrupted: bool


@dataclasses.dataclass(frozen=True)
class Sweep(Generic[Config]):
    """An experiment that is run once for each configuration.

    **Arguments**

    - `name`: of its folder. `version`: of what `run` computes; a new one makes every old result void.
    - `run`: configuration → numbers and small arrays by name. They must be finite.
    - `cost`: configuration → seconds, roughly; only their ratios matter for the time left.
    - `folder`: results go to `folder/name/HASH.json`.
    """

    name: str
    version: str
    run: Callable[[Config], Mapping[str, Any]]
    cost: Callable[[Config], float]
    folder: Path

    def key(self, config: Config) -> str:
        """Hash of everything that decides the result: the experiment, its version, the configuration."""
        return _digest([self.name, self.version, dataclasses.asdict(config)])[:16]

    def path(self, config: Config) -> Path:
        """Where the result of `config` is, or will be."""
        return self.folder / self.name / f"{self.key(config)}.json"

    def record(self, config: Config) -> Record | None:
        """The finished run of `config`; None if there is none, or its file is damaged."""
        try:
            record = json.loads(self.path(config).read_bytes())
            sound = record.pop("checksum") == _digest(record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return record if sound else None

    def start(
        self,
        configs: Sequence[Config],
        *,
        order: Callable[[Config], float] | None = None,
        budget: int | float = np.inf,
    ) -> Outcome:
        """Run what is not finished, smallest `order` first (None: cheapest first).

        No new run begins after `budget` seconds, and Ctrl-C ends cleanly. A run that ends in a
        `RuntimeError` (a solver that gave up, no memory) is reported and left out; the next start
        tries it again.

        **Raises** `RuntimeError` if another process is at work on this sweep.
        """
        begun = time.monotonic()
        with self._alone():
            todo = sorted(
                (config for config in configs if self.record(config) is None),
                key=order or self.cost,
            )
            done, failed, interrupted = len(configs) - len(todo), 0, False
            bar = tqdm(
                total=sum(map(self.cost, todo)),
                desc=f"{self.name} {done}/{len(configs)}",
                bar_format="{desc} |{bar:20}| {elapsed}, {remaining} left",
                smoothing=0,  # the mean rate: a single run says little
                mininterval=0.1 if sys.stderr.isatty() else 60,
            )
            with bar:
                try:
                    for config in todo:
                        if time.monotonic() - begun >= budget:
                            break
                        try:
                            self._finish(config)
                            done += 1
                        except RuntimeError as error:
                            failed += 1
                            bar.write(f"failed: {config}: {error}", file=sys.stderr)
                        bar.set_description_str(f"{self.name} {done}/{len(configs)}", refresh=False)
                        bar.update(self.cost(config))
                except KeyboardInterrupt:
                    interrupted = True
        return Outcome(done, len(configs), failed, interrupted)

    def _finish(self, config: Config) -> None:
        begun = time.monotonic()
        result = {name: np.asarray(value).tolist() for name, value in self.run(config).items()}
        (device,) = jnp.zeros(()).devices()
        record = {
            "experiment": self.name,
            "version": self.version,
            "configuration": dataclasses.asdict(config),
            "result": result,
            "versions": versions(),
            "dtype": jnp.result_type(float).name,
            "device": f"{device.device_kind} ({device.platform})",
            "seconds": time.monotonic() - begun,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_whole(self.path(config), _canonical(record | {"checksum": _digest(record)}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the sweep's lock, which the system takes back from a killed process, and tidy up."""
        folder = self.folder / self.name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(f"another process is at work on the sweep {self.name}") from None
            for left_over in folder.glob(".*.tmp"):
                left_over.unlink()
            yield

    def collect(
        self,
        configs: Sequence[Config],
        summarise: Callable[[list[tuple[Config, Record]]], Mapping[str, Any]],
        output: Path,
        *,
        command: str,
        mix: bool = False,
    ) -> Record:
        """Merge finished runs to one file: `summarise` of the pairs (configuration, result).

        They are in the order of `configs`, so that the file depends on what is finished alone. Beside
        the summary it holds `provenance`: the command, versions, dtype, devices, run time in seconds,
        the number of runs and the hash of their configurations.

        **Raises** `ValueError` if nothing is finished, and if runs of different versions or dtypes
        meet, unless `mix`: then the file lists them all.
        """
        found = [(config, record) for config in configs if (record := self.record(config))]
        if not found:
            raise ValueError(f"no finished run of the sweep {self.name} among those asked for")
        records = [record for _, record in found]
        made_by = Counter(_canonical(_origin(record)) for record in records)
        if len(made_by) > 1 and not mix:
            raise ValueError(
                f"finished runs of the sweep {self.name} are of different versions: "
                + "; ".join(f"{count} of {origin}" for origin, count in made_by.most_common())
            )
        collected = {
            "provenance": {
                "command": command,
                "experiment": self.name,
                "version": self.version,
                "made_by": [json.loads(origin) for origin in sorted(made_by)],
                "devices": dict(sorted(Counter(record["device"] for record in records).items())),
                "seconds": round(sum(record["seconds"] for record in records), 1),
                "runs": len(found),
                "hash": _digest([self.key(config) for config, _ in found]),
            },
            **summarise([(config, record["result"]) for config, record in found]),
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, _lines(collected))
        return collected


def versions() -> dict[str, str]:
    """Of everything that a result may depend on."""
    packages = ("jax", "jaxlib", "numpy", "mflib")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is at any moment either the old one or the new one, on the disk too."""
    draft = path.with_name(f".{path.name}.tmp")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def rounded(value: Any, digits: int = 6) -> Any:
    """A number or an array as Python numbers of so many significant digits."""
    if isinstance(value, list):
        return [rounded(part, digits) for part in value]
    value = np.asarray(value)
    return float(f"{value:.{digits}g}") if value.ndim == 0 else rounded(list(value), digits)


def _origin(record: Record) -> Record:
    return {**record["versions"], "dtype": record["dtype"]}


def _canonical(value: Any) -> str:
    """One text for one value; floats in full, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _lines(collected: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of a list of dictionaries, so that a diff says what changed."""

    def part(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            return "[\n" + ",\n".join(map(_canonical, value)) + "\n]"
        return _canonical(value)

    return "{\n" + ",\n".join(f'"{name}":{part(collected[name])}' for name in collected) + "\n}\n"
