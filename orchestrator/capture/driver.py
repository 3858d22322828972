"""Carry a session out: turn its instructions into steps on hosts, and what happens into events.

The window is two timestamps of this machine's clock.  The queue is never the clock: it carries steps, and points
are captured a little longer than the window on both sides.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator.capture.runner import Call
from orchestrator.core.session import (
    Armed,
    ArmFailed,
    ArmPoints,
    ArmTimeout,
    CaptureSession,
    CloseWindow,
    Collected,
    CollectPoint,
    Finish,
    OpenWindow,
    PostRollOver,
    Start,
    StopAsked,
    Stopped,
    StopPoints,
    WindowOver,
)
from orchestrator.model.run import Counters, FileRecord, PointRecord, Reason, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.capture.runner import Outcome, Runner
    from orchestrator.capture.store import RunFiles, RunJournal
    from orchestrator.core.session import Event, Instruction
    from orchestrator.model.plan import CapturePlan

ARM_TIMEOUT_S = 90.0
GRACE_S = 5.0
"""After an interrupt, for points that are being armed; one that answers later ends with its lease."""
STEP_TIMEOUT_S = 120.0
FETCH_TIMEOUT_S = 3_600.0
POLL_TIMEOUT_S = 5.0
"""A point that is silent for longer is polled again later; the leases of the others outlast it three times."""
POLL_S = 2.0
"""Between polls; the lease of a point is many times as long."""
TICK_S = 0.05
SILENT_S = 5.0
"""A point without a packet for so long after the window opened is worth a warning."""
NS = 1_000_000_000


@dataclass(slots=True)
class Driver:
    """One run from arming to collection."""

    run: RunFiles
    record: RunRecord
    plan: CapturePlan
    runner: Runner
    journal: RunJournal
    report: Callable[[str, dict[str, Any]], None]
    """Told what happens: a stable id and its fields, for the terminal."""
    interrupted: Callable[[], bool]
    """Says whether the user wants out; asked often."""
    positions: dict[str, int] = field(default_factory=dict)
    warned: set[tuple[str, str]] = field(default_factory=set)
    queue: list[Instruction] = field(default_factory=list)
    finished: bool = False
    stop_noted: bool = False
    out_since: float | None = None

    def carry_out(self) -> RunRecord:
        """Capture one window and collect every point; return the record of the run."""
        session = CaptureSession(
            points=frozenset(p.point for p in self.plan.points),
            required=frozenset(p.point for p in self.plan.points if p.required),
            min_points=min(self.plan.min_points, len(self.plan.points)),
        )
        self._handle(session, Start())
        while not self.finished:
            instruction = self.queue.pop(0)
            self._do(session, instruction)
        return self.record

    def _handle(self, session: CaptureSession, event: Event) -> None:
        self.queue += session.handle(event)

    def _do(self, session: CaptureSession, instruction: Instruction) -> None:
        match instruction:
            case ArmPoints(points):
                self._arm(session, points)
            case OpenWindow(points):
                self._open(session, points)
            case CloseWindow():
                self._close(session)
            case StopPoints(points):
                self._stop(session, points)
            case CollectPoint():
                self._collect(session, instruction)
            case Finish(reason):
                self._finish(reason)

    def _say(self, event: str, **fields: object) -> None:
        self.journal.append(event, **fields)
        self.report(event, fields)

    def _point(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - fields of the record
        """Change the record of one point and write it down."""
        points = tuple(replace(p, **changes) if p.name == name else p for p in self.record.points)
        self.record = replace(self.record, points=points)
        self.run.write_record(self.record)

    def _calls(self, step: str, points: frozenset[str] | set[str], **numbers: int) -> list[Call]:
        return [Call(step, self.record.run_id, p, numbers) for p in sorted(points)]

    def _arm(self, session: CaptureSession, points: frozenset[str]) -> None:
        """Arm all points at once; each answer is an event."""
        self._say("capture.arming", points=sorted(points))
        for call, outcome in self.runner.gather(self._calls("arm", points), ARM_TIMEOUT_S, self._out_of_patience):
            if outcome["ok"]:
                self._point(call.point, state="armed")
                self._say("point.armed", point=call.point, **_without(outcome, "ok"))
                self._handle(session, Armed(call.point))
            else:
                self._fail(call.point, outcome)
                self._handle(session, ArmFailed(call.point))
            self._settle(session)
        if self._wants_out():
            self._handle(session, StopAsked(interrupt=True))
        self._handle(session, ArmTimeout())

    def _settle(self, session: CaptureSession) -> None:
        """An interrupt while arming ends the session before it opens a window."""
        if self._wants_out():
            self._handle(session, StopAsked(interrupt=True))

    def _fail(self, point: str, outcome: Outcome) -> None:
        reason = Reason(code=outcome["code"], message=outcome["message"], cure=outcome["cure"])
        self._point(point, state="failed", reason=reason)
        self._say("point.failed", point=point, **_without(outcome, "ok"))

    def _open(self, session: CaptureSession, points: frozenset[str]) -> None:
        """Open the window and keep it open until its time is over or somebody stops it."""
        opened = time.time_ns()
        self.record = replace(self.record, opened_ns=opened)
        self.run.write_record(self.record)
        self._say("capture.window_open", opened_ns=opened, points=sorted(points))
        end = time.monotonic_ns() + self.plan.window.duration_ns
        self._watch(points, lambda now: now >= end or self._asked_to_stop())
        self._handle(session, StopAsked() if self._asked_to_stop() else WindowOver())

    def _close(self, session: CaptureSession) -> None:
        """Close the window; wait until what arrived before is in the files."""
        closed = time.time_ns()
        self.record = replace(self.record, closed_ns=closed, interrupted=self.interrupted())
        self.run.write_record(self.record)
        self._say("capture.window_closed", closed_ns=closed, interrupted=self.interrupted())
        end = time.monotonic_ns() + self.plan.window.post_roll_ns
        self._watch(frozenset(), lambda now: now >= end)
        self._handle(session, PostRollOver())

    def _watch(self, points: frozenset[str], over: Callable[[int], bool]) -> None:
        """Poll *points* and serve the control files until *over* says so."""
        begun = time.monotonic()
        due = begun
        while not over(time.monotonic_ns()):
            if points and time.monotonic() >= due:
                due = time.monotonic() + POLL_S
                self._poll(points, time.monotonic() - begun, over)
            self._serve_marks()
            time.sleep(TICK_S)

    def _poll(self, points: frozenset[str], open_for_s: float, over: Callable[[int], bool]) -> None:
        """Ask every point once: renews its lease, fetches what is new. A silent point does not hold up the others."""
        calls = [Call("poll", self.record.run_id, p, {"position": self.positions.get(p, 0)}) for p in sorted(points)]
        states = {}
        for call, outcome in self.runner.gather(calls, POLL_TIMEOUT_S, lambda: over(time.monotonic_ns())):
            if not outcome["ok"]:
                if not over(time.monotonic_ns()):
                    self._warn(call.point, outcome["code"], outcome["message"])
                continue
            self.positions[call.point] = outcome["position"]
            states[call.point] = _without(outcome, "ok")
            if outcome["state"] == "ended":
                self._warn(call.point, "ended", f"the capture ended by itself: {outcome['end_reason']}")
            elif not outcome["captured"] and open_for_s > SILENT_S:
                self._warn(
                    call.point,
                    "no-packet",
                    f"no packet in {open_for_s:.0f} s: is the filter right, is the point on the path?",
                )
        if states:
            self._say("capture.state", points=states)

    def _warn(self, point: str, code: str, message: str) -> None:
        if (point, code) not in self.warned:
            self.warned.add((point, code))
            self._say("point.warning", point=point, code=code, message=message)

    def _stop(self, session: CaptureSession, points: frozenset[str]) -> None:
        """Stop all points at once; collect each as soon as it has stopped."""
        for call, outcome in self.runner.gather(self._calls("stop", points), STEP_TIMEOUT_S):
            if outcome["ok"]:
                counters = Counters(
                    captured=outcome["captured"], received=outcome["received"], kernel_drops=outcome["kernel_drops"],
                    interface_drops=outcome["interface_drops"],
                )  # fmt: skip
                state = next(p.state for p in self.record.points if p.name == call.point)
                self._point(
                    call.point, counters=counters, end_reason=outcome["end_reason"],
                    state="failed" if state == "failed" else "stopped",
                )  # fmt: skip
                self._say("point.stopped", point=call.point, **_without(outcome, "ok"))
            else:
                self._fail(call.point, outcome)
            self._handle(session, Stopped(call.point))

    def _collect(self, session: CaptureSession, first: CollectPoint) -> None:
        """Fetch the files of every point that has stopped, side by side."""
        ready = {first.point}
        while self.queue and isinstance(self.queue[0], CollectPoint):
            following = self.queue.pop(0)
            assert isinstance(following, CollectPoint)
            ready.add(following.point)
        unstopped = {p.name for p in self.record.points if p.name in ready and p.end_reason is None}
        for call, outcome in self.runner.gather(self._calls("fetch", ready - unstopped), FETCH_TIMEOUT_S):
            self._keep(call.point, outcome)
            self._handle(session, Collected(call.point))
        for point in sorted(unstopped):
            self._handle(session, Collected(point))

    def _keep(self, point: str, outcome: Outcome) -> None:
        """Note the files of one point."""
        if not outcome["ok"]:
            self._fail(point, outcome)
            return
        files = tuple(
            FileRecord(path=f"raw/{point}/{f['name']}", size_bytes=f["size_bytes"], sha256=f["sha256"])
            for f in outcome["files"]
        )
        late = next(p for p in self.record.points if p.name == point).state == "failed"
        self._point(point, files=() if late else files, state="failed" if late else "collected")
        self._say("point.collected", point=point, files=outcome["files"])

    def _finish(self, reason: str) -> None:
        self.finished = True
        self._say("capture.finished", reason=reason, interrupted=self.record.interrupted or self.interrupted())
        if self.interrupted() and not self.record.interrupted:
            self.record = replace(self.record, interrupted=True)
        self.run.write_record(self.record)

    def _out_of_patience(self) -> bool:
        """Say whether the user wanted out a while ago; points that are just being armed are awaited, to be stopped."""
        if not self._wants_out():
            return False
        self.out_since = self.out_since or time.monotonic()
        return time.monotonic() - self.out_since > GRACE_S

    def _wants_out(self) -> bool:
        return self.interrupted() or self._stop_file()

    def _asked_to_stop(self) -> bool:
        return self._wants_out()

    def _stop_file(self) -> bool:
        """Say whether somebody asked through the control directory to stop; answer once in the journal."""
        asked = (self.run.control / "stop").exists()
        if asked and not self.stop_noted:
            self.stop_noted = True
            self._say("control.stop")
        return asked

    def _serve_marks(self) -> None:
        """Take marks and extensions from the control directory into the journal."""
        for path in sorted(self.run.control.glob("mark-*")):
            text = path.read_text(encoding="utf-8", errors="replace")[:500]
            self._say("control.mark", text=text, at_ns=path.stat().st_mtime_ns)
            path.unlink()


def _without(outcome: Outcome, *keys: str) -> dict[str, Any]:
    return {k: v for k, v in outcome.items() if k not in keys}


def planned_record(run_id: str, plan: CapturePlan, version: str, broker: str) -> RunRecord:
    """Return the record of a run before anything has happened."""
    points = tuple(PointRecord(name=p.point, state="planned", node=p.node, interface=p.interface) for p in plan.points)
    return RunRecord(
        run_id=run_id,
        name=plan.name,
        version=version,
        started_ns=time.time_ns(),
        points=points,
        plan=plan,
        broker=broker,
    )
