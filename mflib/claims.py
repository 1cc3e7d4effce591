"""Checked claims: a number, what it should be, and a record that the ledger is generated from.

A chapter calls `claim` next to each statement that it makes. The call checks the number, shows one
line to the reader, and stores a machine-readable copy of the same facts in the cell's output, from
which the page *Claims ledger* is built. A claim that fails stops the chapter.
"""

import html
import math
import re
from typing import SupportsFloat

MIME = "application/vnd.mflib.claim+json"
"""The output type under which a claim's record is stored in a notebook."""

# The origins of a claim, with what may be said of it; the first is taken when nothing is said.
_STATUSES = {
    "abstract": ("reproduced", "partly", "not reproduced"),
    "ours": ("ours",),
    "standard": ("standard",),
}


def claim(
    key: str,
    statement: str,
    *,
    source: str,
    value: SupportsFloat,
    expected: SupportsFloat | None = None,
    atol: SupportsFloat | None = None,
    rtol: SupportsFloat | None = None,
    bounds: tuple[SupportsFloat | None, SupportsFloat | None] | None = None,
    why: str = "",
    status: str | None = None,
    digits: int = 3,
) -> None:
    """Check one number against what is claimed of it, and record the claim.

    Exactly one criterion is given: `expected` with `atol` and/or `rtol`, which asks for
    `|value − expected| ≤ atol + rtol·|expected|`, or `bounds`, which asks for `lo ≤ value ≤ hi`.

    In a notebook the call displays one line, and stores the record beside it under the output type
    `MIME`. Elsewhere it prints the line.

    The number is shown rounded, because a stored output is compared character by character when
    the book is tested, and the last digits of a floating-point result differ from one processor to
    the next. It is shown to `digits` significant digits, but no finer than a thousandth of the
    tolerance (so that a residual of 1e-17 does not show its noise), and a value within half a unit
    of the last digit shown of `expected` is shown as `expected` is. A value that happens to lie on
    the edge between two rounded numbers can still flip: choose fewer digits for it.

    **Arguments**

    - `key`: name of the claim, lower-case words and digits joined by hyphens, unique in the book.
      The line has the anchor `claim-KEY`, to which the ledger links.
    - `statement`: what is claimed, one sentence of MyST text; mathematics between dollar signs.
    - `source`: who says so: "abstract" (the abstract of Glasgow, Wu and Bruna), "ours" (derived in
      this book) or "standard" (known before).
    - `value`: the number that was computed.
    - `expected`, `atol`, `rtol`: the number that is claimed, and the absolute and relative
      tolerance around it.
    - `bounds`: closed interval (lo, hi); `None` for a side leaves it open.
    - `why`: why this tolerance and not another, in a few words, shown in the ledger.
    - `status`: for the source "abstract" only: "reproduced" (the default), "partly" or
      "not reproduced". The other sources are their own status.
    - `digits`: significant digits shown, at least 1.

    **Raises** `AssertionError` if the value is not finite or fails the criterion, `ValueError` if
    an argument is malformed.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key):
        raise ValueError(f"key: expected lower-case words joined by hyphens, got {key!r}")
    if not statement.strip():
        raise ValueError(f"statement: claim {key!r} states nothing; expected a sentence")
    if source not in _STATUSES:
        raise ValueError(f"source: expected one of {list(_STATUSES)}, got {source!r}")
    status = status or _STATUSES[source][0]
    if status not in _STATUSES[source]:
        known = list(_STATUSES[source])
        raise ValueError(f"status: with source={source!r} expected one of {known}, got {status!r}")
    if digits < 1:
        raise ValueError(f"digits: expected at least 1, got {digits}")
    lo, hi, criterion, scale = _criterion(expected, atol, rtol, bounds)

    number = float(value)
    if not (math.isfinite(number) and lo <= number <= hi):
        raise AssertionError(
            f"claim {key!r} fails: got {number:.10g}, {criterion}. Claimed: {statement}"
        )

    anchor = None if expected is None else float(expected)
    shown = _rounded(number, digits, scale, anchor)
    record = {
        "key": key,
        "statement": statement,
        "source": source,
        "value": shown,
        "criterion": criterion,
        "why": why,
        "status": status,
    }
    _show(record)


def _criterion(
    expected: SupportsFloat | None,
    atol: SupportsFloat | None,
    rtol: SupportsFloat | None,
    bounds: tuple[SupportsFloat | None, SupportsFloat | None] | None,
) -> tuple[float, float, str, float]:
    """The accepted interval, its description, and the size of the tolerance (0: there is none)."""
    if (expected is None) == (bounds is None):
        raise ValueError("expected, bounds: give exactly one of them, or nothing would be checked")
    if bounds is not None:
        if atol is not None or rtol is not None:
            raise ValueError("atol, rtol: these go with expected; bounds are exact")
        lo, hi = (None if side is None else float(side) for side in bounds)
        if lo is None and hi is None:
            raise ValueError("bounds: at least one side must be a number, got (None, None)")
        if any(side is not None and not math.isfinite(side) for side in (lo, hi)):
            raise ValueError(f"bounds: expected finite numbers or None, got {bounds}")
        if lo is None:
            return -math.inf, hi, f"at most {_brief(hi)}", abs(hi)
        if hi is None:
            return lo, math.inf, f"at least {_brief(lo)}", abs(lo)
        if lo > hi:
            raise ValueError(f"bounds: the lower end {lo} lies above the upper end {hi}")
        return lo, hi, f"between {_brief(lo)} and {_brief(hi)}", hi - lo

    if atol is None and rtol is None:
        raise ValueError("atol, rtol: expected needs a tolerance; give one of them or both")
    centre = float(expected)
    tolerances = [0.0 if tol is None else float(tol) for tol in (atol, rtol)]
    if not math.isfinite(centre) or not all(0 <= tol < math.inf for tol in tolerances):
        raise ValueError(
            f"expected, atol, rtol: must be finite and the tolerances non-negative, "
            f"got {centre}, {atol}, {rtol}"
        )
    slack = tolerances[0] + tolerances[1] * abs(centre)
    return centre - slack, centre + slack, f"expected {_brief(centre)} ± {_brief(slack, 2)}", slack


def _brief(number: float, digits: int = 4) -> str:
    """A number in few characters: 5e-4, not 0.0005 or 5e-04."""
    if number and not 1e-3 <= abs(number) < 1e5:
        mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    return f"{number:.{digits}g}" if abs(number) < 10**digits else f"{number:.0f}"


def _rounded(number: float, digits: int, scale: float, anchor: float | None) -> str:
    """The number as shown: see the rounding rules of `claim`."""
    step = 10.0 ** (math.floor(math.log10(abs(number))) - digits + 1) if number else 0.0
    if scale:
        step = max(step, 10.0 ** (math.floor(math.log10(scale)) - 3))
    if anchor is not None and abs(number - anchor) <= step / 2:
        number = anchor
    elif step:
        number = round(number / step) * step
    if number == 0:
        return f"0 to within {_brief(step)}" if step else "0"
    return _brief(number, digits)


def _show(record: dict[str, str]) -> None:
    """Display the record in a notebook, or print its line."""
    line = f"✓ {record['key']}: {record['value']} ({record['criterion']})"
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        print(line)
        return
    if get_ipython() is None:
        print(line)
        return
    key, value, criterion, status = (
        html.escape(record[name]) for name in ("key", "value", "criterion", "status")
    )
    styled = (
        f'<div class="mflib-claim" id="claim-{key}"><span class="mflib-claim-mark">✓</span> '
        f"<code>{key}</code> <strong>{value}</strong> ({criterion}) "
        f'<span class="mflib-claim-status">{status}</span></div>'
    )
    display({"text/plain": line, "text/html": styled, MIME: record}, raw=True)
