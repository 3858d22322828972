"""`vanishpoint plan`: what a run would do, without touching a host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.model.plan import CapturePlan, PointPlan

_SECOND_NS = 1_000_000_000


def read_overrides(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return ``--set key=value`` options as a mapping."""
    overrides: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            msg = f"{value!r} is not key=value"
            raise click.BadParameter(msg)
        overrides[key.strip()] = text
    return overrides


@click.command("plan")
@click.argument("playbook", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    callback=read_overrides,
    metavar="KEY=VALUE",
    help="Change a key.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(playbook: Path, overrides: dict[str, str], *, as_json: bool) -> None:
    """Show what PLAYBOOK would capture: points, filters, paths. Touches no host.

    Example: vanishpoint plan playbooks/call-centre-rst.yaml --set window.duration=10m
    """
    from orchestrator.config.playbook import load_both  # pydantic takes its time
    from orchestrator.core.plan import plan_capture
    from orchestrator.model.codec import encode

    plan = plan_capture(*load_both(playbook, overrides))
    if as_json:
        print_json(encode(plan))
    else:
        print_lines(_text(plan))


def _text(plan: CapturePlan) -> Iterator[str]:
    window = plan.window
    yield f"{plan.name}: {plan.about}" if plan.about else plan.name
    duration_s, post_roll_s = window.duration_ns / _SECOND_NS, window.post_roll_ns / _SECOND_NS
    yield f"window {duration_s:g} s from {window.start}, post-roll {post_roll_s:g} s"
    yield f"at least {plan.min_points} of {len(plan.points)} points must capture"
    for point in plan.points:
        yield ""
        yield from _point(point)
    yield ""
    yield "paths:"
    yield from (f"  {path.name}: {' > '.join(path.points)}" for path in plan.paths)
    if not plan.paths:
        yield "  none: nothing is compared between points"
    yield "segments:"
    for segment in plan.segments:
        yield f"  {segment.near} > {segment.far}" + (f" ({segment.name})" if segment.name else "")
        yield from (f"    {part}" for part in segment.contains)
    if plan.notes:
        yield "notes:"
        yield from (f"  {note}" for note in plan.notes)


def _point(point: PointPlan) -> Iterator[str]:
    marks = [mark for mark, holds in (("required", point.required), ("may not accuse", not point.complete)) if holds]
    yield f"{point.point}: {point.node}:{point.interface}" + (f" ({', '.join(marks)})" if marks else "")
    yield f"  flows    {', '.join(point.flows)}"
    yield f"  filter   {point.filter}"
    yield f"  snaplen  {point.snaplen} B, buffer {point.buffer_bytes >> 10} KiB"
    yield (
        f"  limits   {point.max_seconds} s, lease {point.lease_seconds} s, file {point.file_total_bytes >> 20} MiB,"
        f" {point.disk_free_bytes >> 20} MiB of disk left free"
    )
