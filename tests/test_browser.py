"""The pages as a reader has them. Each is visited once (`visiting.py`); then each check has a test.

What the pages look like is left in `_build/screenshots`, with what was measured.
"""

import functools
import http.server
import json
import statistics
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from chapters import pages
from visiting import CHECKS, MOST_BYTES, visit, weight

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "_build" / "screenshots"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """The address of a folder on this machine."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def visits(window, site):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    names = [page.relative_to(ROOT).with_suffix(".html") for page, _ in pages(ROOT)]
    with served(site) as base:
        found = {
            name.stem: visit(
                window, f"{base}{name.as_posix()}", base, site, SCREENSHOTS / name.stem
            )
            for name in names
        }
    measured = {
        name: {"bytes": page.bytes, "first content, ms": round(page.paint or 0)}
        for name, page in found.items()
    }
    (SCREENSHOTS / "measured.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_every_page(visits, check):
    assert {name: page.faults[check] for name, page in visits.items() if page.faults[check]} == {}


def test_there_was_something_to_look_at(visits):
    assert sum(page.sliders for page in visits.values()) >= 10
    assert sum(page.quizzes for page in visits.values()) >= 3 * 13
    assert sum(page.formulas for page in visits.values()) >= 1000
    assert len([*SCREENSHOTS.glob("*-light.jpg")]) >= len(visits)


def test_first_content_is_there_within_a_second(visits):
    assert statistics.median(page.paint for page in visits.values()) < 1000


def test_a_page_opened_from_a_folder_works(window, site):
    """Those with sliders of both kinds."""
    for name in ("single_index", "coupling"):
        address = (site / "book" / f"{name}.html").as_uri()
        found = visit(window, address, f"{site.as_uri()}/", site)
        assert found.sliders and found.formulas
        assert {check: faults for check, faults in found.faults.items() if faults} == {}


GOOD = """<!DOCTYPE html><html lang="en"><head><title>Good</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"></head><body><main><article>
<h1>One</h1><h2>Two</h2><h3>Three</h3><h2 id="here">Two</h2><a href="#here">there</a>
<figure><img alt="a square" src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E">
<figcaption>A square.</figcaption></figure><div>
<label>t <input type="range" max="3" oninput="this.nextElementSibling.innerHTML = this.value"><svg>
</svg></label></div>BODY</article></main></body></html>"""


@pytest.mark.parametrize(
    ("check", "body"),
    [
        ("asks another site", '<img alt="x" src="http://localhost:9/x.png">'),
        ("failed requests", '<script src="gone.js"></script>'),
        ("errors", "<script>throw Error('no')</script>"),
        ("errors", "<script>console.error('no')</script>"),
        ("formulas", '<span class="math">x</span>'),
        ("formulas", "<mjx-container><mjx-merror>x</mjx-merror></mjx-container>"),
        ("formulas", r"<p>where \(x\) is</p>"),
        ("sliders", '<label>t <input type="range" max="3"></label>'),
        ("sliders", '<div role="slider" aria-label="t" aria-valuenow="1" tabindex="0">t</div>'),
        ("quizzes", '<div class="mflib-quiz"><label><input type="radio">Yes</label></div>'),
        ("overflow", '<p style="width: 500px">wide</p>'),
        ("overflow", '<p style="width: 2000px">wide</p>'),
        ("headings", "<h4>Four</h4>"),
        ("headings", "<h1>Another</h1>"),
        ("pictures", '<img src="data:image/svg+xml,%3Csvg/%3E">'),
        ("pictures", "<figure><figcaption> </figcaption></figure>"),
        ("accessibility", '<input type="text">'),
        ("accessibility", '<p style="color: #bbb; background: #fff">pale</p>'),
        ("links", '<a href="gone.html">gone</a>'),
        ("links", '<a href="#gone">gone</a>'),
        ("size", '<script src="large.js"></script>'),
        ("paint", "<script>document.body.hidden = true</script>"),
    ],
)
def test_faults_are_found(window, tmp_path, check, body):
    (tmp_path / "large.js").write_text(" " * (MOST_BYTES + 1))
    (tmp_path / "page.html").write_text(GOOD.replace("BODY", body))
    with served(tmp_path) as base:
        assert visit(window, f"{base}page.html", base, tmp_path).faults[check]


def test_a_good_page_has_no_faults(window, tmp_path):
    (tmp_path / "page.html").write_text(GOOD.replace("BODY", ""))
    with served(tmp_path) as base:
        found = visit(window, f"{base}page.html", base, tmp_path)
    assert {check: faults for check, faults in found.faults.items() if faults} == {}
    assert found.sliders == 1 and found.bytes > 0 and found.paint > 0


def test_what_all_pages_share_does_not_weigh():
    files = [("http://x/book/a.html", 3), ("http://x/_static/a.js", 5), ("http://x/vendor/b.js", 7)]
    assert weight(files) == 3
