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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

import jax
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
        devices: Sequence[jax.Device] = (),
    ) -> Outcome:
        """Run what is not finished, smallest `order` first (None: cheapest first).

        Each of the `devices` (none: where JAX puts things) takes the next run as soon as it is free; if
        there are several, a thread each, so that `run` must be safe to call in two at once.

        No new run begins after `budget` seconds, and Ctrl-C ends cleanly: at once, but on several
        devices when what is in flight is finished. A run that ends in a `RuntimeError` (a solver that
        gave up, no memory) is reported and left out; the next start tries it again.

        **Raises** `RuntimeError` if another process is at work on this sweep.
        """
        begun = time.monotonic()
        with self._alone():
            missing = [config for config in configs if self.record(config) is None]
            todo = deque(sorted(missing, key=order or self.cost))
            count = Counter(done=len(configs) - len(todo))
            interrupted, lock = False, Lock()
            bar = tqdm(
                total=sum(map(self.cost, todo)),
                desc=f"{self.name} {count['done']}/{len(configs)}",
                bar_format="{desc} |{bar:20}| {elapsed}, {remaining} left",
                smoothing=0,  # the mean rate: a single run says little
                mininterval=0.1 if sys.stderr.isatty() else 60,
            )

            def take() -> Config | None:
                with lock:
                    late = time.monotonic() - begun >= budget
                    return None if late or not todo else todo.popleft()

            def work(device: jax.Device | None) -> None:
                with jax.default_device(device) if device else nullcontext():
                    while (config := take()) is not None:
                        try:
                            self._finish(config)
                            ended = "done"
                        except (RuntimeError, FloatingPointError) as error:
                            ended = "failed"
                            bar.write(f"failed: {config}: {error}", file=sys.stderr)
                        with lock:
                            count[ended] += 1
                            done = f"{self.name} {count['done']}/{len(configs)}"
                            bar.set_description_str(done, refresh=False)
                            bar.update(self.cost(config))

            with bar:
                try:
                    _each(work, devices or [None], todo.clear)
                except KeyboardInterrupt:
                    interrupted = True
        return Outcome(count["done"], len(configs), count["failed"], interrupted)

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
        write_whole(output, lines(collected))
        return collected


def _each(work: Callable, devices: Sequence, stop: Callable) -> None:
    """`work` on every device at once; on one, in this thread, where Ctrl-C reaches it.

    After an exception in any of them, or here, `stop` tells the others to begin nothing new.
    """
    if len(devices) == 1:
        work(devices[0])
        return
    with ThreadPoolExecutor(len(devices)) as threads:
        try:
            for ended in as_completed([threads.submit(work, device) for device in devices]):
                ended.result()
        except BaseException:
            stop()
            raise


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


def lines(collected: Mapping[str, Any]) -> str:
    """JSON with a line for each entry of a list of dictionaries, so that a diff says what changed."""

    def part(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            return "[\n" + ",\n".join(map(_canonical, value)) + "\n]"
        return _canonical(value)

    return "{\n" + ",\n".join(f'"{name}":{part(collected[name])}' for name in collected) + "\n}\n"
