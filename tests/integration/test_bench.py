"""The benchmark runs, checks what it times, and says why where it cannot run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.generate import generate
from bench.jobs import Pair, jobs_on

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    "mergecap", "mergecap to a file", "capinfos -c", "vanishpoint analyse", "vanishpoint merge", "vanishpoint --help",
)  # fmt: skip
needs_wireshark = pytest.mark.skipif(
    shutil.which("mergecap") is None or shutil.which("capinfos") is None,
    reason="THE BENCHMARK IS NOT TESTED: mergecap or capinfos is absent",
)


def bench(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        **more,
    )


@needs_wireshark
def test_a_small_round_holds_the_truth_and_lists_every_program(tmp_path):
    """Outcomes are checked against what was dropped; how long that takes is not this test's business."""
    figures = tmp_path / "figures.json"

    done = bench("--packets", "4000", "--rounds", "1", "--json", str(figures), "--scratch", str(tmp_path))

    assert done.returncode == 0, done.stderr
    first, _, heading, *rows = done.stdout.splitlines()
    assert "all outcomes are as they should be" in first
    assert heading.split() == ["wall", "s", "CPU", "s", "peak", "MB", "speed", "vs", "mergecap"]
    assert [row[:22].strip() for row in rows] == list(PROGRAMS)
    written = json.loads(figures.read_text(encoding="utf-8"))
    assert tuple(written["programs"]) == PROGRAMS
    assert written["vanished"] > 0
    assert written["programs"]["mergecap"]["speed_vs_mergecap"] == 1.0
    assert written["versions"]["mergecap"].startswith("Mergecap")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures.json"], "scratch files are left behind"


@needs_wireshark
def test_wrong_outcomes_do_not_pass(tmp_path):
    """A frame too many among the vanished, a packet too few in the merged file: both are said."""
    truth = generate(tmp_path, 400)
    pair = Pair(tmp_path, frozenset(truth.frames), truth.packets)
    jobs = {job.name: job for job in jobs_on(pair)}
    out = tmp_path / "run"
    out.mkdir()
    lines = [json.dumps({"frames": {"a": [n]}}) for n in (*truth.frames, 1)]
    (out / "vanished.jsonl").write_text("\n".join(lines), encoding="utf-8")
    shutil.copy(tmp_path / "a.pcap", tmp_path / "merged.pcapng")

    assert "1 wrongly, 0 are missing" in jobs["vanishpoint analyse"].check("")
    assert f"{sum(truth.packets)} went in" in jobs["vanishpoint merge"].check("")


def test_frames_and_numbers_of_the_truth_name_the_same_packets(tmp_path):
    """Two ways to name what was dropped must not drift apart."""
    truth = generate(tmp_path, 2000)
    assert len(truth.frames) == len(truth.lost) > 0
    assert len(set(truth.frames)) == len(truth.frames)


def test_without_mergecap_it_says_what_to_install(tmp_path):
    """Exit 2, one line of error, one of what to do."""
    done = bench(env={"PATH": str(tmp_path)})

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: mergecap and capinfos not found",
        "hint: Install Wireshark's command-line tools (Debian: wireshark-common).",
    ]
