"""Analyse captures as `vanishpoint analyse --point` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.archive.layout import RunDirectory
from orchestrator.intake import open_offline
from orchestrator.pipeline import analyse

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.model.finding import SegmentRow
    from orchestrator.model.result import Result


def analyse_files(folder: Path, points: dict[str, Path], **options) -> Result:
    run = RunDirectory(folder / "run")
    open_offline(run, {name: [path] for name, path in points.items()}, run_id="20260101-000000-test")
    return analyse(run, **options)


def segment(result: Result, near: str | None, far: str | None) -> SegmentRow:
    return next(s for s in result.segments if (s.near, s.far) == (near, far))
