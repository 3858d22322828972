"""`vanishpoint warmup`: compile beforehand, so that the first analysis does not wait for it."""

from __future__ import annotations

import time

import click

from orchestrator.cli.compiling import announce_compiling


@click.command("warmup")
def command() -> None:
    """Compile the analysis for this machine and keep it, so that no later command has to wait.

    Example: vanishpoint warmup
    """
    from orchestrator.jit import CACHE_DIRECTORY
    from orchestrator.warmup import main

    announce_compiling()
    begun = time.monotonic()
    main()
    kept = CACHE_DIRECTORY or "nothing is kept: no directory can be written"
    click.echo(f"ready after {time.monotonic() - begun:.1f} s: {kept}")
