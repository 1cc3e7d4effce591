"""A chapter's text for a reader in plain Jupyter, which knows no directives, labels or macros.

References become the numbers and titles that the site shows, proofs and answers `details`, statements
`blockquote`: HTML, because in a Markdown quotation Jupyter would take the `>` of each line into a formula.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import yaml
from pybtex.database import parse_file

import execute
from chapters import chapters, pages
from myst import Directive, blocks

EQUATION = re.compile(r"\n?\$\$ \((?P<label>[\w-]+)\)")
LABEL = re.compile(r"^\((?P<label>[\w-]+)\)=\n+#+ (?P<title>.+)$", re.MULTILINE)
TARGET = re.compile(r"^\([\w-]+\)=\n+", re.MULTILINE)
ROLE = re.compile(
    r"\{(?P<role>[\w:]+)\}`(?:(?P<words>[^`<]+)<(?P<explicit>[^`>]+)>|(?P<name>[^`]+))`"
)
LINK = re.compile(r"\[(?P<words>[^\]]+)\]\((?P<name>[\w-]+)\)")
ANSWER = re.compile(r"^- \[(?P<right>[xX ])\] +", re.MULTILINE)
# What the site calls each directive that has a number and a label.
STATEMENTS = "algorithm corollary definition example lemma proposition remark theorem"
NUMBERED = {f"prf:{kind}": kind.capitalize() for kind in STATEMENTS.split()}
NUMBERED |= dict.fromkeys(("exercise", "exercise-start"), "Exercise")


def names(root: Path) -> dict[str, str]:
    """What the site calls each label of the book: "Proposition 1.3", "1.4" of an equation, a title."""
    found = {}
    notebooks = {chapter.path: chapter for chapter in chapters(root)}
    for page, number in pages(root):
        if (path := page.with_suffix(".ipynb")) in notebooks:
            cells = execute.read(path).cells
            title = notebooks[path].title.split(". ", 1)[-1] if number else notebooks[path].title
            found[page.name] = f"*{title}*" + (f" (chapter {number})" if number else "")
        elif (path := page.with_suffix(".md")).exists():
            text = path.read_text(encoding="utf-8")
            cells = [{"cell_type": "markdown", "source": text, "metadata": {}}]
            found[page.name] = f"*{re.search('^# (.+)$', text, re.MULTILINE)[1]}*"
        else:
            continue  # the ledger, which is generated
        found |= _numbered(cells, f"{number}." if number else "")
    library = parse_file(root / "book" / "references.bib")
    return found | {key: _cited(entry) for key, entry in library.entries.items()}


def _cited(entry: object) -> str:
    authors = [" ".join(map(str, person.rich_last_names)) for person in entry.persons["author"]]
    several = f"{authors[0]} et al." if len(authors) > 3 else ", ".join(authors)
    return f"{several} ({entry.fields['year']})"


def _numbered(cells: list, prefix: str) -> dict[str, str]:
    """The names of the labels in one page, whose numbers begin with `prefix`."""
    found, count = {}, Counter()

    def number(kind: str, label: str, words: str) -> None:
        count[kind] += 1
        found[label] = f"{words}{prefix}{count[kind]}"

    for cell in cells:
        if "remove-cell" in cell["metadata"].get("tags", []):
            continue
        if name := cell["metadata"].get("mystnb", {}).get("figure", {}).get("name"):
            number("figure", name, "Fig. ")
        if cell["cell_type"] != "markdown":
            continue
        for label in EQUATION.finditer(cell["source"]):
            number("equation", label["label"], "")
        found |= {match["label"]: f"*{match['title']}*" for match in LABEL.finditer(cell["source"])}
        for directive in _directives(cell["source"]):
            if words := NUMBERED.get(directive.name):
                number(words, directive.options["label"], f"{words} ")
            elif directive.name == "quiz":
                found[directive.options["label"]] = f"*{directive.argument}*"
    return found


def _directives(text: str) -> Iterator[Directive]:
    for block in blocks(text):
        if isinstance(block, Directive):
            yield block
            yield from _directives(block.body)


def macros(root: Path) -> str:
    """The macros of `_config.yml` as a formula that defines them."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    defined = config["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    commands = []
    for name, value in defined.items():
        body, arguments = (value, 0) if isinstance(value, str) else value
        commands.append(
            f"\\newcommand{{\\{name}}}{f'[{arguments}]' if arguments else ''}{{{body}}}"
        )
    return f"${''.join(commands)}$"


def text(source: str, labels: dict[str, str]) -> str:
    """Text in which labels are gone and references are words."""

    def reference(match: re.Match[str]) -> str:
        name = (match["explicit"] or match["name"]).strip()
        if match["role"] in ("func", "class", "mod", "meth"):
            return f"`{name.lstrip('~')}`"
        if match["words"]:
            return match["words"].strip()
        words = labels[name.removeprefix("/")]
        return f"({words})" if match["role"] in ("eq", "cite:p") else words

    def link(match: re.Match[str]) -> str:
        return match["words"] if match["name"] in labels else match[0]

    def tag(match: re.Match[str]) -> str:
        return f"\n\\tag{{{labels[match['label']]}}}\n$$"

    without = TARGET.sub("", source)
    return ROLE.sub(reference, LINK.sub(link, EQUATION.sub(tag, without)))


def plain(content: str | Directive, labels: dict[str, str]) -> str:
    """A text or a directive as Jupyter shows it."""
    if isinstance(content, str):
        return text(content, labels)
    title = text(content.argument, labels)
    if content.name == "quiz":
        return _quiz(content, title, labels)
    body = "\n\n".join(plain(block, labels) for block in blocks(content.body))
    if content.name == "dropdown":
        return _details(title, body)
    kind = labels.get(content.options.get("label", ""), content.name.capitalize())
    heading = f"**{kind}** ({title})" if title else f"**{kind}**"
    return quotation(heading, body)


def quotation(heading: str, body: str) -> str:
    """A block with a heading."""
    return f"<blockquote>\n\n{heading}\n\n{body}\n\n</blockquote>"


def _details(title: str, body: str) -> str:
    words = re.sub(r"[*`$]", "", title)  # a summary is HTML
    return f"<details><summary><b>{html.escape(words)}</b></summary>\n\n{body}\n\n</details>"


def _quiz(content: Directive, title: str, labels: dict[str, str]) -> str:
    """The question, its answers, and what is said of them behind a title that opens."""
    question, *items = ANSWER.split(text(content.body, labels))
    lines, feedback = [], []
    for letter, right, item in zip("abcd", items[::2], items[1::2], strict=False):
        first, _, why = item.partition("\n\n")
        lines.append(f"- {letter}. {' '.join(first.split())}")
        verdict = "Not so." if right == " " else "Right."
        feedback.append(f"**{letter}. {verdict}** {re.sub(r'^  ', '', why, flags=re.MULTILINE)}")
    answers = _details("Answers", "\n\n".join(part.strip() for part in feedback))
    return "\n\n".join([f"**{title}**", question.strip(), "\n".join(lines), answers])
