"""Which cause the signs around a reset leave (ALGORITHMS D.4): a wider name where two of them look alike from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.core.analyses.reset_numbers import UNTOUCHED_TTLS

if TYPE_CHECKING:
    from orchestrator.core.analyses.reset_signs import Signs
    from orchestrator.model.finding import Origin, Side

UNKNOWN = "unknown"
WIDER = {
    "application-abort": frozenset(("unread-data",)),
    "connection-refused": frozenset(("closed-port", "firewall-reject")),
    "state-lost": frozenset(("half-open", "idle-timeout", "nat-state-loss")),
    "made-in-the-network": frozenset(("policy-kill", "injected", "idle-timeout", "nat-state-loss", "firewall-reject")),
}
"""Names that leave open which of several it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What the other resets and connections of the run say about one reset."""

    both_ends: bool = False
    """Another reset, in the other end's name, was made on the way at the same time."""
    trigger_passed: bool | None = None
    """Whether what it answers reached the point behind which it was made; None where that is not known."""
    killed: int = 0
    """Silences so long that ended like this one, of connections through the same place."""
    survived: int = 0
    """Silences of any connection that were shorter than all of those, and were survived; none was longer."""
    longest_survived_ns: int = 0
    shortest_killed_ns: int = 0
    waits_alike: int = 0
    """Resets of clients of the same service after the same wait for an answer, this one included."""
    struck: int = 0
    """Other connections that were cut at the same place at the same time."""
    reopened: bool = False
    """Whether one of those was opened anew with success afterwards."""
    behind: str = ""
    """What its sender met itself, as a client of another server, just before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause, what speaks for and against it, and what capture would decide."""

    name: str
    supports: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    would_decide: tuple[str, ...] = ()


ALONE = Company()
FEWEST_KILLED = 3
FEWEST_SURVIVED = 3
FEWEST_WAITS = 3
FEWEST_STRUCK = 2
LONGER = 1.5
"""By how much a silence must exceed every one that was survived to be blamed alone."""


def name_cause(signs: Signs, origin: Origin, side: Side, company: Company = ALONE) -> Cause:
    """Return the cause the signs leave."""
    if signs.answers == "syn":
        return _refused(signs, origin, company)
    if origin == "network":
        return _made_on_the_way(signs, company)
    if origin != "endpoint" or signs.sent_after:
        return _open(signs, origin)
    if signs.family == "stateless":
        return _without_socket(signs, side)
    if signs.family == "active":
        return _by_socket(signs, side, company)
    return Cause(
        name=UNKNOWN, against=("it fits neither a socket that was aborted nor a host that knows no connection",),
        would_decide=("the log of the application at its sender",),
    )  # fmt: skip


def _refused(signs: Signs, origin: Origin, company: Company) -> Cause:
    """Tell a closed port from a device that rejects: they look alike from any point but one at the server."""
    said = ("it answers a SYN, and its claimed sender sent nothing before it",)
    if origin == "network":
        return _rejected(said, company)
    if origin == "endpoint" and signs.ttl in UNTOUCHED_TTLS:
        return Cause(
            name="closed-port", supports=(*said, f"its TTL {signs.ttl} met no router"),
            against=("a device that rejects, right beyond this point, would look the same unless it is the server",),
            would_decide=("a capture on the server itself: did the SYN reach it?",),
        )  # fmt: skip
    return Cause(
        name="connection-refused", supports=said, would_decide=("a capture at the server: did the SYN reach it?",),
        against=(
            f"its TTL {signs.ttl} shows routers beyond this point: a closed port and a device look alike"
            if signs.ttl not in UNTOUCHED_TTLS
            else "points nearer to its claimed sender saw nothing: a closed port and a device look alike",
        ),
    )  # fmt: skip


def _rejected(said: tuple[str, ...], company: Company) -> Cause:
    """Name a refusal that was made on the way."""
    if company.trigger_passed:
        return Cause(
            name="injected", supports=(*said, "the SYN went on all the same"),
            would_decide=("what the device there is set to do",),
        )  # fmt: skip
    gone = ("the SYN went no further",) if company.trigger_passed is False else ()
    return Cause(
        name="firewall-reject", supports=(*said, "it was made on the way", *gone),
        would_decide=("the log of the filter there",),
    )  # fmt: skip


def _made_on_the_way(signs: Signs, company: Company) -> Cause:
    """Tell apart what cuts connections in the network; which rule of a device it was is not visible."""
    decide = ("the log of the device there",)
    said = ["it was made on the way"]
    if company.both_ends:
        said.append("the other end was reset in this one's name at the same time")
    if signs.sent_after:
        said.append(f"its claimed sender sent {signs.sent_after:,} more packets with data after it")
    idle = _idle(signs, company)
    if idle is not None:
        against = () if company.killed >= FEWEST_KILLED else (f"only {max(company.killed, 1):,} such silences",)
        return Cause(name="idle-timeout", supports=(*said, *idle), against=against, would_decide=decide)
    if company.struck >= FEWEST_STRUCK and company.reopened:
        said += [f"{company.struck:,} other connections were cut there at the same time", "new ones were let through"]
        return Cause(name="nat-state-loss", supports=tuple(said), would_decide=decide)
    if signs.sent_after or company.trigger_passed or signs.stale:
        said += ["what it answers went on all the same"] if company.trigger_passed else []
        said += ["its sequence number was out of date"] if signs.stale else []
        return Cause(name="injected", supports=tuple(said), would_decide=decide)
    if company.trigger_passed is False and signs.answers == "data" and not signs.silence_ns:
        said.append("the data that it answers went no further")
        return Cause(name="policy-kill", supports=tuple(said), would_decide=decide)
    return Cause(
        name="made-in-the-network", supports=tuple(said), would_decide=decide,
        against=("a rule, an idle timeout and a lost table of connections all look like this",),
    )  # fmt: skip


def _idle(signs: Signs, company: Company) -> tuple[str, ...] | None:
    """Return what speaks for an idle timeout, None where that is not enough."""
    if not signs.silence_ns:
        return None
    bare = not signs.since_silence and company.both_ends
    alone = bare and signs.silence_ns > LONGER * company.longest_survived_ns
    concentrated = company.killed >= FEWEST_KILLED and company.survived >= FEWEST_SURVIVED
    if not alone and not concentrated:
        return None
    said = [f"the connection had been silent for {signs.silence_ns / 1e9:,.1f} s"]
    if bare:
        said.append("no packet drew it out")
    if concentrated:
        said.append(
            f"{company.killed:,} of {company.killed:,} silences from {company.shortest_killed_ns / 1e9:,.1f} s on ended"
            f" so, {company.survived:,} of {company.survived:,} shorter ones, up to"
            f" {company.longest_survived_ns / 1e9:,.1f} s, did not"
        )
    return tuple(said)


def _open(signs: Signs, origin: Origin) -> Cause:
    """Say why no cause is named."""
    against = []
    if origin != "endpoint":
        against.append("whether its claimed sender or a device made it is open")
    if signs.sent_after:
        against.append(f"its claimed sender sent {signs.sent_after:,} more packets with data after it")
    return Cause(name=UNKNOWN, against=tuple(against), would_decide=("a capture at its claimed sender",))


def _without_socket(signs: Signs, side: Side) -> Cause:
    """Tell apart why a host answers that it knows no such connection."""
    made = "made without a socket"
    if signs.challenged:
        return Cause(name="challenge-ack", supports=(made, "it answers a bare acknowledgement that asks for it"))
    if (signs.finished or signs.reset_before) and signs.data_after_end:
        ended = "FIN" if signs.finished else "reset"
        text = f"{signs.data_after_end:,} packets with data came after its claimed sender's {ended}"
        return Cause(name="data-after-close", supports=(text, made))
    if signs.answers == "synack" and side != "server":
        return Cause(
            name="client-abort", supports=("it answers a SYN-ACK: the client no longer wanted, or never knew, it", made)
        )
    if signs.answers in {"data", "ack"} and not signs.finished and not signs.reset_before:
        return _unknown_connection(signs, made)
    return Cause(
        name=UNKNOWN, supports=(made,), against=("what it answers is not seen",),
        would_decide=("a capture at its claimed sender",),
    )  # fmt: skip


def _unknown_connection(signs: Signs, made: str) -> Cause:
    """Tell a host that lost its state from a device that did: only at the host they differ."""
    said = ("it answers a packet of an open connection, and its claimed sender had closed nothing", made)
    if signs.ttl in UNTOUCHED_TTLS:
        return Cause(
            name="half-open", supports=(*said, f"its TTL {signs.ttl} met no router"),
            against=("a device right beyond this point would look the same unless this is the host",),
            would_decide=("did its claimed sender, or its program, start anew?",),
        )  # fmt: skip
    return Cause(
        name="state-lost", supports=said,
        against=(f"its TTL {signs.ttl} shows routers beyond this point: the host and a device look alike",),
        would_decide=("a capture at its claimed sender",),
    )  # fmt: skip


def _by_socket(signs: Signs, side: Side, company: Company) -> Cause:
    """Tell apart why a socket was aborted."""
    made = "made by a live socket"
    if signs.probes:
        return Cause(
            name="keepalive-failure",
            supports=(made, f"{signs.probes:,} probes {signs.probe_ns / 1e9:,.1f} s apart were not answered before it"),
            would_decide=("a capture nearer to the other end: do the probes arrive, and are they answered?",),
        )  # fmt: skip
    if signs.finished:
        return _after_fin(signs, made)
    if company.behind:
        return Cause(name="backend-failure", supports=(made, company.behind))
    if company.waits_alike >= FEWEST_WAITS and signs.asked_ns is not None:
        text = f"its request, which arrived, had no answer for {signs.asked_ns / 1e9:,.2f} s"
        alike = f"{company.waits_alike:,} resets of clients of this service came after the same wait"
        return Cause(name="gave-up-waiting", supports=(made, text, alike), would_decide=("the server's log",))
    if side == "client" and not signs.talked:
        return Cause(name="client-abort", supports=(made, "before either end had sent data"))
    return _aborted(signs, made)


def _after_fin(signs: Signs, made: str) -> Cause:
    """Name an abort behind the sender's own FIN."""
    if signs.data_after_end:
        late = f"{signs.data_after_end:,} packets with data came after its claimed sender's FIN"
        return Cause(name="data-after-close", supports=(late, made))
    return Cause(
        name=UNKNOWN, supports=(made,), against=("its sender had sent its FIN before, and nothing came after it",),
        would_decide=("the log of the application at its sender",),
    )  # fmt: skip


def _aborted(signs: Signs, made: str) -> Cause:
    """Tell an abort from a close with unread data where the window tells."""
    decide = ("the log of the application at its sender",)
    came = f"{signs.unread:,} bytes came after its sender's last data"
    if signs.held:
        shown = (
            f"its window had closed by half or more, and shows {signs.held:,} bytes that its application had not read"
        )
        return Cause(name="unread-data", supports=(made, shown), would_decide=decide)
    said, against = [made, "no FIN of its sender before it"], []
    if signs.unread:
        against.append(f"{came}: a close with these unread would look the same")
    if signs.asked_ns is not None:
        said.append(f"its last request, which arrived, had had no answer for {signs.asked_ns / 1e9:,.2f} s")
    if signs.sent_again:
        said.append(f"its data had been sent again {signs.sent_again:,} times and never acknowledged")
    return Cause(name="application-abort", supports=tuple(said), against=tuple(against), would_decide=decide)
