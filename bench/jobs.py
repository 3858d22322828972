"""What is compared on a set of captures, and how each outcome is checked against the truth."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.measure import Checked, Job
from bench.truth import judge

if TYPE_CHECKING:
    from pathlib import Path

    from bench.options import Settings
    from bench.truth import Truth

ANALYSE, MERGE = "vanishpoint analyse", "vanishpoint merge"
FIRST = "vanishpoint analyse, nothing compiled"
MERGECAP, MERGECAP_DISK = "mergecap -w /dev/null", "mergecap to disk"
CAPINFOS, COPY = "capinfos -c", "copy of the bytes"
TSHARK, SCAPY, NAIVE = "tshark -T fields, one file", "scapy PcapReader", "naive Python dict"
TOOLS = ("mergecap", "capinfos", "tshark", "cp")
FIELDS = (
    "frame.time_epoch", "frame.len", "ip.src", "ip.dst", "ip.id", "tcp.srcport", "tcp.dstport", "tcp.seq_raw",
    "tcp.ack_raw", "tcp.len",
)  # fmt: skip
US = (sys.executable, "-m", "orchestrator.cli.main")
"""The product that this benchmark stands beside, not another one that may be installed."""


def missing_tools() -> list[str]:
    """Return the programs that cannot be found."""
    return [name for name in TOOLS if shutil.which(name) is None]


def group_of(truth: Truth) -> str:
    """Return the heading of the rows on these captures."""
    scenario = truth.scenario
    kept = "whole frames" if scenario.snaplen == 0 else f"{scenario.snaplen} bytes kept"
    return f"{scenario.points} × {scenario.packets:,} packets, {kept}"


def analysing(truth: Truth, scratch: Path, *, cache: Path | None = None) -> Job:
    """Analyse; with *cache*, with no compiled kernel but what is found there."""
    run = scratch / "run"
    return Job(
        group=group_of(truth), name=FIRST if cache else ANALYSE,
        argv=(*US, "analyse", *_points(truth), "--out", str(run)), reads=truth.files,
        writes=(run, cache) if cache else (run,), check=lambda printed: _judged(run, truth, printed),
        environment={"NUMBA_CACHE_DIR": str(cache)} if cache else {}, seldom=cache is not None,
    )  # fmt: skip


def compared(truth: Truth, scratch: Path) -> list[Job]:
    """Return everything that runs on all packets in every round."""
    group, files = group_of(truth), tuple(str(path) for path in truth.files)
    merged, theirs, copy = scratch / "merged.pcapng", scratch / "theirs.pcapng", scratch / "copy"
    return [
        analysing(truth, scratch),
        Job(
            group=group, name=MERGE, argv=(*US, "merge", *_points(truth), "-o", str(merged)), reads=truth.files,
            writes=(merged,), check=lambda _: _merged(merged, truth.total),
        ),
        Job(group=group, name=MERGECAP, argv=("mergecap", "-w", "/dev/null", *files), reads=truth.files),
        Job(
            group=group, name=MERGECAP_DISK, argv=("mergecap", "-w", str(theirs), *files), reads=truth.files,
            writes=(theirs,), check=lambda _: Checked(_wrong_count(theirs, truth.total)),
        ),
        Job(group=group, name=CAPINFOS, argv=("capinfos", "-c", *files), reads=truth.files),
        Job(
            group=group, name=COPY, reads=truth.files, writes=(copy,),
            argv=("sh", "-c", 'mkdir "$0" && cp --reflink=never --sparse=never "$@" "$0"', str(copy), *files),
        ),
    ]  # fmt: skip


def slow_ones(truth: Truth, settings: Settings) -> list[Job]:
    """Return what takes so long that it runs seldom, or on a sample."""
    group, files = group_of(truth), tuple(str(path) for path in truth.files[:2])
    rival = (sys.executable, "-m", "bench.rivals")
    fields = tuple(word for field in FIELDS for word in ("-e", field))
    return [
        Job(
            group=group, name=TSHARK, reads=truth.files[:1], seldom=True,
            argv=("sh", "-c", 'exec "$0" "$@" >/dev/null', "tshark", "-r", files[0], "-T", "fields", *fields),
        ),
        Job(
            group=group, name=SCAPY, argv=(*rival, "scapy", str(settings.scapy_sample), files[0]),
            reads=truth.files[:1], seldom=True, stands_for=truth.total,
            check=lambda _: Checked(remark=f"from {min(settings.scapy_sample, truth.packets[0]):,} packets"),
        ),
        Job(
            group=group, name=NAIVE, argv=(*rival, "naive", str(settings.naive_sample), *files),
            reads=truth.files[:2], seldom=True, stands_for=truth.total,
            check=lambda _: Checked(remark=f"from 2 × {min(settings.naive_sample, *truth.packets):,} packets"),
        ),
    ]  # fmt: skip


def _points(truth: Truth) -> list[str]:
    named = zip(truth.scenario.names, truth.files, strict=True)
    return [word for name, path in named for word in ("--point", f"{name}={path}")]


def _judged(run: Path, truth: Truth, printed: str) -> Checked:
    """Hold what is called vanished against what was lost."""
    outcome = judge(run, truth)
    said = f"{outcome.wrong} wrong, {outcome.found:,} of {outcome.eligible:,} found"
    return Checked(outcome.complaint, said + (", announced" if "compil" in printed.lower() else ""))


def _merged(merged: Path, expected: int) -> Checked:
    """Count the packets of a merged file with a program that is not ours, and look at their order."""
    ordered = _capinfos("-o", merged, r"Strict time order:\s+(\w+)") == "True"
    return Checked(_wrong_count(merged, expected) or (None if ordered else "the merged packets are not in order"))


def _wrong_count(merged: Path, expected: int) -> str | None:
    counted = _capinfos("-c", merged, r"Number of packets:\s+(\d+)")
    return None if counted == str(expected) else f"{counted} packets in the merged file, {expected} went in"


def _capinfos(flag: str, path: Path, pattern: str) -> str | None:
    """Return what capinfos prints about *path*."""
    done = subprocess.run(["capinfos", "-M", flag, str(path)], check=False, capture_output=True, text=True)
    match = re.search(pattern, done.stdout)
    return match[1] if match else None
