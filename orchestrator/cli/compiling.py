"""Say that the analysis is being compiled: it happens once, and nobody should wonder what takes so long."""

from __future__ import annotations

import click

ABOUT_S = 20


def announce_compiling() -> None:
    """Say on stderr that kernels will be compiled, where they are not yet."""
    from orchestrator.jit import CACHE_DIRECTORY, has_machine_code  # numba takes its time

    if has_machine_code():
        return
    if CACHE_DIRECTORY is None:
        click.echo(
            f"compiling the analysis for this machine, about {ABOUT_S} s, again each time: no directory can be written"
            " to keep it in (set NUMBA_CACHE_DIR)",
            err=True,
        )
        return
    click.echo(f"compiling the analysis for this machine, once: about {ABOUT_S} s", err=True)
