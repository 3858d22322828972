"""`vanishpoint status`: how a run is doing, from any shell that sees its directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.captures import runs_option
from orchestrator.cli.output import print_json, print_lines, table

if TYPE_CHECKING:
    from pathlib import Path


@click.command("status")
@click.argument("run")
@runs_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: str, runs: Path, *, as_json: bool) -> None:
    """Show the state of RUN and of each of its points.

    Example: vanishpoint status 20260314-102107-7f3a
    """
    from orchestrator.archive.journal import Journal
    from orchestrator.archive.layout import find_run

    directory = find_run(runs, run)
    record = directory.read_record()
    lines = Journal(directory.journal).read()
    latest: dict[str, dict[str, Any]] = next(
        (line["points"] for line in reversed(lines) if line["event"] == "capture.state"), {}
    )
    points: list[dict[str, Any]] = [
        {
            "name": p.name, "state": p.state, "packets": _packets(p.counters.captured, latest.get(p.name, {})),
            "kernel_drops": p.counters.kernel_drops, "reason": p.reason.message if p.reason else None,
            "cure": p.reason.cure if p.reason else None,
        }
        for p in record.points
    ]  # fmt: skip
    phase = _phase(lines, opened=record.opened_ns is not None, closed=record.closed_ns is not None)
    if as_json:
        print_json(
            {
                "run_id": record.run_id,
                "phase": phase,
                "points": points,
                "opened_ns": record.opened_ns,
                "closed_ns": record.closed_ns,
            }
        )
        return
    rows = [("point", "state", "packets", "kernel drops", "reason")]
    rows += [(p["name"], p["state"], _text(p["packets"]), _text(p["kernel_drops"]), p["reason"] or "") for p in points]
    print_lines([f"{record.run_id}  {record.name}  {phase}", *table(rows)])


def _packets(closing: int | None, latest: dict[str, Any]) -> int | None:
    return closing if closing is not None else latest.get("captured")


def _text(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _phase(lines: list[dict[str, Any]], *, opened: bool, closed: bool) -> str:
    if any(line["event"] == "capture.finished" for line in lines):
        return "finished"
    if closed:
        return "collecting"
    return "window open" if opened else "arming"
