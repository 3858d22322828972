"""What messages in the clear tell (DNS, errors of ICMP, alerts of TLS) as values of result.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.model.finding import FlowKey

DnsOutcome = Literal[
    "answered", "nxdomain", "servfail", "refused", "error", "no-answer", "no-answer-seen", "answer-lost", "undecided",
]  # fmt: skip
"""``no-answer-seen`` where no point hears that server at all: its answers may take another way. ``answer-lost`` where
an answer was seen that vanished before it came to the client. ``undecided`` has its reason."""
EventKind = Literal[
    "dns-failure", "dns-no-answer", "dns-slow", "icmp-prohibited", "icmp-unreachable", "tls-alert",
]  # fmt: skip
SLOW_NS = 1_000_000_000
"""An answer later than this is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsTransaction:
    """One question, however often it was asked in the same words, and what became of it."""

    flow: FlowKey
    """From the client to the server, as the point nearest to the client saw it."""
    id: int
    qname: str
    """Printable ASCII, anything else as backslash and three digits."""
    qtype: str
    asked_ns: int
    asked_at: str
    """The point nearest to the client that saw it: ``asked_ns`` is when, on the reference clock."""
    asked: int
    """How often."""
    outcome: DnsOutcome
    reason: str = ""
    rcode: str | None = None
    answered_ns: int | None = None
    """When the answer came to ``answered_at``, on the reference clock."""
    answered_at: str | None = None
    took_ns: int | None = None
    """From the first time it was asked to the first answer, at one point that saw both, free of any clock offset."""
    truncated: bool = False
    answers: int = 0
    """Records in the answer."""
    seen: tuple[str, ...] = ()
    """Points that saw the question."""
    last_seen: str
    """The point farthest along its way that saw it, or the answer where that was lost."""
    frame: int
    """There."""
    lost: tuple[str, str] | None = None
    """(last seen, first missing) where the question, or else its answer, vanished between points."""
    rejected: bool = False
    """An error of ICMP says that the question was turned away; ``reason`` names it."""
    silent_at: str | None = None
    """The farthest point past which no answer came for sure, though it saw others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpError:
    """Errors of one kind that one address sent about one flow."""

    protocol: str
    type: int
    code: int
    name: str
    mtu: int | None
    """Of the next hop, where packets are too large for it."""
    sender: str
    receiver: str
    quoted: FlowKey | None
    """The packet that they quote, as it looked at the point nearest to its sender; None where that cannot be read."""
    known: bool
    """Whether a packet of the quoted flow was seen."""
    count: int
    times_ns: tuple[int, ...]
    """The first of them."""
    last_ns: int
    points: tuple[tuple[str, int], ...]
    """(point, how many it saw)."""
    point: str
    frame: int
    """Where one can be looked at."""

    @property
    def first_ns(self) -> int:
        """Return when the first was seen."""
        return self.times_ns[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsAlert:
    """One alert in the clear."""

    flow: FlowKey
    """From its sender."""
    client: str
    """The end that opened the connection."""
    level: str
    description: int
    name: str
    time_ns: int
    points: tuple[str, ...]
    point: str
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that went wrong for one client, to be laid beside other things that happened at that time."""

    client: str
    time_ns: int
    kind: EventKind
    target: str
    flow: FlowKey | None = field(default=None, compare=False)
    """From client to server."""
    point: str = field(default="", compare=False)
    frame: int = field(default=0, compare=False)
    """Where it can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """All of a run."""

    dns: tuple[DnsTransaction, ...] = ()
    """In order of time; of very many, those that failed first."""
    dns_in_all: int = 0
    dns_not_read: int = 0
    """Packets from or to port 53 that hold no whole message that can be read."""
    asked_of: tuple[tuple[str, int], ...] = ()
    """(server, questions) of all."""
    dns_more_failed: bool = False
    """More than stand in ``dns``."""
    icmp_errors: tuple[IcmpError, ...] = ()
    icmp_errors_in_all: int = 0
    tls_alerts: tuple[TlsAlert, ...] = ()
    tls_alerts_in_all: int = 0
    tls_alerts_encrypted: int = 0
    """Encrypted alerts, not readable."""
