"""What a playbook or inventory asks for and this version does not carry out, said plainly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.model.playbook import Playbook
    from orchestrator.model.topology import Topology


def notes_on_playbook(playbook: Playbook, topology: Topology) -> tuple[str, ...]:
    """Return what the user must know before relying on a run of *playbook*."""
    return (*_on_playbook(playbook), *_on_topology(topology))


def _on_playbook(playbook: Playbook) -> Iterator[str]:
    if playbook.ring is not None:
        yield "ring: not carried out by this version; the whole window is kept, limits.file_total bounds it"
    if playbook.window.start != "now":
        yield f"window.start: not waited for by this version; start the run at {playbook.window.start} yourself"
    for trigger in playbook.triggers:
        if trigger.when == "mark":
            continue
        yield f"trigger {trigger.when}: not watched for by this version; mark events by hand"
    if playbook.archive is not None:
        yield "archive: not made by this version; keep the run directory"


def _on_topology(topology: Topology) -> Iterator[str]:
    for path in topology.paths:
        if path.reverse and path.reverse != path.points:
            yield f"path {path.name}: the way back differs; only points that both directions meet are compared"
