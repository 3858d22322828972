"""What one step does on one host. Short, idempotent by (run id, point), with deadlines of its own.

A step reads what it needs from the run store by id, talks to one host through a connection that is kept between
steps, writes what it learns into the run directory, and returns states and counters. A host that fails is an outcome.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.capture.runner import Outcome, failure
from orchestrator.errors import VanishpointError
from orchestrator.model.run import ClockSample
from probes import capture, preflight as checks
from probes.clock import ClockChannel
from probes.errors import ProbeError, UnreachableError
from probes.spec import CaptureSpec, Login
from probes.ssh import SshTransport, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.capture.store import RunStore
    from orchestrator.model.plan import PointPlan
    from orchestrator.model.topology import Ssh

EXCHANGES_AT_EDGES = 25
"""Clock exchanges before and after; the best of so many is within tens of microseconds on a LAN (LAB §6)."""
EXCHANGES_WHILE_OPEN = 5
BUSY_S = 0.5
KIB = 1024


@dataclass(slots=True)
class _Connection:
    """A host as one (run, point) uses it. One caller at a time."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    transport: SshTransport | None = None
    clock: ClockChannel | None = None


class Site:
    """Everything a worker holds: the run store, and connections that outlive a step."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._connections: dict[tuple[str, str], _Connection] = {}
        self._lock = threading.Lock()

    def carry_out(self, step: str, run_id: str, point: str, numbers: dict[str, int]) -> Outcome:
        """Carry out one step; whatever goes wrong on the host becomes an outcome."""
        connection = self._connection(run_id, point)
        patience_s = BUSY_S if step == "poll" else -1
        if not connection.lock.acquire(timeout=patience_s):  # polls of a silent host must not fill the worker
            return failure("busy", f"{point}: the host has not answered the last poll yet", "Look at its network.")
        try:
            return self._carry_out(step, run_id, point, connection, numbers)
        finally:
            connection.lock.release()

    def _carry_out(
        self, step: str, run_id: str, point: str, connection: _Connection, numbers: dict[str, int]
    ) -> Outcome:
        """Carry out one step while nobody else uses the connection."""
        try:
            plan = next(p for p in self.store.plan(run_id).points if p.point == point)
            return self._attempt(step, run_id, plan, connection, numbers)
        except ProbeError as error:
            self._drop(connection)
            return failure(error.code, str(error), error.hint)
        except VanishpointError as error:
            return failure("store", str(error), error.hint)
        except StopIteration:
            return failure("store", f"{point}: not a point of run {run_id}", "Start the run again.")

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in self._connections.values():
                self._drop(connection)
            self._connections.clear()

    def _attempt(
        self, step: str, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]
    ) -> Outcome:
        """Run the step; once more over a new connection when the kept one turns out to be dead."""
        kept = connection.transport is not None
        try:
            return STEPS[step](self, run_id, plan, self._connected(connection, plan), numbers)
        except UnreachableError:
            if not kept:
                raise
            self._drop(connection)
            return STEPS[step](self, run_id, plan, self._connected(connection, plan), numbers)

    def _connection(self, run_id: str, point: str) -> _Connection:
        with self._lock:
            return self._connections.setdefault((run_id, point), _Connection())

    def _connected(self, connection: _Connection, plan: PointPlan) -> _Connection:
        if connection.transport is not None and not connection.transport.is_alive:
            self._drop(connection)
        if connection.transport is None:
            connection.transport = connect(login_of(plan.ssh))
        return connection

    def _drop(self, connection: _Connection) -> None:
        with suppress(ProbeError, OSError):
            if connection.clock is not None:
                connection.clock.__exit__(None, None, None)
        with suppress(ProbeError, OSError):
            if connection.transport is not None:
                connection.transport.close()
        connection.clock = connection.transport = None

    def exchange_clocks(self, run_id: str, point: str, connection: _Connection, count: int) -> Outcome:
        """Ask the host's clock *count* times and keep the answers; a clock that does not answer is no failure."""
        assert connection.transport is not None
        try:
            if connection.clock is None:
                connection.clock = ClockChannel(connection.transport).__enter__()  # left in _drop
            samples = connection.clock.exchange(count)
        except ProbeError as error:
            connection.clock = None
            return {"exchanges": 0, "clock_error": str(error)}
        kept = [ClockSample(before_ns=s.before_ns, host_ns=s.host_ns, after_ns=s.after_ns) for s in samples]
        self.store.run(run_id).append_clock(point, kept)
        best = min((s.after_ns - s.before_ns for s in samples), default=0)
        return {"exchanges": len(samples), "round_trip_ns": best, "clock_method": connection.clock.method}


def login_of(ssh: Ssh) -> Login:
    """Return how a probe logs in."""
    return Login(
        host=ssh.host, user=ssh.user, port=ssh.port, key_file=ssh.key_file, known_hosts=ssh.known_hosts,
        jump=login_of(ssh.jump) if ssh.jump else None,
    )  # fmt: skip


def spec_of(run_id: str, plan: PointPlan) -> CaptureSpec:
    """Return what a probe is asked to capture."""
    return CaptureSpec(
        run_id=run_id, point=plan.point, interface=plan.interface, filter=plan.filter, snaplen=plan.snaplen,
        buffer_kib=plan.buffer_bytes // KIB, max_seconds=plan.max_seconds, lease_seconds=plan.lease_seconds,
        min_free_kib=plan.disk_free_bytes // KIB, max_file_kib=max(1, plan.file_total_bytes // KIB),
        privilege=plan.ssh.privilege,
    )  # fmt: skip


def sweep_host(ssh: Ssh, run_id: str | None) -> Outcome:
    """End and remove what crashed runs left on one host."""
    try:
        transport = connect(login_of(ssh))
        try:
            return {"ok": True, "swept": list(capture.sweep(transport, run_id=run_id))}
        finally:
            transport.close()
    except ProbeError as error:
        return failure(error.code, str(error), error.hint)


def _transport(connection: _Connection) -> SshTransport:
    assert connection.transport is not None
    return connection.transport


def _preflight(site: Site, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]) -> Outcome:
    del site, numbers
    found = checks.check(_transport(connection), spec_of(run_id, plan))
    reasons = [{"code": r.code, "severity": r.severity, "message": r.message, "cure": r.cure} for r in found.reasons]
    return {"ok": True, "go": found.go, "reasons": reasons, "facts": dict(found.facts)}


def _arm(site: Site, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]) -> Outcome:
    del numbers
    clock = site.exchange_clocks(run_id, plan.point, connection, EXCHANGES_AT_EDGES)
    armed = capture.arm(_transport(connection), spec_of(run_id, plan))
    return {
        "ok": True, "link_type": armed.link_type, "tcpdump": armed.tcpdump_version,
        "privilege": armed.privilege, **clock,
    }  # fmt: skip


def _poll(site: Site, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]) -> Outcome:
    seen = capture.poll(_transport(connection), spec_of(run_id, plan), position=numbers.get("position", 0))
    rows = [
        {
            "host_ns": s.host_ns, "monotonic_ns": s.monotonic_ns, "captured": s.captured, "received": s.received,
            "kernel_drops": s.kernel_drops, "free_kib": s.free_kib, "file_bytes": s.file_bytes,
        }
        for s in seen.samples
    ]  # fmt: skip
    site.store.run(run_id).append_counters(plan.point, rows)
    clock = site.exchange_clocks(run_id, plan.point, connection, EXCHANGES_WHILE_OPEN)
    latest = rows[-1] if rows else {}
    return {
        "ok": True, "state": seen.state, "end_reason": seen.end_reason, "position": seen.position,
        "captured": latest.get("captured"), "kernel_drops": latest.get("kernel_drops"),
        "free_kib": latest.get("free_kib"), "file_bytes": latest.get("file_bytes"), **clock,
    }  # fmt: skip


def _stop(site: Site, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]) -> Outcome:
    del numbers
    clock = site.exchange_clocks(run_id, plan.point, connection, EXCHANGES_AT_EDGES)
    ended = capture.stop(_transport(connection), spec_of(run_id, plan))
    return {
        "ok": True, "end_reason": ended.end_reason, "captured": ended.captured, "received": ended.received,
        "kernel_drops": ended.kernel_drops, "interface_drops": ended.interface_drops,
        "files": [{"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in ended.files],
        "messages": list(ended.messages), **clock,
    }  # fmt: skip


def _fetch(site: Site, run_id: str, plan: PointPlan, connection: _Connection, numbers: dict[str, int]) -> Outcome:
    """Fetch what the host hashed, compare, and only then delete it there."""
    del numbers
    spec, transport = spec_of(run_id, plan), _transport(connection)
    ended = capture.stop(transport, spec)  # idempotent: tells the files and hashes again
    target = site.store.run(run_id).raw(plan.point)
    target.mkdir(parents=True, exist_ok=True)
    for file in ended.files:
        capture.fetch(transport, spec, file, target / file.name)
    capture.remove(transport, spec)
    site._drop(connection)  # noqa: SLF001  # the last step of a point: nothing will use its connection again
    files = [{"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in ended.files]
    return {"ok": True, "files": files}


STEPS: dict[str, Callable[[Site, str, PointPlan, _Connection, dict[str, int]], Outcome]] = {
    "preflight": _preflight,
    "arm": _arm,
    "poll": _poll,
    "stop": _stop,
    "fetch": _fetch,
}
"""Every step by its name on the queue."""
