"""One run: what was captured where, and what is known about it. Written as run.json."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.plan import CapturePlan

POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
"""Names of points and ids of runs: they become file names."""
PointState = Literal["planned", "failed", "armed", "stopped", "collected", "supplied"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One capture file of a point. ``path`` is relative to the run directory, or absolute for foreign files."""

    path: str
    size_bytes: int
    sha256: str | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """tcpdump's closing counters; None means not reported, never zero."""

    captured: int | None = None
    received: int | None = None
    kernel_drops: int | None = None
    interface_drops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a point is not what it should be, and the cure."""

    code: str
    message: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord:
    """What became of one capture point in this run."""

    name: str
    state: PointState
    node: str | None = None
    interface: str | None = None
    files: tuple[FileRecord, ...] = ()
    counters: Counters = field(default_factory=Counters)
    reason: Reason | None = None
    end_reason: str | None = None
    """What ended the capture: stop, lease, time-limit, disk-full, exit."""
    supplied_by: str | None = None
    """Who handed the capture over, for points that we did not capture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSample:
    """One exchange: collector clock before, host clock, collector clock after. Nanoseconds since the epoch."""

    before_ns: int
    host_ns: int
    after_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The whole of run.json (schema 1)."""

    run_id: str
    name: str
    version: str
    started_ns: int
    points: tuple[PointRecord, ...]
    """In path order where the points were given by hand."""
    opened_ns: int | None = None
    """Window on the collector's clock; None for captures that we did not make."""
    closed_ns: int | None = None
    plan: CapturePlan | None = None
    reference: str | None = None
    broker: str | None = None
    """``embedded``, ``redis``, or None for captures that we did not make."""
    interrupted: bool = False
