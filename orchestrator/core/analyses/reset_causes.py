"""Which cause the signs around a reset leave (ALGORITHMS D.4): unknown where two of them accuse different parties."""

from __future__ import annotations

from dataclasses import dataclass

UNTOUCHED_TTLS = frozenset((64, 128, 255))
"""What hosts begin with: a packet that still has it met no router."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What stands around one reset, as the first point that saw it saw it."""

    origin: str
    family: str
    ttl: int
    answers_syn: bool
    finished: bool
    """The claimed sender had sent its FIN before."""
    data_after_fin: int
    """Packets with data that came to it after that."""
    sent_after: int
    """New data its claimed sender sent after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause, what speaks for and against it, and what capture would decide."""

    name: str
    supports: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    would_decide: tuple[str, ...] = ()


def name_cause(signs: Signs) -> Cause:
    """Return the cause the signs leave."""
    if signs.answers_syn:
        return _refused(signs)
    if signs.origin == "network":
        return _made_on_the_way(signs)
    if signs.origin != "endpoint" or signs.sent_after:
        return _open(signs)
    return _made_by_host(signs)


def _refused(signs: Signs) -> Cause:
    """Tell a closed port from a device that rejects: they look alike from any point but one at the server."""
    said = ("it answers a SYN, and its claimed sender sent nothing before it",)
    if signs.origin == "network":
        return Cause(name="firewall-reject", supports=(*said, "a sound point nearer to the server did not see it"))
    if signs.origin == "endpoint" and signs.ttl in UNTOUCHED_TTLS:
        return Cause(
            name="closed-port", supports=(*said, f"its TTL {signs.ttl} met no router"),
            against=("a device that rejects, right beyond this point, would look the same unless it is the server",),
            would_decide=("a capture on the server itself: did the SYN reach it?",),
        )  # fmt: skip
    return Cause(
        name="connection-refused", supports=said, would_decide=("a capture at the server: did the SYN reach it?",),
        against=(f"its TTL {signs.ttl} shows routers beyond this point: a closed port and a device look alike",),
    )  # fmt: skip


def _made_on_the_way(signs: Signs) -> Cause:
    """Say what a reset made in the network shows; which device rule made it is not visible."""
    said = ["a sound point nearer to its claimed sender did not see it"]
    if signs.sent_after:
        said.append(f"its claimed sender sent {signs.sent_after:,} more packets with data after it")
    return Cause(name="made-in-the-network", supports=tuple(said), would_decide=("the log of the device there",))


def _open(signs: Signs) -> Cause:
    """Say why no cause is named."""
    against = []
    if signs.origin != "endpoint":
        against.append("whether its claimed sender or a device made it is open")
    if signs.sent_after:
        against.append(f"its claimed sender sent {signs.sent_after:,} more packets with data after it")
    return Cause(name=UNKNOWN, against=tuple(against), would_decide=("a capture at its claimed sender",))


def _made_by_host(signs: Signs) -> Cause:
    """Tell an abort from data that came after the close."""
    if signs.finished and signs.data_after_fin and signs.family == "stateless":
        text = f"{signs.data_after_fin:,} packets with data came after its claimed sender's FIN"
        return Cause(name="data-after-close", supports=(text, "made without a socket"))
    if signs.family == "active" and not signs.finished:
        return Cause(name="application-abort", supports=("made by a live socket", "no FIN of its sender before it"))
    return Cause(name=UNKNOWN, would_decide=("the log of the application at its sender",))
