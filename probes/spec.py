"""The values that go to one host and come back from it. No input or output here.

What a host is told to do is validated when the value is made, so that nothing malformed can reach a command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from probes.errors import SpecError

Privilege = Literal["auto", "capabilities", "root", "wrapper"]
"""How the right to capture is obtained; ``auto`` takes the first that works."""

DEFAULT_BASE_DIR = "/var/tmp"  # noqa: S108  # survives a reboot, sticky, on disk; the agent makes a private directory in it

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,31}")
_FILTER = re.compile(r"[A-Za-z0-9 .:/_()\[\]&|!<>=+*%^~,\\-]{0,65536}")
_DIRECTORY = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How one host is reached over SSH."""

    host: str
    user: str
    port: int = 22
    key_file: str | None
    """None asks the SSH agent."""
    known_hosts: str
    jump: Login | None = None
    connect_timeout_s: float = 10.0

    def __str__(self) -> str:
        """Return the place that messages name: ``user@host:port``."""
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSpec:
    """What one host is asked to capture."""

    run_id: str
    point: str
    interface: str
    filter: str
    snaplen: int
    """Bytes kept of each packet; 0 keeps everything."""
    buffer_kib: int
    max_seconds: int
    lease_seconds: int
    """The capture ends by itself when nobody polled for so long."""
    min_free_kib: int
    """The capture ends when the disk has less room than this."""
    max_file_kib: int
    privilege: Privilege = "auto"
    base_dir: str = DEFAULT_BASE_DIR
    """Where on the host the private directory is made."""

    def __post_init__(self) -> None:
        """Refuse what must not reach a command line.

        Raises:
            SpecError: A field holds characters or numbers that are not allowed.
        """
        _demand(_NAME, "run id", self.run_id)
        _demand(_NAME, "point", self.point)
        _demand(_INTERFACE, "interface", self.interface)
        _demand(_FILTER, "filter", self.filter)
        check_base_dir(self.base_dir)
        _demand_range("snaplen", self.snaplen, 0, 262_144)
        _demand_range("buffer_kib", self.buffer_kib, 64, 4 * 1024 * 1024)
        _demand_range("max_seconds", self.max_seconds, 1, 31 * 86_400)
        _demand_range("lease_seconds", self.lease_seconds, 1, 7 * 86_400)
        _demand_range("min_free_kib", self.min_free_kib, 0, 1 << 40)
        _demand_range("max_file_kib", self.max_file_kib, 1, 1 << 40)

    @property
    def name(self) -> str:
        """The name of the capture on its host: unique to this run and point, since ``@`` is in neither."""
        return f"{self.run_id}@{self.point}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """tcpdump said that it listens."""

    tcpdump_version: str
    link_type: str
    remote_dir: str
    privilege: str
    """What ``auto`` came to: root, capabilities or wrapper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One second of a capture, as the agent on the host noted it. None means not known, never zero."""

    host_ns: int
    monotonic_ns: int | None = None
    """Since boot, 10 ms fine on most hosts: enough to prove that the host's clock was stepped."""
    captured: int | None = None
    received: int | None = None
    kernel_drops: int | None = None
    free_kib: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The state of a capture and what is new in the agent's log."""

    state: Literal["armed", "ended"]
    end_reason: str | None
    samples: tuple[Sample, ...]
    position: int
    """Bytes of the agent's log read so far; hand it to the next poll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One capture file, hashed on its host before any transfer."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A capture that has ended: why, with which counters, and its files."""

    end_reason: str
    """stop, lease, time-limit, disk-full, file-limit, exit (tcpdump ended by itself) or lost (the agent was killed)."""
    exit_code: int | None
    captured: int | None
    received: int | None
    kernel_drops: int | None
    interface_drops: int | None
    files: tuple[RemoteFile, ...]
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSample:
    """One exchange: our clock before, the host's clock, our clock after. Nanoseconds since the epoch."""

    before_ns: int
    host_ns: int
    after_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that preflight found, and what to type about it."""

    code: str
    severity: Literal["no-go", "warning", "info"]
    message: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Whether one point could capture."""

    reasons: tuple[Reason, ...]
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def go(self) -> bool:
        """True if nothing forbids the capture."""
        return all(reason.severity != "no-go" for reason in self.reasons)


def check_base_dir(path: str) -> None:
    """Refuse a base directory that is relative, hidden or odd.

    Hidden ones are refused since the AppArmor profile of tcpdump forbids them.

    Raises:
        SpecError: The path is not a plain absolute one.
    """
    _demand(_DIRECTORY, "base directory", path)


def check_run_id(run_id: str) -> None:
    """Refuse a run id that could not be a file name.

    Raises:
        SpecError: The id holds other characters than letters, digits, dot, dash and underscore.
    """
    _demand(_NAME, "run id", run_id)


def _demand(pattern: re.Pattern[str], what: str, value: str) -> None:
    if not pattern.fullmatch(value):
        msg = f"{what} {value[:80]!r} has characters that are not allowed, or the wrong length"
        raise SpecError(msg, hint=f"A {what} must match {pattern.pattern}.")


def _demand_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        msg = f"{what} is {value}"
        raise SpecError(msg, hint=f"{what} must be from {low} to {high}.")
