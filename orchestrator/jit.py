"""Compile kernels: one decorator, one cache that cannot go stale.

Numba's own cache looks at the file of a kernel alone, so a changed helper in another file yields a stale
result.  Here the cache directory is named by a digest of every kernel source, the numba version and the
bounds-check setting.  Kernels that read capture bytes stay bounds-checked in production: the bytes are
hostile, and ``NUMBA_BOUNDSCHECK=0`` is ignored.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # thread pools of BLAS cost start-up and are never used

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")


def _digest() -> str:
    """Return a digest of everything that decides the machine code of the kernels."""
    state = hashlib.sha256(f"{numba.__version__} boundscheck".encode())
    for source in sorted(Path(__file__).parent.rglob("*_kernels.py")):
        state.update(source.name.encode() + b"\0" + source.read_bytes())
    for source in (Path(__file__), Path(__file__).parent / "model" / "columns.py"):  # kernels take constants from it
        state.update(source.read_bytes())
    return state.hexdigest()[:16]


def _cache_directory() -> Path | None:
    """Return a writable directory for machine code; None where there is none."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    cache_home = os.environ.get("XDG_CACHE_HOME")
    base = Path(given) if given else (Path(cache_home) if cache_home else Path.home() / ".cache") / "vanishpoint"
    directory = base / f"kernels-{_digest()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except (OSError, RuntimeError):
        return None


CACHE_DIRECTORY = _cache_directory()
config: Any = numba.config
config.BOUNDSCHECK = None  # the decorator decides, never the environment
if CACHE_DIRECTORY is not None:
    config.CACHE_DIR = str(CACHE_DIRECTORY)


def has_machine_code() -> bool:
    """Say whether kernels were compiled before and their machine code kept."""
    return CACHE_DIRECTORY is not None and next(CACHE_DIRECTORY.rglob("*.nbi"), None) is not None


def kernel(function: F) -> F:
    """Compile *function* as a kernel: no GIL, bounds-checked, cached."""
    compiled: Any = numba.njit(nogil=True, boundscheck=True, error_model="numpy", cache=CACHE_DIRECTORY is not None)(
        function
    )
    return cast("F", compiled)


def inlined(function: F) -> F:
    """Compile a helper of kernels so that a call costs nothing."""
    compiled: Any = numba.njit(nogil=True, boundscheck=True, error_model="numpy", forceinline=True)(function)
    return cast("F", compiled)
