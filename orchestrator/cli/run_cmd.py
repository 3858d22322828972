"""`vanishpoint run`: capture one window at every point of a playbook, and say what it shows."""

from __future__ import annotations

import json
import secrets
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.captures import EXPECTATION_FAILED
from orchestrator.cli.compiling import announce_compiling
from orchestrator.cli.output import escape
from orchestrator.cli.plan_cmd import read_overrides
from orchestrator.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.archive.layout import RunDirectory
    from orchestrator.capture.runner import Runner
    from orchestrator.capture.store import RunStore
    from orchestrator.model.plan import CapturePlan
    from orchestrator.model.playbook import Playbook
    from orchestrator.model.run import RunRecord
    from orchestrator.settings import Settings

POINTS_MISSING = 5
INTERRUPTED = 130


@click.command("run")
@click.argument("playbook", type=click.Path(path_type=Path))
@click.option("--broker", metavar="URL", help="Redis with workers; without it everything runs in this process.")
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are written.  [default: ./runs]")
@click.option("--set", "overrides", multiple=True, callback=read_overrides, metavar="KEY=VALUE", help="Change a key.")
@click.option("--json", "as_json", is_flag=True, help="Print result.json; progress as JSON lines.")
@click.option("--fail-on-expect", is_flag=True, help="Exit 10 when an expectation of the playbook does not hold.")
@click.option("--no-analyse", "only_capture", is_flag=True, help="Capture and collect only.")
def command(
    playbook: Path, broker: str | None, runs: Path | None, overrides: dict[str, str], *, as_json: bool,
    fail_on_expect: bool, only_capture: bool,
) -> int:  # fmt: skip
    """Capture one window at every point of PLAYBOOK, collect, analyse and merge. Ctrl-C closes the window early.

    Example: vanishpoint run playbooks/call-centre-rst.yaml --set window.duration=10m
    """
    from orchestrator.config.playbook import load_both
    from orchestrator.core.plan import plan_capture
    from orchestrator.settings import read_settings

    settings = read_settings(broker=broker, runs=runs)
    loaded, topology = load_both(playbook, overrides)
    plan = plan_capture(loaded, topology)
    _check_authority(plan)
    with _interrupts() as interrupted:
        store, runner = _runner(settings)
        try:
            run, record = _capture(store, runner, plan, loaded, playbook, interrupted, as_json=as_json)
        finally:
            runner.close()
    return _conclude(run, record, as_json=as_json, fail_on_expect=fail_on_expect, only_capture=only_capture)


def _check_authority(plan: CapturePlan) -> None:
    """Refuse to capture outside the time for which it was allowed."""
    from orchestrator.errors import PlaybookError

    granted = plan.authority
    if granted is None:
        return
    now = time.time_ns()
    begins, ends = granted.valid_from_ns, granted.valid_until_ns
    if (begins is not None and now < begins) or (ends is not None and now + plan.window.duration_ns > ends):
        hint = "Capture within authority.valid, or have it extended and change the playbook."
        msg = f"{plan.name}: the authority {granted.ticket or ''} does not cover this window"
        raise PlaybookError(msg, hint=hint)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into an answer to "does the user want out?", so that captures are still collected."""
    asked: list[int] = []
    before = {s: signal.signal(s, lambda number, _frame: asked.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _runner(settings: Settings) -> tuple[RunStore, Runner]:
    from orchestrator.archive.layout import RunDirectory
    from orchestrator.capture.store import RunStore, new_key, shared_key
    from orchestrator.tasks.runner import EmbeddedRunner, connect_redis

    if settings.broker is None:
        store = RunStore(settings.runs, new_key(), RunDirectory)
        return store, EmbeddedRunner(store)
    store = RunStore(settings.runs, shared_key(settings.runs, settings.store_key), RunDirectory)
    return store, connect_redis(settings.broker)


def _capture(
    store: RunStore, runner: Runner, plan: CapturePlan, playbook: Playbook, source: Path, interrupted: Callable[[],
    bool], *,
    as_json: bool,
) -> tuple[RunDirectory, RunRecord]:  # fmt: skip
    """Make the run directory and carry the plan out."""
    from orchestrator import __version__
    from orchestrator.archive.journal import Journal
    from orchestrator.archive.layout import RunDirectory, new_run_id
    from orchestrator.capture.driver import Driver, planned_record
    from orchestrator.cli.progress import reporter

    run_id = new_run_id(time.time_ns(), secrets.token_hex(2))
    run = RunDirectory(store.run(run_id).path).create()
    run.control.mkdir(mode=0o700)
    run.write_text("playbook.yaml", source.read_text(encoding="utf-8"))
    run.write_text("inventory.yaml", Path(playbook.inventory).read_text(encoding="utf-8"))
    store.seal(run_id, plan)
    record = planned_record(run_id, plan, __version__, runner.name)
    run.write_record(record)
    journal = Journal(run.journal)
    journal.append("run.created", run_id=run_id, version=__version__, playbook=playbook.name, broker=runner.name)
    report = reporter(as_json=as_json)
    report("run.created", {"run_id": run_id, "path": str(run.path)})
    if not as_json:
        click.echo(escape(f"run {run_id}   {run.path}"), err=True)
    driver = Driver(run, record, plan, runner, journal, report, interrupted)
    return run, driver.carry_out()


def _conclude(run: RunDirectory, record: RunRecord, *, as_json: bool, fail_on_expect: bool, only_capture: bool) -> int:
    """Analyse what was collected, print it, and return the exit code."""
    from orchestrator.errors import CaptureFailedError

    collected = [p for p in record.points if p.state == "collected" and p.files]
    missing = [p for p in record.points if p.state != "collected"]
    if not collected:
        if record.interrupted:
            return INTERRUPTED
        reasons = "; ".join(f"{p.name}: {p.reason.message}" for p in missing if p.reason) or "see journal.jsonl"
        cures = list(dict.fromkeys(p.reason.cure for p in missing if p.reason))
        msg = f"no point was captured: {reasons}"
        raise CaptureFailedError(msg, hint=cures[0] if cures else f"Look at {run.journal}.")
    if record.opened_ns is None:
        _print_missing(missing)
    failed = False if only_capture else _analyse(run, as_json=as_json)
    if record.interrupted:
        return INTERRUPTED
    if record.opened_ns is None:
        msg = "the window was never opened"
        raise CaptureFailedError(msg, hint=f"Look at {run.journal} for the reason.")
    if failed and fail_on_expect:
        return EXPECTATION_FAILED
    return POINTS_MISSING if missing else 0


def _analyse(run: RunDirectory, *, as_json: bool) -> bool:
    """Analyse and merge, print the answer; say whether an expectation failed."""
    from orchestrator.pipeline import analyse

    if not as_json:
        announce_compiling()
    if as_json:  # its lines of progress are JSON
        result = analyse(run, merged=True)
    else:
        with ProgressBar("merging", "reading and matching packets") as bar:
            result = analyse(run, merged=True, progress=bar)
    failed = any(e.outcome == "fail" for e in result.expect)
    if as_json:
        document: dict[str, Any] = json.loads(run.result.read_text(encoding="utf-8"))
        click.echo(json.dumps(document, ensure_ascii=True, indent=1))
        return failed
    click.echo(run.report_text.read_text(encoding="utf-8"), nl=False)
    click.echo(f" result  {run.result}\n merged  {run.merged}\n report  {run.report_text}")
    return failed


def _print_missing(missing: list[Any]) -> None:
    for point in missing:
        if point.reason:
            click.echo(escape(f"{point.name}: {point.reason.message} ({point.reason.cure})"), err=True)
