"""Celery tasks: decode, call one function, encode. Arguments are ids and numbers; nothing else is on the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.capture.runner import failure
from orchestrator.capture.steps import STEPS

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.capture.steps import Site

VERSION = 1
"""Of the messages; a worker of another version refuses them."""


def task_name(step: str) -> str:
    """Return the name of a step's task on the queue."""
    return f"vanishpoint.{step}"


def register(app: Celery, site: Site | None) -> None:
    """Add one task a step to *app*; *site* carries them out, None where this process only sends."""
    for step in STEPS:
        app.task(_task(step, site), name=task_name(step), shared=False, ignore_result=False)


def _task(step: str, site: Site | None) -> Any:  # noqa: ANN401 - Celery takes any callable
    def run(version: int, run_id: str, point: str, numbers: dict[str, int]) -> dict[str, Any]:
        if version != VERSION or site is None:
            return failure(
                "version", "this worker speaks another version of the queue", "Install the same version everywhere."
            )
        clean = {str(k): int(v) for k, v in numbers.items()}
        return site.carry_out(step, str(run_id), str(point), clean)

    run.__name__ = step
    return run
