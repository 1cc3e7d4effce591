"""Claims: what passes, what fails, what is shown and what is stored."""

import json
import math
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from mflib.claims import MIME, claim


@pytest.fixture
def notebook_shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def shown(capsys, **criterion):
    claim("key", "statement", source="ours", **criterion)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("criterion", "line"),
    [
        ({"value": 0.495, "expected": 0.4948, "atol": 5e-4}, "0.495 (expected 0.4948 ± 5e-4)"),
        ({"value": 2.02, "expected": 2, "rtol": 0.02}, "2.02 (expected 2 ± 0.04)"),
        ({"value": 2.05, "expected": 2, "rtol": 0.02, "atol": 0.01}, "2.05 (expected 2 ± 0.05)"),
        ({"value": 0.5, "bounds": (0.5, 0.5)}, "0.5 (between 0.5 and 0.5)"),
        ({"value": 123456, "bounds": (1000, None)}, "1.23e5 (at least 1000)"),
        ({"value": -7, "bounds": (None, 0)}, "-7 (at most 0)"),
        ({"value": 1.23456, "bounds": (1, 2), "digits": 2}, "1.2 (between 1 and 2)"),
        # Rounding noise is not shown, of a residual or around the edge between two numbers.
        ({"value": 3e-17, "bounds": (None, 1e-8)}, "0 to within 1e-11 (at most 1e-8)"),
        ({"value": -2e-16, "expected": 0, "atol": 1e-9}, "0 to within 1e-12 (expected 0 ± 1e-9)"),
        ({"value": 1 - 1e-12, "expected": 1, "atol": 1e-3}, "1 (expected 1 ± 0.001)"),
        ({"value": 1 + 1e-12, "expected": 1, "atol": 1e-3}, "1 (expected 1 ± 0.001)"),
        (
            {"value": 0.12345 - 1e-12, "expected": 0.12345, "rtol": 1},
            "0.123 (expected 0.1235 ± 0.12)",
        ),
        ({"value": jnp.float64(0.25), "bounds": (0, 1)}, "0.25 (between 0 and 1)"),
        ({"value": np.array(0.25), "bounds": (0, 1)}, "0.25 (between 0 and 1)"),
    ],
)
def test_line(capsys, criterion, line):
    assert shown(capsys, **criterion) == f"✓ key: {line}"


@given(st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-6), st.sampled_from([-1, 1]))
def test_noise_around_the_expected_value_is_not_shown(expected, sign):
    """Two processors that differ in the last digits store the same record."""
    assert _record(expected * (1 + sign * 1e-13), expected) == _record(expected, expected)


def _record(value, expected):
    with capture_output() as captured:
        claim("key", "s", source="ours", value=value, expected=expected, rtol=0.1)
    return captured.stdout


@pytest.mark.parametrize(
    "criterion",
    [
        {"value": 0.4954, "expected": 0.4948, "atol": 5e-4},
        {"value": 1.98, "expected": 2, "rtol": 0.009},
        {"value": 0.4999, "bounds": (0.5, 1)},
        {"value": 1.0001, "bounds": (None, 1)},
        {"value": math.nan, "bounds": (0, None)},
        {"value": math.inf, "bounds": (0, None)},
    ],
)
def test_failure_stops(criterion):
    with pytest.raises(AssertionError, match=r"claim 'key' fails: got .*Claimed: statement"):
        claim("key", "statement", source="ours", **criterion)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "No Spaces"}, "key"),
        ({"key": ""}, "key"),
        ({"statement": " "}, "statement"),
        ({"source": "paper"}, "source"),
        ({"status": "proved"}, "status"),
        ({"source": "ours", "status": "partly"}, "status"),
        ({"digits": 0}, "digits"),
        ({"bounds": None}, "exactly one"),
        ({"expected": 1, "atol": 1}, "exactly one"),
        ({"bounds": None, "expected": 1}, "tolerance"),
        ({"bounds": None, "expected": 1, "atol": -1}, "non-negative"),
        ({"bounds": None, "expected": math.nan, "atol": 1}, "finite"),
        ({"bounds": (None, None)}, "at least one side"),
        ({"bounds": (2, 1)}, "above"),
        ({"bounds": (0, math.inf)}, "finite"),
        ({"atol": 1}, "go with expected"),
    ],
)
def test_malformed(change, message):
    good = {"key": "key", "statement": "s", "source": "abstract", "value": 1, "bounds": (0, 2)}
    with pytest.raises(ValueError, match=message):
        claim(**good | change)


@pytest.mark.parametrize(
    ("source", "status", "stored"),
    [
        ("abstract", None, "reproduced"),
        ("abstract", "not reproduced", "not reproduced"),
        ("ours", None, "ours"),
        ("standard", None, "standard"),
    ],
)
def test_record_in_a_notebook(source, status, stored, notebook_shell):
    """The record is JSON beside a line of text and one of HTML, which has the anchor."""
    with capture_output() as captured:
        claim("a-b", "$x < y$", source=source, status=status, value=1, bounds=(0, 2), why="w")
    (output,) = captured.outputs
    assert json.loads(json.dumps(output.data[MIME])) == {
        "key": "a-b",
        "statement": "$x < y$",
        "source": source,
        "value": "1",
        "criterion": "between 0 and 2",
        "why": "w",
        "status": stored,
    }
    assert output.data["text/plain"] == "✓ a-b: 1 (between 0 and 2)"
    assert 'id="claim-a-b"' in output.data["text/html"]


def test_works_without_ipython():
    program = (
        "import sys; sys.modules['IPython'] = None\n"
        "from mflib.claims import claim\n"
        "claim('key', 's', source='ours', value=1, bounds=(0, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "✓ key: 1 (between 0 and 2)\n"
