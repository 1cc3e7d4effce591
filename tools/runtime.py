"""Fetch what the pages run in the browser: MathJax and the widgets of Jupyter, at locked versions.

    python tools/runtime.py

The npm client installs what `web/package-lock.json` names, checks each package against the hash there
and runs none of their scripts; the few files a page loads are then copied to `_build/runtime/site`,
from where `book/_ext/offline.py` publishes them. A second run does nothing until the
lock changes. Without npm, or without a network, the pages load public copies, and a notice says so.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Where a package's files go, by pattern. One script of MathJax holds its fonts as outlines, so that a page
# opened from a folder needs no other file; the widgets' one takes the font of its icons from beside it.
FILES = {
    "site/vendor": [
        "mathjax/es5/tex-svg-full.js",
        "@jupyter-widgets/html-manager/dist/embed.js",
        "@jupyter-widgets/html-manager/dist/*.woff2",
    ],
    "slides": [
        "reveal.js/dist/reveal.js",
        "reveal.js/dist/reveal.css",
        "reveal.js/dist/plugin/notes.js",
    ],
    "tests": ["axe-core/axe.min.js"],
}


class NoRuntime(Exception):
    """What the pages run could not be fetched; the message says why."""


def fetch(root: Path = ROOT, *, npm: str = "npm") -> Path:
    """Make `_build/runtime` of a project what its lock says, and return it.

    **Raises** `NoRuntime` where there is no npm client, or it cannot fetch or verify a package. Nothing
    of another version is left there then.
    """
    folder = root / "_build" / "runtime"
    lock = (root / "web" / "package-lock.json").read_bytes()
    stamp = hashlib.sha256(lock + Path(__file__).read_bytes()).hexdigest()
    made = folder / "stamp"
    if made.is_file() and made.read_text(encoding="utf-8") == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as installed:
        _install(root / "web", Path(installed), npm)
        for target, patterns in FILES.items():
            (folder / target).mkdir(parents=True)
            for pattern in patterns:
                found = sorted((Path(installed) / "node_modules").glob(pattern))
                if not found:
                    raise NoRuntime(f"the package holds no {pattern}")
                for path in found:
                    shutil.copy(path, folder / target)
    made.write_text(stamp, encoding="utf-8")  # last: what an interruption left has no stamp
    return folder


def _install(web: Path, folder: Path, npm: str) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(web / name, folder)
    client = shutil.which(npm)
    if client is None:
        raise NoRuntime(
            "there is no npm client here (it comes with Node.js: install that, then run this again)"
        )
    try:
        ended = subprocess.run(
            [client, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        raise NoRuntime("the npm client did not end within five minutes") from None
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if line.startswith("npm error")]
        raise NoRuntime(f"the npm client failed: {'; '.join(errors[:3]) or ended.stderr.strip()}")


def main() -> None:
    try:
        fetch()
    except NoRuntime as error:
        print(
            f"NOTICE: {error}.\n"
            "NOTICE: the pages will load MathJax and the widgets from public copies on the network.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
