"""Take in captures that others made: a run of files that stay where they are, or one more point of a run."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.errors import InputError
from orchestrator.model.run import POINT_NAME, FileRecord, PointRecord, RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.archive.layout import RunDirectory
    from orchestrator.model.plan import CapturePlan

READ_BYTES = 1 << 20


def open_offline(
    run: RunDirectory, points: Mapping[str, Sequence[Path]], *, run_id: str, reference: str | None = None,
    plan: CapturePlan | None = None,
) -> RunRecord:  # fmt: skip
    """Make *run* from captures that others made; *points* in path order.

    Raises:
        InputError: A name or a file cannot be used.
    """
    if reference is not None and reference not in points:
        msg = f"--reference {reference}: no such point"
        raise InputError(msg, hint=f"The points are {', '.join(points)}.")
    records = tuple(
        PointRecord(name=_checked(name), state="supplied", files=tuple(_foreign(p) for p in files))
        for name, files in points.items()
    )
    run.create()
    record = RunRecord(
        run_id=run_id, name=plan.name if plan else run.path.name, version=__version__, started_ns=time.time_ns(),
        points=records, plan=plan, reference=reference or next(iter(points)),
    )  # fmt: skip
    run.write_record(record)
    return record


def add_capture(run: RunDirectory, name: str, files: Sequence[Path], supplied_by: str) -> RunRecord:
    """Take a capture that somebody hands over into *run*: copied, hashed, its clock unknown.

    Raises:
        InputError: The name is taken or a file cannot be read.
    """
    record = run.read_record()
    if any(p.name == _checked(name) and p.files for p in record.points):
        msg = f"{name}: this run has captures of that point already"
        raise InputError(msg, hint="Choose another name for it.")
    kept = []
    target = run.raw(name)
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        _foreign(path)
        copy = target / path.name
        digest = _copy_hashed(path, copy)
        kept.append(FileRecord(path=str(copy.relative_to(run.path)), size_bytes=copy.stat().st_size, sha256=digest))
    point = PointRecord(name=name, state="supplied", files=tuple(kept), supplied_by=supplied_by)
    others = tuple(p for p in record.points if p.name != name)
    updated = replace(record, points=(*others, point))
    run.write_record(updated)
    return updated


def _checked(name: str) -> str:
    if not POINT_NAME.match(name):
        hint = "Begin with a letter or digit; then letters, digits, dot, underscore, hyphen."
        msg = f"{name!r} is no name of a capture point"
        raise InputError(msg, hint=hint)
    return name


def _foreign(path: Path) -> FileRecord:
    """Return a record of a file that stays where it is."""
    try:
        status = path.stat()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise InputError(msg, hint="Check the path of the capture file.") from error
    return FileRecord(path=str(path.resolve()), size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _copy_hashed(source: Path, target: Path) -> str:
    """Copy *source*; return the SHA-256 of what was copied."""
    state = hashlib.sha256()
    with source.open("rb") as data, target.open("xb") as out:
        while piece := data.read(READ_BYTES):
            state.update(piece)
            out.write(piece)
    return state.hexdigest()
