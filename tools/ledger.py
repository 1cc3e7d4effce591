"""Write `book/ledger.md`, the table of the chapters' claims, from their stored outputs."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from chapters import Chapter, chapters, write_whole

# mflib.claims.MIME, repeated because importing it would start JAX; a test compares the two.
MIME = "application/vnd.mflib.claim+json"

INTRO = """\
# Claims ledger

Every number that this book claims is checked where it is claimed, each time the book is executed.
This page is generated from those checks.

*Said in* names the origin of a statement: the **abstract** of {cite:t}`GlasgowWuBruna2025`, which
is all that is used of the paper; **ours**, derived in this book; or **standard**, known before. A
statement of the abstract is **reproduced**, **partly** reproduced or **not reproduced**; for the
others the status repeats the origin. That the check passed is common to every row: a claim whose
number fails its tolerance stops the book.
"""


class LedgerError(Exception):
    """The chapters' claims do not make a ledger."""


def claims(chapter: Chapter) -> list[dict[str, str]]:
    """The records of the claims in a chapter's stored outputs, in order."""
    notebook = json.loads(chapter.path.read_text(encoding="utf-8"))
    return [
        output["data"][MIME]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]


def ledger(book: list[Chapter]) -> str:
    """The page as MyST text.

    Raises:
        LedgerError: A key is used twice, or a numbered chapter claims nothing.
    """
    found = {chapter: claims(chapter) for chapter in book}
    keys = Counter(record["key"] for records in found.values() for record in records)
    if repeated := [key for key, count in keys.items() if count > 1]:
        raise LedgerError(f"claims with the same key: {', '.join(repeated)}")
    if silent := [
        chapter.name for chapter, records in found.items() if chapter.number and not records
    ]:
        raise LedgerError(f"chapters without a claim in their stored outputs: {', '.join(silent)}")

    statuses = Counter(record["status"] for records in found.values() for record in records)
    total = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    sections = [INTRO, f"**{keys.total()} claims**: {total}.\n"]
    sections += [_section(chapter, records) for chapter, records in found.items() if records]
    return "\n".join(sections)


def _section(chapter: Chapter, records: list[dict[str, str]]) -> str:
    rows = [
        f"## {chapter.title}\n",
        "| Claim | Said in | Statistic | Tolerance | Status |",
        "|---|---|---|---|---|",
    ]
    for record in records:
        # A plain HTML link: the anchor stands in a cell's output, where Sphinx does not see it.
        link = f'<a href="{chapter.page}#claim-{record["key"]}"><code>{record["key"]}</code></a>'
        tolerance = (
            f"{record['criterion']}; {record['why']}" if record["why"] else record["criterion"]
        )
        columns = (
            f"{record['statement']} {link}",
            record["source"],
            record["value"],
            tolerance,
            record["status"],
        )
        rows.append(f"| {' | '.join(_in_table(column) for column in columns)} |")
    return "\n".join(rows) + "\n"


def _in_table(text: str) -> str:
    """The text on one line, with its bars kept from ending the column."""
    return " ".join(text.split()).replace("|", r"\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).parents[1])
    root = parser.parse_args().root
    try:
        write_whole(root / "book" / "ledger.md", ledger(chapters(root)))
    except LedgerError as error:
        print(f"book/ledger.md: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
