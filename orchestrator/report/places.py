"""Where a reader finds a frame: its number through the point's files, and in which of them under which number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.finding import Evidence
    from orchestrator.model.result import Result


def frame_place(result: Result, evidence: Evidence) -> str:
    """Return the point and frame of *evidence*, with the file where the point has several."""
    said = f"{evidence.point} frame {evidence.frame:,}"
    files = next((p.files for p in result.points if p.name == evidence.point), ())
    number = evidence.frame
    for record, count in files if len(files) > 1 else ():
        if 0 < number <= count:
            return f"{said} ({Path(record.path).name} frame {number:,})"
        number -= count
    return said
