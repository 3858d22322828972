"""`vanishpoint worker`: carry out capture steps for orchestrators elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

THREADS = 16


@click.command("worker")
@click.option("--broker", metavar="URL", help="Redis to serve.  [default: VANISHPOINT_BROKER]")
@click.option("--runs", type=click.Path(path_type=Path), help="The runs directory that the orchestrator uses.")
@click.option("--threads", type=click.IntRange(1, 256), default=THREADS, show_default=True, help="Steps at a time.")
def command(broker: str | None, runs: Path | None, threads: int) -> int:
    """Serve the queue of capture steps until stopped.

    Example: vanishpoint worker --broker redis://queue.example:6379/0 --runs /srv/runs
    """
    from orchestrator.capture.store import RunStore, shared_key
    from orchestrator.settings import read_settings
    from orchestrator.tasks.runner import serve

    settings = read_settings(broker=broker, runs=runs)
    if settings.broker is None:
        msg = "name a broker: --broker redis://HOST:PORT/DB or VANISHPOINT_BROKER"
        raise click.UsageError(msg)
    store = RunStore(settings.runs, shared_key(settings.runs, settings.store_key))
    return serve(settings.broker, store, threads)
