"""Settings every test runs under: float64, strict dtype promotion, reproducible random examples."""

import gc
import os
import subprocess
import sys
from pathlib import Path

# Half of the time of tests and chapters is compilation. What one worker has compiled all use again, in tests
# and in the chapters' kernels, which inherit these settings. A bound on the size is what makes JAX lock the
# folder (its files would appear before they are complete); without "none" the folder's name is a part of
# every key. Equinox's own checks would be calls back to Python, which cannot be stored; mflib does not
# rely on them (`mflib.integrate`).
os.environ["EQX_ON_ERROR"] = "nan"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / "_build" / "compiled")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import hypothesis
import jax
import pytest
from filelock import FileLock
from playwright.sync_api import sync_playwright

import browser
import execute
import ledger
import runtime
from chapters import chapters

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")

# Solves take seconds to compile: a deadline per example would measure the compiler.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=300)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# What JAX keeps for compiled functions is millions of objects, none of them garbage: looking through them
# again and again would take a good part of a long session.
gc.set_threshold(50_000, 20, 1000)

# With two workers the wall time is that of the one that ends last: the long files first, then the
# chapters (about half a minute each), then what is short. pyproject.toml keeps xdist from another order.
_LONG = ("test_mean_field.py", "test_fluctuation.py", "test_linear.py", "test_hessian.py")


def pytest_collection_modifyitems(items):
    """Sort the files; the order within a file stays."""

    def place(item):
        name = item.path.name
        return _LONG.index(name) if name in _LONG else 98 + (item.path.suffix != ".ipynb")

    items.sort(key=place)


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id):
    """The built site, one for all workers: the first that asks for it builds it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "site"
    built = folder / "_build" / "html"
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").is_file():
            _build_site(folder)
            (folder / "complete").touch()
    return built


def _build_site(folder):
    root = Path(__file__).parents[1]
    runtime.fetch()
    execute.copy_book(root, folder / "source")
    page = ledger.ledger(chapters(root))
    (folder / "source" / "book" / "ledger.md").write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            Path(sys.executable).parent / "jupyter-book",
            *("build", folder / "source", "--path-output", folder),
            *("-n", "-W", "--keep-going"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
    )
    said = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "[91m" in line or "[31m" in line
    ]
    assert done.returncode == 0, "\n".join(said) or done.stdout[-3000:]


@pytest.fixture(scope="session")
def chromium():
    """The path of a browser. Where there is none, its tests are skipped, but fail under CI."""
    try:
        return browser.find()
    except browser.NoBrowser as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def window(chromium):
    """A browser. For one file only: while it runs, nothing else in this process can have an event loop."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium)
        yield opened
        opened.close()
