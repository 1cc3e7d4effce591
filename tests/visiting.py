"""Looking at one page as a reader has it: in a browser, wide and on a phone, light and dark, by keyboard."""

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Error as BrowserError, Page, TimeoutError as BrowserTimeout

import runtime

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MOST_BYTES = 1_500_000
# What a reader should wait at most is 1 s. A single page may be slower where the tests share two
# cores with others; the median may not.
SLOWEST_PAINT = 3000
TALLEST = 4000
# Every page loads these, once for the whole book.
SHARED = ("/vendor/", "/_static/")
CHECKS = (
    *(
        "asks another site",
        "failed requests",
        "errors",
        "formulas",
        "sliders",
        "quizzes",
        "overflow",
    ),
    *("headings", "pictures", "accessibility", "links", "size", "paint"),
)

FORMULAS = r"""() => {
  const all = [...document.querySelectorAll(".math")];
  const raw = all.filter((e) => !e.querySelector("mjx-container"));
  const wrong = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const left = [];
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (/\\[([]/.test(walk.currentNode.data) && !parent.closest("pre, code, script, style, .math"))
      left.push(parent);
  }
  return [...raw, ...wrong, ...left].map((e) => e.textContent.slice(0, 60));
}"""
# The part of the page that a slider moves: what is visible of its pictures.
PICTURE = """(slider) => {
  const around = slider.closest(".mflib-explore, .cell_output, .output, body");
  return [...around.querySelectorAll("img, svg")]
    .filter((e) => e.checkVisibility()).map((e) => e.outerHTML).join("");
}"""
# What a screen reader is told of an answer, by the names of the answers.
SAID = """(input) => [...input.closest(".mflib-quiz").querySelectorAll("[aria-live] > *")]
  .filter((e) => e.checkVisibility() && e.textContent.trim()).map((e) => e.dataset.answer)"""
# Without going there: to lay out a long page anew takes most of the time of a visit.
FOCUS = "(e) => e.focus({ preventScroll: true })"
# Elements that reach over the right edge, but for those inside something that scrolls.
OVERFLOW = """() => {
  const root = document.documentElement, width = root.clientWidth;
  if (root.scrollWidth <= width) return [];
  const scrolls = (e) => e && e !== document.body &&
    (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  const over = [...document.body.querySelectorAll("*")].filter(
    (e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement));
  return [`${root.scrollWidth} px on ${width}`].concat(
    over.slice(0, 3).map((e) => e.outerHTML.slice(0, 150)));
}"""
HEADINGS = """() => [...document.querySelectorAll("article :is(h1, h2, h3, h4, h5, h6)")]
  .filter((e) => e.checkVisibility()).map((e) => Number(e.tagName[1]))"""
PICTURES = """() => [...document.querySelectorAll("article img")]
    .filter((e) => !e.alt.trim()).concat(
  [...document.querySelectorAll("article figure")]
    .filter((e) => !e.querySelector("figcaption")?.textContent.trim()))
  .map((e) => e.outerHTML.slice(0, 100))"""
LINKS = """() => [...document.querySelectorAll("a[href]")].map((a) => a.href)
  .filter((a) => a.startsWith(location.href.replace(/[^/]*$/, "").replace(/book\\/$/, "")))"""
IDS = """() => [...document.querySelectorAll("[id], a[name]")].map((e) => e.id || e.name)"""
# What a page weighs, whether or not it was in the browser's memory from another page.
TRANSFERS = """() => [...performance.getEntriesByType("navigation"),
  ...performance.getEntriesByType("resource")].map((e) => [e.name, e.encodedBodySize])"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""
# Without preload: axe would ask for the style sheets again, which a page from a folder may not.
AXE = """async (only) => {
  const options = { ...only, preload: false, resultTypes: ["violations"] };
  const { violations } = await axe.run(document, options);
  return violations.map((v) => `${v.id} × ${v.nodes.length}: ${v.nodes[0].html.slice(0, 160)}`
    + ` (${v.nodes[0].target}; ${v.nodes[0].any.map((a) => a.message).join("; ").slice(0, 200)})`);
}"""
# Nearly all that axe would look at is the inside of formulas, of which it has nothing to say, and the
# words of code, of which one of each kind on each ground is enough.
FEWER = """() => {
  const seen = new Set(), repeated = [];
  for (const word of document.querySelectorAll(":is(pre, dt.sig) span:not(:has(*))")) {
    const kind = word.className + getComputedStyle(word.closest("pre, dt")).backgroundColor;
    if (seen.has(kind)) repeated.push(word);
    seen.add(kind);
  }
  // All at once: reading styles between changes would lay the page out each time.
  for (const word of repeated) word.replaceWith(word.textContent);
  document.querySelectorAll("mjx-container").forEach((e) => e.replaceChildren("x"));
  document.body.normalize();
}"""
# The theme lets the keyboard reach what scrolls, a moment after the window has another size.
REACHABLE = """() => [...document.querySelectorAll("pre, .pst-scrollable-table-container")].every(
  (e) => e.scrollWidth <= e.clientWidth || e.tabIndex === 0)"""
OPEN = "(open) => document.querySelectorAll('details').forEach((e) => { e.open = open; })"
STILL = "* { animation: none !important; transition: none !important; }"
STEADY = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass
class Visit:
    """What was found on a page, by check, and what was measured."""

    faults: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in CHECKS})
    bytes: int = 0
    paint: float | None = None
    sliders: int = 0
    quizzes: int = 0
    formulas: int = 0


def heading_faults(levels: list[int]) -> list[str]:
    """Where the headings of a page do not begin with its only h1, or a level is left out."""
    faults = [] if levels[:1] == [1] else [f"the first heading is h{levels[0] if levels else '?'}"]
    for before, level in itertools.pairwise(levels):
        if level > before + 1 or level == 1:
            faults.append(f"h{level} after h{before}")
    return faults


def weight(transfers: list[tuple[str, int]]) -> int:
    """The bytes of what is the page's own."""
    return sum(size for name, size in transfers if not any(part in name for part in SHARED))


def dead_links(links: list[str], ids: list[str], here: str, base: str, site: Path) -> list[str]:
    """Links of a page, as the browser reads them, to no file or to no anchor of the page itself."""
    dead = []
    for link in links:
        address, _, fragment = link.partition("#")
        path = unquote(urlsplit(address.removeprefix(base)).path).lstrip("/")
        if not (site / path).exists():
            dead.append(link)
        elif address == here and fragment and unquote(fragment) not in ids:
            dead.append(link)
    return dead


def slider_faults(page: Page) -> tuple[int, list[str]]:
    """The number of sliders, and those that move no picture from the keyboard."""
    found = page.query_selector_all("article :is([role=slider], input[type=range])")
    faults = []
    for number, slider in enumerate(found):
        value = "e => e.getAttribute('aria-valuenow') ?? e.value"
        try:
            slider.focus()
            page.keyboard.press("Home")
            page.evaluate(STEADY)
            first, picture = slider.evaluate(value), slider.evaluate(PICTURE)
            page.keyboard.press("ArrowRight")
            page.evaluate(STEADY)
            if slider.evaluate(value) == first:
                faults.append(f"slider {number}: an arrow key does not move it")
            page.keyboard.press("End")
            page.wait_for_function(
                f"([slider, before]) => ({PICTURE})(slider) !== before",
                arg=[slider, picture],
                timeout=2000,
            )
        except BrowserError as error:
            faults.append(f"slider {number}: its picture stays ({error.message.splitlines()[0]})")
    return len(found), faults


def quiz_faults(page: Page) -> tuple[int, list[str]]:
    """The number of quizzes, and answers that the keyboard cannot choose, or of which too early or never is said what is to be said."""
    quizzes, faults = page.query_selector_all(".mflib-quiz"), []
    for quiz in quizzes:
        answers, check = quiz.query_selector_all("input"), quiz.query_selector("button")
        for number, answer in enumerate(answers):
            answers[max(0, number - 1)].evaluate(FOCUS)
            page.keyboard.press("ArrowDown" if number else "Space")
            name, early = answer.get_attribute("id"), answer.evaluate(SAID)
            if check:
                check.evaluate(FOCUS)
                page.keyboard.press("Enter")
            said = answer.evaluate(SAID)
            if not answer.is_checked() or early or said != [name]:
                faults.append(f"{name}: feedback to {early} unasked, to {said} when asked")
    return len(quizzes), faults


def screenshot(page: Page, path: str) -> None:
    """The page from its top; a whole one of 40,000 pixels would take seconds."""
    width = page.viewport_size["width"]
    height = min(TALLEST, page.evaluate("() => document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=path, full_page=True, clip=clip, quality=60)


def visit(browser, address: str, base: str, site: Path, shots: Path | None = None) -> Visit:
    """Look at a page in every way there is a check for, below `base`, which serves `site`."""
    found = Visit()
    faults = found.faults
    context = browser.new_context(viewport=WIDE, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()

    def requested(request):
        if not request.url.startswith((base, "data:", "blob:")):
            faults["asks another site"].append(request.url)

    def answered(response):
        if response.status >= 400:
            faults["failed requests"].append(f"{response.status} {response.url}")

    page.on("request", requested)
    page.on("response", answered)
    page.on("requestfailed", lambda request: faults["failed requests"].append(request.url))
    page.on("pageerror", lambda error: faults["errors"].append(str(error)))
    page.on("console", lambda m: faults["errors"].append(m.text) if m.type == "error" else None)

    page.goto(address, wait_until="load")
    page.evaluate("() => window.MathJax?.startup?.promise.then(() => null)")
    if page.query_selector("script[type='application/vnd.jupyter.widget-view+json']"):
        page.wait_for_selector(".jupyter-widgets", state="attached", timeout=20_000)
    page.evaluate(STEADY)

    found.paint = page.evaluate(PAINT)
    found.bytes = weight(page.evaluate(TRANSFERS))
    found.formulas = page.locator("mjx-container").count()
    if found.paint is None or found.paint > SLOWEST_PAINT:
        faults["paint"].append(f"{found.paint} ms")
    if found.bytes > MOST_BYTES:
        faults["size"].append(f"{found.bytes} bytes")
    if shots:
        screenshot(page, f"{shots}-light.jpg")

    page.add_style_tag(content=STILL)
    page.evaluate(OPEN, True)
    faults["formulas"] += page.evaluate(FORMULAS)
    found.sliders, faults["sliders"][:] = slider_faults(page)
    found.quizzes, faults["quizzes"][:] = quiz_faults(page)
    faults["headings"] += heading_faults(page.evaluate(HEADINGS))
    faults["pictures"] += page.evaluate(PICTURES)
    faults["links"] += dead_links(page.evaluate(LINKS), page.evaluate(IDS), address, base, site)
    faults["overflow"] += page.evaluate(OVERFLOW)

    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    page.evaluate(STEADY)
    faults["overflow"] += page.evaluate(OVERFLOW)
    if shots:
        page.evaluate(OPEN, False)
        screenshot(page, f"{shots}-dark-phone.jpg")
        page.evaluate(OPEN, True)

    with suppress(BrowserTimeout):  # axe says where
        page.wait_for_function(REACHABLE, timeout=2000)
    page.evaluate(FEWER)
    page.evaluate((runtime.fetch() / "tests" / "axe.min.js").read_text(encoding="utf-8"))
    faults["accessibility"] += page.evaluate(AXE, {"runOnly": ["wcag2a", "wcag2aa"]})
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
    faults["accessibility"] += page.evaluate(AXE, {"runOnly": ["color-contrast"]})
    context.close()
    return found
