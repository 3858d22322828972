"""`vanishpoint worker`: carry out capture steps for orchestrators elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

THREADS = 16


@click.command("worker")
@click.option("--broker", metavar="URL", help="Redis to serve.  [default: VANISHPOINT_BROKER]")
@click.option("--runs", type=click.Path(path_type=Path), help="The runs directory that the orchestrator uses.")
@click.option("--threads", type=click.IntRange(1, 256), default=THREADS, show_default=True, help="Steps at a time.")
@click.option("--name", metavar="NAME", help="What to call this worker.  [default: the name of this machine]")
@click.option("--check", is_flag=True, help="Start nothing; succeed if the worker of this name answers.")
def command(broker: str | None, runs: Path | None, threads: int, name: str | None, *, check: bool) -> int:
    """Serve the queue of capture steps until stopped.

    Example: vanishpoint worker --broker redis://queue.example:6379/0 --runs /srv/runs
    """
    from orchestrator.archive.layout import RunDirectory
    from orchestrator.capture.store import RunStore, shared_key
    from orchestrator.settings import read_settings
    from orchestrator.tasks.runner import check_worker, serve

    settings = read_settings(broker=broker, runs=runs)
    if settings.broker is None:
        msg = "name a broker: --broker redis://HOST:PORT/DB or VANISHPOINT_BROKER"
        raise click.UsageError(msg)
    if check:
        check_worker(settings.broker, name)
        return 0
    store = RunStore(settings.runs, shared_key(settings.runs, settings.store_key), RunDirectory)
    return serve(settings.broker, store, threads, name)
