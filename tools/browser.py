"""Find a Chromium to print the book and to test its pages with.

    python tools/browser.py

As a command, it fetches one where there is none: from the system's packages where it may (root, on Debian
and its like), else by Playwright; and says what to do where both fail.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    *(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium")),
)


_PACKAGES = (
    ("apt-get", "update", "-qq"),
    ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"),
)
_PLAYWRIGHT = ((sys.executable, "-m", "playwright", "install", "chromium"),)


class NoBrowser(Exception):
    """There is no browser; the message says what to install."""


def find() -> str:
    """The path of a browser: one on the search path, or else Playwright's own.

    Raises:
        NoBrowser: There is neither.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    if own := _own():
        return own
    raise NoBrowser(
        f"no browser here: install Chromium or Chrome ({', '.join(BROWSERS)}),"
        " or run `.venv/bin/playwright install --with-deps chromium`"
    )


def _own() -> str | None:
    """Where Playwright has installed its own Chromium, if it has."""
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def main() -> None:
    try:
        find()
        return
    except NoBrowser:
        print("Fetching a browser for the tests of the pages")
    for commands in (_PACKAGES, _PLAYWRIGHT) if _may_install() else (_PLAYWRIGHT,):
        for command in commands:
            subprocess.run(command, check=False)
        with suppress(NoBrowser):
            find()
            return
    try:
        find()
    except NoBrowser as error:
        print(f"NOTICE: {error}", file=sys.stderr)


def _may_install() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("apt-get"))


if __name__ == "__main__":
    main()
