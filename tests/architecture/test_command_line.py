"""Every command exists, helps, and costs nothing until it is used."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import COMMANDS, group, main
from orchestrator.cli.output import escape, table

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "numba", "celery", "paramiko", "scapy", "pydantic", "yaml", "networkx", "rich", "redis")


def vanishpoint(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.main", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_helps(name, capsys):
    """The overview is a table of its own, so what it promises is checked here."""
    context = click.Context(group)
    command = group.get_command(context, name)
    assert isinstance(command, click.Command)
    assert main([name, "--help"]) == 0
    printed = capsys.readouterr()
    assert f"Usage: vanishpoint {name}" in printed.out
    assert command.get_short_help_str(), "no help"
    assert not printed.err


def test_the_overview_lists_every_command_with_a_line():
    """One line each, without importing any of them."""
    printed = vanishpoint("--help").stdout
    for name, entry in COMMANDS.items():
        assert f"  {name} " in printed
        assert entry.summary in printed


def test_help_imports_nothing_heavy():
    """Numba alone takes longer than the whole answer may."""
    code = (
        "import sys\nfrom orchestrator.cli.main import main\nassert main(['--help']) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_help_answers_at_once():
    """Median of five: somebody else may be using the machine."""
    script = Path(sys.executable).with_name("vanishpoint")
    argv = [script] if script.exists() else [sys.executable, "-m", "orchestrator.cli.main"]
    took_s = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([*argv, "--help"], cwd=ROOT, check=True, capture_output=True, timeout=60)
        took_s.append(time.perf_counter() - began)
    assert statistics.median(took_s) < 0.3


def test_a_mistyped_command_is_guessed(capsys):
    """Exit 2, one line of error, one of what to do."""
    assert main(["analyze"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "error: no command 'analyze' (did you mean 'analyse'?)",
        "hint: `vanishpoint --help` shows how it is used.",
    ]


def test_wrong_input_ends_with_every_error_and_a_hint(tmp_path, capsys):
    """Results go to stdout, so a script that reads it never sees an error there."""
    path = tmp_path / "x.yaml"
    path.write_text("schema: 1\nnaem: x\nnodes: {a: {rle: client}}\n", encoding="utf-8")
    assert main(["inventory", "check", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"error: {path}:1:1: name: missing key",
        f"error: {path}:2:1: naem: unknown key (did you mean 'name'?)",
        f"error: {path}:3:13: nodes.a.rle: unknown key (did you mean 'role'?)",
        "hint: `vanishpoint schema inventory` prints the format; inventory/lab.yaml is a whole example.",
    ]


def test_a_bug_ends_with_one_and_names_its_log(tmp_path):
    """A traceback belongs into a file that can be sent, not on the screen of an operator."""
    code = (
        "from orchestrator.cli import main as line\n"
        "def broken(**_): raise ZeroDivisionError('planted')\n"
        "line.group.main = broken\nraise SystemExit(line.main(['plan', 'x']))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 1
    assert "error: this is a bug: ZeroDivisionError: planted" in done.stderr
    (log,) = tmp_path.glob("vanishpoint-bug-*.log")
    assert str(log) in done.stderr
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_plan_prints_json_that_can_be_read_again():
    """What a program needs of the plan is all there."""
    done = vanishpoint("plan", "playbooks/packets-vanish.yaml", "--json", "--set", "window.duration=5s")
    plan = json.loads(done.stdout)
    assert plan["window"]["duration_ns"] == 5_000_000_000
    assert [point["point"] for point in plan["points"]] == [
        "client-1",
        "access",
        "line-near",
        "line-far",
        "core",
        "fw-out",
        "fw-in",
        "app-1",
    ]


def test_plan_says_what_each_point_does():
    """Host, interface, filter and limits are what an operator checks before pressing go."""
    printed = vanishpoint("plan", "playbooks/call-centre-rst.yaml").stdout
    assert "line-near: line-a:wan" in printed
    assert "  filter   (" in printed
    assert "client-1 to app-2: client-1 > access > line-near > line-far > core > fw-out > fw-in > app-2" in printed
    assert "dedicated-line cc-hq (circuit HQ-0042) line-a:wan to line-b:wan" in printed


def test_the_inventory_can_be_shown_and_drawn():
    """Text for people, DOT for Graphviz, JSON for programs."""
    assert "client-1   client " in vanishpoint("inventory", "show", "inventory/lab.yaml").stdout
    assert "line-near" in vanishpoint("inventory", "graph", "inventory/lab.yaml").stdout
    dot = vanishpoint("inventory", "graph", "inventory/lab.yaml", "--format", "dot").stdout
    assert dot.startswith('graph "lab" {')
    assert '"line-a" -- "line-b"' in dot
    shown = json.loads(vanishpoint("inventory", "show", "inventory/lab.yaml", "--json").stdout)
    assert len(shown["nodes"]) == 12


def test_a_closed_pipe_is_no_error():
    """`vanishpoint plan … | head -1` is what people type."""
    command = f"{sys.executable} -m orchestrator.cli.main plan playbooks/call-centre-rst.yaml --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain £", "plain £"), ("\x1b[31m", "\\x1b[31m"), ("a\u202eb", "a\\u202eb"), ("a\nb\x9b", "a\\x0ab\\x9b")],
)
def test_text_from_outside_cannot_steer_a_terminal(text, expected):
    """A host name in a capture may hold anything."""
    assert escape(text) == expected


def test_columns_are_aligned():
    """The first row is the heading."""
    assert table([("A", "LONG"), ("wide", "x")]) == ["A     LONG", "wide  x"]
