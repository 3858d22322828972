"""What is compared on a pair of captures, and how each outcome is checked against the truth."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Job

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINE = "mergecap"
"""The program that ratios are taken to."""
WIRESHARK_TOOLS = ("mergecap", "capinfos")


@dataclass(frozen=True, slots=True)
class Pair:
    """A generated pair of captures and what is true of it."""

    folder: Path
    vanished: frozenset[int]
    """Frames of a.pcap that never arrive at b."""
    packets: tuple[int, int]

    @property
    def files(self) -> tuple[str, str]:
        """The two captures."""
        return str(self.folder / "a.pcap"), str(self.folder / "b.pcap")


def make_pair(folder: Path, packets: int) -> Pair:
    """Generate a pair of about *packets* each; reading it back warms the page cache."""
    subprocess.run([sys.executable, "-m", "bench.generate", str(folder), str(packets)], check=True)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    pair = Pair(folder, frozenset(truth["vanished"]), tuple(truth["packets"]))
    for path in pair.files:
        with Path(path).open("rb") as data:
            while data.read(1 << 20):
                pass
    return pair


def missing_tools() -> list[str]:
    """Return the programs of Wireshark that cannot be found."""
    return [name for name in WIRESHARK_TOOLS if shutil.which(name) is None]


def jobs_on(pair: Pair) -> list[Job]:
    """Return the programs to compare, the baseline first."""
    out, merged, theirs = pair.folder / "run", pair.folder / "merged.pcapng", pair.folder / "theirs.pcapng"
    points = [word for name, path in zip("ab", pair.files, strict=True) for word in ("--point", f"{name}={path}")]
    us = _vanishpoint()
    return [
        Job(name=BASELINE, argv=("mergecap", "-w", "/dev/null", *pair.files), clean=_nothing, check=_fine),
        Job(
            name="mergecap to a file", argv=("mergecap", "-w", str(theirs), *pair.files), clean=_remover(theirs),
            check=lambda _: _wrong_count(theirs, sum(pair.packets)),
        ),
        Job(name="capinfos -c", argv=("capinfos", "-c", *pair.files), clean=_nothing, check=_fine),
        Job(
            name="vanishpoint analyse", argv=(*us, "analyse", *points, "--out", str(out)), clean=_remover(out),
            check=lambda _: _wrong_verdicts(out, pair),
        ),
        Job(
            name="vanishpoint merge", argv=(*us, "merge", *points, "-o", str(merged)), clean=_remover(merged),
            check=lambda _: _wrong_count(merged, sum(pair.packets)) or _wrong_order(merged),
        ),
        Job(name="vanishpoint --help", argv=(*us, "--help"), clean=_nothing, check=_wrong_help),
    ]  # fmt: skip


def _vanishpoint() -> tuple[str, ...]:
    """Return how the product is started: as installed, else as a module."""
    script = Path(sys.executable).with_name("vanishpoint")
    return (str(script),) if script.exists() else (sys.executable, "-m", "orchestrator.cli.main")


def _nothing() -> None:
    """Clean up after a program that writes no file."""


def _fine(printed: str) -> str | None:
    """Accept any outcome of a program that is not ours."""
    del printed
    return None


def _remover(path: Path) -> Callable[[], None]:
    def remove() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    return remove


def _wrong_verdicts(out: Path, pair: Pair) -> str | None:
    """Compare what is called vanished with what was dropped, frame by frame."""
    found: set[int] = set()
    entries = 0
    with (out / "vanished.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            frames = json.loads(line)["frames"]["a"]
            found.update(frames)
            entries += 1
    if found == pair.vanished and entries == len(found):
        return None
    return (
        f"{len(pair.vanished):,} packets were dropped, {entries:,} are called vanished: "
        f"{len(found - pair.vanished):,} wrongly, {len(pair.vanished - found):,} are missing"
    )


def _wrong_count(merged: Path, expected: int) -> str | None:
    """Count the packets of a merged file with a program that is not ours."""
    counted = _capinfos("-c", merged, r"Number of packets:\s+(\d+)")
    return None if counted == str(expected) else f"{counted} packets in the merged file, {expected} went in"


def _wrong_order(merged: Path) -> str | None:
    ordered = _capinfos("-o", merged, r"Strict time order:\s+(\w+)")
    return None if ordered == "True" else "the merged packets are not in order of time"


def _capinfos(flag: str, path: Path, pattern: str) -> str | None:
    """Return what capinfos prints about *path*."""
    done = subprocess.run(["capinfos", "-M", flag, str(path)], check=False, capture_output=True, text=True)
    match = re.search(pattern, done.stdout)
    return match[1] if match else None


def _wrong_help(printed: str) -> str | None:
    return None if "analyse" in printed else "names no command"
