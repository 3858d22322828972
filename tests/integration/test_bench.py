"""The benchmark runs, checks what it times, and says why where it cannot run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.generate import generate
from bench.goals import Goal
from bench.jobs import (
    ANALYSE,
    CAPINFOS,
    COPY,
    MERGE,
    MERGECAP,
    MERGECAP_DISK,
    NAIVE,
    SCAPY,
    TSHARK,
    compared,
    missing_tools,
)
from bench.measure import Cost, Costs, Job, WrongOutcomeError, ratio, run_job
from bench.scenario import Scenario
from bench.table import verdicts

ROOT = Path(__file__).resolve().parents[2]
ROWS = (ANALYSE, MERGE, MERGECAP, MERGECAP_DISK, CAPINFOS, COPY, TSHARK, SCAPY, NAIVE, ANALYSE)
needs_wireshark = pytest.mark.skipif(
    bool(missing_tools()), reason=f"THE BENCHMARK IS NOT TESTED: {', '.join(missing_tools())} absent"
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
    """Outcomes are checked against what was lost; how long that takes is not this test's business."""
    figures, kept = tmp_path / "figures.json", tmp_path / "kept"
    small = ("--quick", "--packets", "4000", "--rounds", "1", "--scapy-sample", "200")

    done = bench(*small, "--json", str(figures), "--scratch", str(kept))

    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text(encoding="utf-8"))
    assert tuple(row["program"] for row in written["programs"]) == ROWS
    assert all(len(row["wall_s"]) == 1 for row in written["programs"])
    assert written["programs"][0]["remark"].startswith("0 wrong, ")
    assert all(name in done.stdout for name in ROWS)
    last = done.stdout.splitlines()[-1]
    assert "goals are missed" in last or "goals are met" in last
    assert "were not measured" in last, "growth and the first run were left out"
    assert written["versions"]["mergecap"].startswith("Mergecap")
    assert {p.name.split("-")[0] for p in kept.iterdir()} == {"captures"}, "more than the captures is left behind"


@needs_wireshark
def test_growth_takes_the_fixed_cost_off(tmp_path):
    """A row for each size and number of points, and the spread of what a packet takes."""
    figures = tmp_path / "figures.json"
    sizes = ("--growth", "--growth-packets", "3000,6000", "--growth-points", "2,3")

    done = bench(
        "--quick", "--packets", "3000", "--rounds", "1", *sizes, "--json", str(figures), "--scratch", str(tmp_path)
    )

    assert done.returncode == 0, done.stderr
    goals = {goal["goal"]: goal["value"] for goal in json.loads(figures.read_text(encoding="utf-8"))["goals"]}
    assert sum("spread" in goal and value is not None for goal, value in goals.items()) == 2
    assert done.stdout.count("3 × 3,000 packets") == 2
    headings = [line for line in done.stdout.splitlines() if line.endswith("bytes kept") and not line.startswith(" ")]
    assert len(headings) == len(set(headings)) == 5


@needs_wireshark
def test_wrong_outcomes_do_not_pass(tmp_path):
    """A packet too many among the vanished, a loss too few, a packet too few in the merged file: all are said."""
    truth = generate(tmp_path, Scenario(packets=1000, loss=0.05))
    jobs = {job.name: job for job in compared(truth, tmp_path)}
    out = tmp_path / "run"
    out.mkdir()
    claim = {"frames": {"p01": [1]}, "last_seen": "p01", "first_missing": "p02"}
    (out / "vanished.jsonl").write_text(json.dumps(claim), encoding="utf-8")
    (out / "result.json").write_text(json.dumps({"points": []}), encoding="utf-8")
    shutil.copy(truth.files[0], tmp_path / "merged.pcapng")

    assert jobs[ANALYSE].check("").complaint == (
        f"1 packets are called vanished and are not; only 0 of {truth.lost['eligible'].sum()} losses are found"
    )
    assert f"{truth.total} went in" in jobs[MERGE].check("").complaint


def test_a_program_that_fails_is_not_timed(tmp_path):
    """Nor is its time taken for an answer."""
    job = Job(group="nothing", name="false", argv=("sh", "-c", "echo it broke; exit 3"))

    with pytest.raises(WrongOutcomeError, match=r"(?s)false, nothing: ended with 3.*it broke"):
        run_job(job, tmp_path)


def test_what_a_sample_took_is_scaled_to_all(tmp_path):
    """Start-up is not multiplied: the program's own clock counts."""
    said = '{"packets": 10, "wall_s": 2.0, "cpu_s": 1.0}'
    job = Job(group="nothing", name="echo", argv=("echo", said), stands_for=1000)

    cost, _ = run_job(job, tmp_path)

    assert (cost.wall_s, cost.cpu_s) == (200.0, 100.0)


def test_the_cost_is_that_of_the_program_and_its_children(tmp_path):
    """A shell that lets another process work is charged for it."""
    work = "x = bytearray(80 << 20); n = sum(range(3_000_000))"
    job = Job(group="nothing", name="sh", argv=("sh", "-c", f"'{sys.executable}' -c '{work}'; true"))

    cost, _ = run_job(job, tmp_path)

    assert cost.peak_mb > 80
    assert 0.01 < cost.cpu_s < cost.wall_s + 0.2


def test_ratios_are_taken_within_a_round():
    """A load that slows a whole round changes no ratio; a round that one of them sat out does not count."""
    ours, theirs = Costs(), Costs()
    for number, load in enumerate((1.0, 10.0, 3.0)):
        ours.runs[number] = Cost(load, load, 1)
        theirs.runs[number] = Cost(2 * load, 2 * load, 1)
    ours.runs[3] = Cost(100, 100, 1)

    assert ratio([ours], theirs, "wall_s") == 0.5
    assert ratio([ours, theirs], theirs, "cpu_s") == 1.5


def test_missed_goals_are_named():
    """Nobody has to compare two columns to see it."""
    goals = [Goal("a", 0.8, "×", 0.5), Goal("b", 60, "×", 12, at_least=True), Goal("c", 1, "s")]

    *rows, _, last = verdicts(goals)

    assert [row.split("  ")[-1] for row in rows[1:]] == ["met", "MISSED", "not measured"]
    assert last == "1 of 2 goals are missed: b; 1 were not measured"


def test_without_room_it_says_so_before_it_begins(tmp_path):
    """A terabyte is nowhere to be found."""
    done = bench("--packets", "1000000000000", "--scratch", str(tmp_path))

    assert done.returncode == 2
    assert "of disk are needed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_the_others_it_says_what_to_install(tmp_path):
    """Exit 2, one line of error, one of what to do."""
    done = bench(env={"PATH": str(tmp_path)})

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: mergecap, capinfos, tshark, cp not found",
        "hint: Install Debian's tshark and wireshark-common.",
    ]
