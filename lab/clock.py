"""Wrong clocks: the file that labclk.so reads on each host. The machine's clock is never set."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from pathlib import Path

from lab.state import LabError

LAYOUT = "=qdqqq"
"""offset_ns, drift_ppm, since_ns, step_at_ns, step_ns; see labclk.c."""


def compile_library(directory: Path) -> Path:
    """Compile the preload library once; return its path."""
    source, target = Path(__file__).with_name("labclk.c"), directory / "labclk.so"
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return target
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        message = "no C compiler: wrong clocks need one (apt-get install gcc libc6-dev)"
        raise LabError(message)
    subprocess.run([compiler, "-O2", "-Wall", "-fPIC", "-shared", "-o", str(target), str(source), "-ldl"], check=True)
    return target


def write(path: Path, *, offset_ns: int, drift_ppm: float, step_at_ns: int = 0, step_ns: int = 0) -> None:
    """Set a host's clock; processes that run see it at once, as the file is changed in place."""
    data = struct.pack(LAYOUT, offset_ns, drift_ppm, time.time_ns(), step_at_ns, step_ns)
    with path.open("r+b" if path.exists() else "w+b") as out:
        out.write(data)
