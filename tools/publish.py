"""Write the book's public address where everything that needs one reads it.

    python tools/publish.py https://github.com/OWNER/NAME [--site https://ADDRESS/]

This sets `repository: url` and `html: baseurl` in `_config.yml`, and gives every chapter a first code
cell, not shown on the page, that fetches the library from the repository where it is not installed
(Colab). A second run with the same arguments changes nothing. Without `--site`, the site's address
stays as it is.
"""

import argparse
import re
import sys
from pathlib import Path

from nbformat import v4

import execute
from chapters import chapters, write_whole

CELL = "get-mflib"
# The whole repository, because chapters read their data beside themselves.
SOURCE = """\
import importlib.util

if importlib.util.find_spec("mflib") is None:  # Colab, for example
    !git clone --quiet --depth 1 --branch {branch} {repository} book-source
    %pip install --quiet ./book-source
    %cd -q book-source/book"""


class PublishError(Exception):
    """The book cannot be given that address; the message says what was expected."""


def repository(text: str) -> str:
    """The address of a repository on GitHub, the only one that Colab opens, without its end."""
    found = re.fullmatch(r"(https://github\.com/[\w-]+/[\w.-]+?)(\.git)?/?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected https://github.com/OWNER/NAME, got {text!r}")
    return found[1]


def site(text: str) -> str:
    """The address of the site's folder, with a slash at its end."""
    if not re.fullmatch(r"https?://[\w.:-]+(/[\w.~-]+)*/?", text):
        raise argparse.ArgumentTypeError(f"expected https://HOST/FOLDER/, got {text!r}")
    return text.rstrip("/") + "/"


def with_address(config: str, key: str, address: str) -> str:
    """The text of `_config.yml` with one of its addresses set, all else as it was.

    Raises:
        PublishError: The key is not there, or more than once.
    """
    changed, count = re.subn(rf'^(  {key}: )".*"$', rf'\g<1>"{address}"', config, flags=re.M)
    if count != 1:
        raise PublishError(f'_config.yml: one line `  {key}: "…"` was expected, there are {count}')
    return changed


def branch(config: str) -> str:
    """The branch that `_config.yml` names.

    Raises:
        PublishError: It names none.
    """
    found = re.search(r"^repository:\n(?:  .*\n)*?  branch: ([\w./-]+)$", config, re.M)
    if not found:
        raise PublishError("_config.yml: a line `  branch: …` below `repository:` was expected")
    return found[1]


def with_cell(path: Path, source: str) -> str:
    """The text of a notebook whose first code cell is the one with that source."""
    notebook = execute.read(path)
    notebook.cells = [cell for cell in notebook.cells if cell.id != CELL]
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    cell = v4.new_code_cell(source, id=CELL, metadata={"tags": ["remove-cell"]})
    notebook.cells.insert(code[0], cell)
    for count, number in enumerate([code[0], *(number + 1 for number in code)], 1):
        notebook.cells[number].execution_count = count
        for output in notebook.cells[number].outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return execute.write(notebook)


def publish(root: Path, repository: str, site: str | None) -> list[Path]:
    """Write the addresses into the book below `root`; the files that this changed."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    new = {root / "_config.yml": with_address(config, "url", repository)}
    if site:
        new[root / "_config.yml"] = with_address(new[root / "_config.yml"], "baseurl", site)
    source = SOURCE.format(repository=repository, branch=branch(config))
    new |= {chapter.path: with_cell(chapter.path, source) for chapter in chapters(root)}
    changed = [path for path, text in new.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        write_whole(path, new[path])
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description="Give the book its public address.")
    parser.add_argument("repository", type=repository, metavar="REPOSITORY_URL")
    parser.add_argument("--site", type=site, metavar="SITE_URL", help="where the pages are read")
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    try:
        changed = publish(args.root, args.repository, args.site)
    except PublishError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(changed)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
