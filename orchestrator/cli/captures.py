"""What several commands take: ``--point NAME=FILE[,FILE…]`` and ``--runs DIR``; and an exit code that two share."""

from __future__ import annotations

from pathlib import Path

import click

EXPECTATION_FAILED = 10

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    envvar="VANISHPOINT_RUNS",
    show_default=True,
    help="Where runs are.  [also: VANISHPOINT_RUNS]",
)


def read_points(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return the points in the order given, each with its files."""
    points: dict[str, list[Path]] = {}
    for value in values:
        name, equals, files = value.partition("=")
        if not equals or not name or not files:
            msg = f"{value!r} is not NAME=FILE[,FILE…]"
            raise click.BadParameter(msg)
        if name in points:
            msg = f"{name!r} is given twice; several files of one point are separated by commas"
            raise click.BadParameter(msg)
        points[name] = [Path(f) for f in files.split(",") if f]
    return points
