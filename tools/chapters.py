"""The chapters of the book, as `_toc.yml` lists them."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Chapter:
    """A page of the book that is a notebook."""

    path: Path
    number: int | None  # None for a page outside the numbered parts, such as the welcome page

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def page(self) -> str:
        """The page's address, seen from another page of the book."""
        return f"{self.name}.html"

    @property
    def title(self) -> str:
        """The first heading, with the chapter's number as the site shows it."""
        notebook = json.loads(self.path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            heading = re.search(r"^# +(.+)$", "".join(cell["source"]), re.MULTILINE)
            if cell["cell_type"] == "markdown" and heading:
                return f"{self.number}. {heading[1]}" if self.number else heading[1]
        raise ValueError(f"{self.path}: no cell holds a first-level heading")


def pages(root: Path) -> list[tuple[Path, int | None]]:
    """Every page of the table of contents, without suffix and in order, with its number."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found: list[tuple[Path, int | None]] = [(root / toc["root"], None)]
    count = 0
    for part in toc.get("parts", []):
        for entry in part["chapters"]:
            count += bool(part.get("numbered"))
            found.append((root / entry["file"], count if part.get("numbered") else None))
    return found


def chapters(root: Path) -> list[Chapter]:
    """The pages that are notebooks, in order."""
    notebooks = [(page.with_suffix(".ipynb"), number) for page, number in pages(root)]
    return [Chapter(path, number) for path, number in notebooks if path.exists()]


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is at any moment either the old one or the new one."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
