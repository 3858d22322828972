"""One synchronised capture as a state machine: events in, instructions out.

Holds no connection and reads no clock, so every interleaving of arming, failing, stopping and collecting can be
tested in microseconds.  `orchestrator.capture.driver` carries the instructions out and turns what happens into events.

    planned ── Arm ─▶ arming ── every point answered ─▶ open ── window over, stop ─▶ closing ── post-roll over ─▶
    stopping ─▶ ended
                         └── too few can capture ─▶ stopping (what is armed) ─▶ ended
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Phase = Literal["planned", "arming", "open", "closing", "stopping", "ended"]


@dataclass(frozen=True, slots=True)
class Start:
    """Event: begin."""


@dataclass(frozen=True, slots=True)
class Armed:
    """Event: tcpdump on this point listens."""

    point: str


@dataclass(frozen=True, slots=True)
class ArmFailed:
    """Event: this point will not capture."""

    point: str


@dataclass(frozen=True, slots=True)
class ArmTimeout:
    """Event: points that have not answered are given up."""


@dataclass(frozen=True, slots=True)
class WindowOver:
    """Event: the window's time has passed."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Event: somebody wants the window closed now; an interrupt does not wait for arming."""

    interrupt: bool = False


@dataclass(frozen=True, slots=True)
class PostRollOver:
    """Event: what arrived before the window closed is in the files by now."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Event: the capture of this point has ended and its files are known, or never will be."""

    point: str


@dataclass(frozen=True, slots=True)
class Collected:
    """Event: the files of this point are here, or never will be."""

    point: str


@dataclass(frozen=True, slots=True)
class ArmPoints:
    """Instruction: start the capture on these points."""

    points: frozenset[str]


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """Instruction: the window opens now."""

    points: frozenset[str]


@dataclass(frozen=True, slots=True)
class CloseWindow:
    """Instruction: the window closes now; await the post-roll."""


@dataclass(frozen=True, slots=True)
class StopPoints:
    """Instruction: end the capture on these points."""

    points: frozenset[str]


@dataclass(frozen=True, slots=True)
class CollectPoint:
    """Instruction: fetch the files of this point."""

    point: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Instruction: the session is over. ``reason`` says why no window was opened, and is empty when one was."""

    reason: str


Event: TypeAlias = Start | Armed | ArmFailed | ArmTimeout | WindowOver | StopAsked | PostRollOver | Stopped | Collected
Instruction: TypeAlias = ArmPoints | OpenWindow | CloseWindow | StopPoints | CollectPoint | Finish


@dataclass(slots=True)
class CaptureSession:
    """Arms every point, opens one window when all that can capture do, and sees every armed point collected."""

    points: frozenset[str]
    required: frozenset[str] = frozenset()
    min_points: int = 1
    phase: Phase = "planned"
    armed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    awaiting: set[str] = field(default_factory=set)
    """Points told to stop whose files are not here yet."""
    collecting: set[str] = field(default_factory=set)
    reason: str = ""

    def handle(self, event: Event) -> list[Instruction]:  # noqa: PLR0911, C901  # one return a case reads best
        """Take in *event*; return what to do now, in order."""
        if self.phase == "ended":
            return self._late(event)
        match event:
            case Start():
                return self._start()
            case Armed(point):
                return self._armed(point)
            case ArmFailed(point):
                return self._arm_failed(point)
            case ArmTimeout():
                return self._decide(give_up=True) if self.phase == "arming" else []
            case WindowOver():
                return self._close() if self.phase == "open" else []
            case StopAsked(interrupt):
                return self._stop_asked(interrupt=interrupt)
            case PostRollOver():
                return self._stop() if self.phase == "closing" else []
            case Stopped(point):
                return self._stopped(point)
            case Collected(point):
                return self._collected(point)

    def _late(self, event: Event) -> list[Instruction]:
        """A point that is armed after the end must not be left capturing."""
        if isinstance(event, Armed) and event.point in self.points and event.point not in self.armed:
            self.armed.add(event.point)
            return [StopPoints(frozenset({event.point}))]
        return []

    def _start(self) -> list[Instruction]:
        if self.phase != "planned":
            return []
        self.phase = "arming"
        return [ArmPoints(self.points)]

    def _armed(self, point: str) -> list[Instruction]:
        if point not in self.points or point in self.armed or self.phase == "planned":
            return []
        self.armed.add(point)
        if self.phase == "arming":
            self.failed.discard(point)
            return self._decide()
        if self.phase == "stopping":
            self.awaiting.add(point)
            return [StopPoints(frozenset({point}))]
        self.failed.add(point)  # armed after the window opened: it did not see the whole window, but it must be stopped
        return []

    def _arm_failed(self, point: str) -> list[Instruction]:
        if self.phase != "arming" or point not in self.points or point in self.armed:
            return []
        self.failed.add(point)
        return self._decide()

    def _decide(self, *, give_up: bool = False) -> list[Instruction]:
        """Open the window as soon as every point that can capture does, or give up when too few can."""
        silent = self.points - self.armed - self.failed
        able = self.armed | (set() if give_up else silent)
        missing = self.required - able
        if missing or len(able) < self.min_points:
            what = f"{', '.join(sorted(missing))} cannot capture and is required" if missing else ""
            self.reason = what or f"{len(able)} of {len(self.points)} points can capture, {self.min_points} are needed"
            return self._stop()
        if silent and not give_up:
            return []
        self.failed |= silent
        self.phase = "open"
        return [OpenWindow(frozenset(self.armed))]

    def _stop_asked(self, *, interrupt: bool) -> list[Instruction]:
        if self.phase == "open":
            return self._close()
        if self.phase in {"planned", "arming"}:
            self.reason = "interrupted before the window opened" if interrupt else "stopped before the window opened"
            return self._stop()
        return []

    def _close(self) -> list[Instruction]:
        self.phase = "closing"
        return [CloseWindow()]

    def _stop(self) -> list[Instruction]:
        self.phase = "stopping"
        self.awaiting = set(self.armed)
        if not self.awaiting:
            return self._finish()
        return [StopPoints(frozenset(self.awaiting))]

    def _stopped(self, point: str) -> list[Instruction]:
        if self.phase != "stopping" or point not in self.awaiting or point in self.collecting:
            return []
        self.collecting.add(point)
        return [CollectPoint(point)]

    def _collected(self, point: str) -> list[Instruction]:
        if self.phase != "stopping" or point not in self.collecting:
            return []
        self.collecting.discard(point)
        self.awaiting.discard(point)
        return [] if self.awaiting else self._finish()

    def _finish(self) -> list[Instruction]:
        self.phase = "ended"
        return [Finish(self.reason)]
