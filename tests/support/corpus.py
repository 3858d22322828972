"""About a thousand captures of other people, fuzz crashers among them, and what tshark says of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_corpus = pytest.mark.skipif(not DATA.exists(), reason=f"REFERENCE CAPTURES ARE ABSENT: {DATA} is not there")
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="TSHARK IS ABSENT: no oracle for captures")


def corpus_files() -> list[Path]:
    return sorted(p for p in DATA.rglob("*") if p.is_file() and p.suffix != ".md")


def tshark(path: Path, *options: str) -> tuple[int, list[list[str]]]:
    """Return (exit code, one list a packet): the fields that *options* ask for."""
    argv = ["tshark", "-n", "-r", str(path), "-T", "fields", *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=250)
    return done.returncode, [line.split("\t") for line in done.stdout.splitlines()]
