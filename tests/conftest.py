"""Settings every test runs under: float64, strict dtype promotion, reproducible random examples."""

import gc
import os
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
