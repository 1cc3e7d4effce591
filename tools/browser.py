"""Find a Chromium to print the book and to test its pages with.

    python tools/browser.py

As a command, it lets Playwright fetch one where there is none, and says what to do where that fails.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


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
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    try:
        find()
    except NoBrowser as error:
        print(f"NOTICE: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
