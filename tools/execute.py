"""Execute the chapters and store them in a normal form.

    python tools/execute.py                      in place, every chapter
    python tools/execute.py particles            in place, one chapter
    python tools/execute.py --output DIR         into a copy of the book, the sources untouched
    python tools/execute.py --normalise          normal form only, nothing is executed
    python tools/execute.py --check              say which chapters are not in normal form

The normal form makes a second run leave no diff: it drops what differs between two runs of the same
code (times, versions, random ids, image metadata) and keeps everything else. What is dropped of the run
itself is kept in `book/data/execution.json`: how long each chapter took, when and with what.
"""

import argparse
import base64
import json
import re
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from tqdm import tqdm

from chapters import Chapter, chapters, write_whole

CHAPTER_SECONDS = 300
RECORD = Path("book", "data", "execution.json")
# Asked of another process: a GPU taken here would be missing in the chapters' kernels.
ENVIRONMENT = """
import json, os, platform, jax, numpy
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
versions = {"python": platform.python_version(), "jax": jax.__version__, "numpy": numpy.__version__}
print(json.dumps(versions | {"device": jax.devices()[0].device_kind, "cores": cores}))
"""
CELL_METADATA = {"tags", "mystnb"}
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


class ChapterFailed(Exception):
    """A chapter could not be executed; the message says where and why."""


# Normal form


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook; a cell without an id (an older format) gets one from its position."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    taken = {cell.get("id") for cell in notebook["cells"]}
    for position, cell in enumerate(notebook["cells"]):
        if "id" not in cell:
            cell["id"] = next(
                name
                for name in (f"cell-{position}{suffix}" for suffix in ("", *"abcdefgh"))
                if name not in taken
            )
    notebook["nbformat_minor"] = max(5, notebook["nbformat_minor"])
    return nbformat.reads(json.dumps(notebook), as_version=4)


def write(notebook: nbformat.NotebookNode) -> str:
    """The notebook in normal form, as the text of its file."""
    text = nbformat.writes(normalised(notebook)).rstrip("\n") + "\n"
    return _renumber_widgets(text, notebook)


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without what differs from one run to the next, save widget ids."""
    notebook = nbformat.from_dict(notebook)
    metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    if "widgets" in notebook.metadata:
        metadata["widgets"] = notebook.metadata.widgets
    notebook.metadata = nbformat.from_dict(metadata)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key in CELL_METADATA}
        )
        if cell.cell_type == "code":
            cell.outputs = _joined_streams(cell.outputs)
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    png = base64.b64decode(output.data["image/png"])
                    output.data["image/png"] = base64.b64encode(bare_png(png)).decode()
    return notebook


def bare_png(png: bytes) -> bytes:
    """The same image without its texts and times: what is left depends on the picture alone."""
    kept, position = [png[:8]], 8
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        end = position + 12 + length  # length, kind, data, checksum
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"):
            kept.append(png[position:end])
        position = end
    return b"".join(kept)


def _joined_streams(outputs: list[Any]) -> list[Any]:
    """Consecutive pieces of one stream as one: where the kernel cut them is chance."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _renumber_widgets(text: str, notebook: nbformat.NotebookNode) -> str:
    """Widgets' random ids as numbers, in the order in which the widgets were made."""
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    numbers = {name: f"{number:032x}" for number, name in enumerate(state)}
    if not numbers:
        return text
    whole_id = r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
    text = re.sub(whole_id, lambda found: numbers.get(found[0], found[0]), text)
    return json.dumps(json.loads(text), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


# Execution


def execute(chapter: Chapter) -> nbformat.NotebookNode:
    """Run a chapter in a fresh kernel and return it with its new outputs."""
    notebook = read(chapter.path)
    notebook.metadata.pop("widgets", None)  # else those of the previous run would stay
    deadline = time.monotonic() + CHAPTER_SECONDS
    place = "before its first cell"
    bar = tqdm(
        total=len(notebook.cells),
        desc=f"{chapter.name:<16}",
        unit="cell",
        leave=False,
        disable=None,
    )

    def started(cell: Any, cell_index: int) -> None:
        nonlocal place
        place = f"cell {cell_index + 1} of {len(notebook.cells)} (id {cell.id})"
        bar.update(cell_index + 1 - bar.n)

    client = NotebookClient(
        notebook,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(chapter.path.parent)}},
        timeout_func=lambda cell: max(1, int(deadline - time.monotonic())),
        on_cell_start=started,
        extra_arguments=["--log-level=ERROR"],
    )
    with bar:
        try:
            client.execute()
        except (CellControlSignal, DeadKernelError, TimeoutError) as error:
            raise ChapterFailed(f"{chapter.name}: {place}\n{error}") from error
    return notebook


def timed(chapter: Chapter) -> tuple[nbformat.NotebookNode, float]:
    """The chapter executed, and how many seconds that took."""
    begun = time.monotonic()
    return execute(chapter), time.monotonic() - begun


def environment() -> dict[str, str | int]:
    """What chapters run with: versions, device and cores."""
    command = [sys.executable, "-c", ENVIRONMENT]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def execute_all(book: list[Chapter], jobs: int, record: Path) -> None:
    """Run chapters and store each as soon as it is done; a chapter that fails is left as it was.

    The record of a chapter tells of the run that its stored outputs are from: where a run changes
    nothing, neither does the record.
    """
    records = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    where = environment()
    with ThreadPoolExecutor(jobs) as pool:
        begun = time.monotonic()
        running = {pool.submit(timed, chapter): chapter for chapter in book}
        for number, done in enumerate(as_completed(running), 1):
            chapter = running[done]
            try:
                notebook, seconds = done.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            text = write(notebook)
            if chapter.name not in records or text != chapter.path.read_text(encoding="utf-8"):
                date = datetime.now(UTC).date().isoformat()
                records[chapter.name] = {"seconds": round(seconds), "date": date, **where}
                record.parent.mkdir(exist_ok=True)
                write_whole(record, json.dumps(records, indent=1, sort_keys=True) + "\n")
            write_whole(chapter.path, text)
            elapsed = time.monotonic() - begun
            tqdm.write(f"[{number}/{len(book)}] {chapter.name} done, {elapsed:.0f} s")


def copy_book(root: Path, output: Path) -> None:
    """A fresh copy of everything that the site is built from."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "CITATION.cff"):
        shutil.copy(root / name, output)
    shutil.copytree(
        root / "book", output / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Execute the chapters, in normal form.")
    parser.add_argument("names", nargs="*", metavar="CHAPTER", help="these only, as in particles")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--output", type=Path, help="work in a fresh copy of the book in this folder"
    )
    parser.add_argument("--jobs", type=int, default=1, help="chapters at a time")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--normalise", action="store_true", help="do not execute, only normalise")
    what.add_argument(
        "--check", action="store_true", help="change nothing, fail if not in normal form"
    )
    args = parser.parse_args()

    record = (args.output or args.root) / RECORD
    if args.output:
        copy_book(args.root, args.output)
    book = chapters(args.output or args.root)
    if unknown := set(args.names) - {chapter.name for chapter in book}:
        parser.error(f"no such chapter: {', '.join(sorted(unknown))}")
    book = [chapter for chapter in book if not args.names or chapter.name in args.names]

    if not (args.normalise or args.check):
        if args.output:
            record.unlink(missing_ok=True)  # the copy is read beside this run, not the stored one
        try:
            execute_all(book, args.jobs, record)
        except ChapterFailed as failure:
            print(f"failed: {failure}", file=sys.stderr)
            return 1
        return 0
    untidy = [c for c in book if c.path.read_text(encoding="utf-8") != write(read(c.path))]
    for chapter in untidy:
        print(f"{chapter.path.name}: {'put into' if args.normalise else 'not in'} normal form")
        if args.normalise:
            write_whole(chapter.path, write(read(chapter.path)))
    return int(args.check and bool(untidy))


if __name__ == "__main__":
    sys.exit(main())
