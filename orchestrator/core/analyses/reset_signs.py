"""What stands around one reset: what it answers, whether it fits its connection, what was open when it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from orchestrator.core.analyses.reset_around import ANSWER_NS, ahead
from orchestrator.core.misses import LONGEST_DELAY_NS
from orchestrator.model.columns import ACK, FIN, MARK_OPTIONS, MARK_TIMESTAMPS, RST, SYN

if TYPE_CHECKING:
    from orchestrator.core.analyses.reset_around import Around
    from orchestrator.core.analyses.reset_numbers import Numbers
    from orchestrator.model.finding import Family

    Answers = Literal["syn", "synack", "data", "fin", "ack", ""]

FEWEST_PROBES = 2
GRAINS = 4
"""Units of the advertised window that unread data must fill before the window tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What stands around one reset, as the first point that saw it saw it."""

    ttl: int
    family: Family
    answers: Answers = ""
    """What packet of the other end it answers; empty where it came by itself, or that is not seen."""
    trigger: int | None = None
    """Row of that packet."""
    in_place: bool = False
    """Its sequence number is the next one of its claimed sender."""
    stale: bool = False
    """Its sequence number lies behind what its claimed sender had sent."""
    finished: bool = False
    """The claimed sender had sent its FIN before."""
    reset_before: int = 0
    """Resets of the same claimed sender in the same connection before it."""
    challenged: bool = False
    """What it answers is a bare acknowledgement that an earlier SYN or reset of its sender drew out."""
    data_after_end: int = 0
    """Packets with data that came to it after its FIN or reset."""
    sent_after: int = 0
    """New data its claimed sender sent after it."""
    talked: bool = False
    """Whether either end had sent data before."""
    silence_ns: int = 0
    """Idle time of the connection shortly before it."""
    since_silence: int = 0
    """Packets between the end of that and the reset."""
    asked_ns: int | None = None
    """Since when data of its sender, acknowledged, had no answer; None where none waited."""
    sent_again: int = 0
    """Times that data of its sender, never acknowledged, had been sent again."""
    probes: int = 0
    """Keepalive probes of its sender that were not answered, one like the other in distance."""
    probe_ns: int = 0
    unread: int = 0
    """Bytes that came after its sender's last data, and were acknowledged."""
    held: int = 0
    """Bytes that its application had not taken, as its window shows; 0 where that does not tell."""


def read_signs(around: Around, numbers: Numbers) -> Signs:
    """Return what stands around a reset."""
    packets, own = around.packets, around.own
    answers, trigger = _answers(around)
    fins = around.flagged(own, FIN, FIN)
    resets = around.flagged(own, RST, RST)
    ended = np.concatenate((fins, resets))
    late = around.carrying(around.other[around.other > ended.min()]) if len(ended) else ended
    reach = ahead(around.ends(own), int(packets.seq[around.row]))
    furthest = int(reach.max()) if len(reach) else 0
    silence, since = around.silence()
    probes, distance = _probes(around)
    unread, held = _unread(around), _held(around)
    family = _family(around, numbers, answers, in_place=bool(len(own)) and furthest == 0)
    return Signs(
        ttl=int(packets.ttl[around.row]), family=family, answers=answers, trigger=trigger,
        in_place=bool(len(own)) and furthest == 0, stale=furthest > 0,
        finished=bool(len(fins)), reset_before=len(resets), challenged=_challenged(around, answers),
        data_after_end=len(late), sent_after=_sent_after(around),
        talked=bool(len(around.carrying(own)) + len(around.carrying(around.other))),
        silence_ns=silence, since_silence=since, asked_ns=_asked(around), sent_again=_sent_again(around),
        probes=probes, probe_ns=distance, unread=unread, held=held,
    )  # fmt: skip


def _answers(around: Around) -> tuple[Answers, int | None]:
    """Return what packet of the other end a reset answers: its numbers are taken from it (RFC 9293 §3.5.2)."""
    packets, row = around.packets, around.row
    acks = bool(int(packets.flags[row]) & ACK)
    latest = around.trigger()
    if latest is None:
        return "", None
    recent = around.other[around.time_ns[around.other] >= around.at_ns - ANSWER_NS]
    if acks:
        syn = around.flagged(recent, SYN | ACK, SYN)
        meant = syn[around.ends(syn) == packets.ack[row]]
        return ("syn", int(meant[-1])) if len(meant) and not len(around.flagged(around.own, SYN, SYN)) else ("", None)
    meant = recent[((packets.flags[recent] & ACK) > 0) & (packets.ack[recent] == packets.seq[row])]
    if not len(meant):
        return "", None
    return _kind(packets, int(meant[-1])), int(meant[-1])


def _kind(packets: object, row: int) -> Answers:
    flags = int(packets.flags[row])  # type: ignore[attr-defined]
    if flags & SYN:
        return "synack"
    if int(packets.payload[row]):  # type: ignore[attr-defined]
        return "data"
    return "fin" if flags & FIN else "ack"


def _family(around: Around, numbers: Numbers, answers: Answers, *, in_place: bool) -> Family:
    """Say whether a socket was aborted (active) or none existed (stateless)."""
    packets, row = around.packets, around.row
    marks, acks = int(packets.marks[row]), bool(int(packets.flags[row]) & ACK)
    if marks & MARK_TIMESTAMPS:
        return "unknown" if numbers.tsval == "breaks" else "active"
    if answers == "syn":
        return "stateless"
    bare = not marks & MARK_OPTIONS and int(packets.window[row]) == 0
    if not acks:
        return "stateless" if bare else "unknown"
    stamped = len(around.own) and (packets.marks[around.own] & MARK_TIMESTAMPS).all()
    if stamped or not in_place or not _ack_fits(around):
        return "unknown"
    if int(packets.window[row]) > 0 or numbers.ip_id == "follows":
        return "active"
    return "unknown"


def _ack_fits(around: Around) -> bool:
    """Say whether a reset acknowledges what its claimed sender had: neither less than before nor more than was sent."""
    packets, number = around.packets, int(around.packets.ack[around.row])
    acked = ahead(packets.ack[around.flagged(around.own, ACK, ACK)], number)
    sent = ahead(around.ends(around.other), number)
    return (not len(acked) or int(acked.max()) <= 0) and (not len(sent) or int(sent.max()) >= 0)


def _challenged(around: Around, answers: Answers) -> bool:
    """Say whether a bare acknowledgement drawn out by the same sender is what it answers (RFC 5961 §3.2, §4.2)."""
    if answers != "ack":
        return False
    drawn = np.concatenate((around.flagged(around.own, RST, RST), around.flagged(around.own, SYN | ACK, SYN)))
    if not len(drawn) or around.at_ns - int(around.time_ns[drawn.max()]) > ANSWER_NS:
        return False
    greeted = len(around.flagged(around.other, SYN, SYN)) > 0
    return not greeted or len(around.flagged(around.own, RST, RST)) > 0


def _sent_after(around: Around) -> int:
    """Count new data behind the reset: what was sent again, or merely overtaken by it, proves nothing."""
    data = around.carrying(around.own_after)
    new = ahead(around.packets.seq[data], int(around.packets.seq[around.row]))
    return int(((around.time_ns[data] > around.at_ns + LONGEST_DELAY_NS) & (new > 0)).sum())


def _asked(around: Around) -> int | None:
    """Return for how long the last request of the reset's sender, acknowledged, had had no answer."""
    data = around.carrying(around.own)
    if not len(data):
        return None
    end = around.ends(data)
    latest = int(data[np.argmax(ahead(end, int(end[-1])))])
    begin = data[around.packets.seq[data] == around.packets.seq[latest]][0]
    later = around.other[around.other > begin]
    if len(around.carrying(later)):
        return None
    acks = ahead(around.packets.ack[around.flagged(later, ACK, ACK)], int(around.ends(np.array([latest]))[0]))
    return around.at_ns - int(around.time_ns[begin]) if len(acks) and int(acks.max()) >= 0 else None


def _sent_again(around: Around) -> int:
    """Count how often the first data that was never acknowledged had been sent again."""
    data = around.carrying(around.own)
    acks = around.packets.ack[around.flagged(around.other, ACK, ACK)]
    if not len(data) or not len(acks):
        return 0
    known = acks[np.argmax(ahead(acks, int(acks[-1])))]
    open_data = around.packets.seq[data][ahead(around.ends(data), int(known)) > 0]
    open_data = open_data[ahead(open_data, int(known)) >= 0]
    return int((open_data == open_data[0]).sum()) - 1 if len(open_data) else 0


def _probes(around: Around) -> tuple[int, int]:
    """Return (keepalive probes since the other end was last heard, their distance) where they are evenly spaced."""
    packets = around.packets
    last = int(around.other[-1]) if len(around.other) else -1
    tail = around.own[around.own > last]
    if not len(tail) or len(tail) == len(around.own):
        return 0, 0
    ends = around.ends(around.own)
    next_seq = int(ends[np.argmax(ahead(ends, int(ends[-1])))])
    probe = (ahead(packets.seq[tail], next_seq) == -1) & (packets.payload[tail] <= 1)
    tail = tail[np.flatnonzero(~probe)[-1] + 1 :] if not probe.all() else tail
    if not len(tail):
        return 0, 0
    times = np.append(around.time_ns[tail], around.at_ns)
    steps = np.diff(times)
    even = int(steps.max() - steps.min()) <= max(int(steps.max()) // 5, 50_000_000)
    return (len(tail), int(np.median(steps))) if even else (0, 0)


def _unread(around: Around) -> int:
    """Return how many bytes came, and were acknowledged, after its sender's last data."""
    packets, row = around.packets, around.row
    said = around.carrying(around.own)
    came = around.carrying(around.other[around.other > (said[-1] if len(said) else -1)])
    came = came[ahead(around.ends(came), int(packets.ack[row])) <= 0]
    if not len(came) or not int(packets.flags[row]) & ACK:
        return 0
    return int(ahead(around.ends(came), int(packets.seq[came[0]])).max())


def _held(around: Around) -> int:
    """Return how many bytes came while the right edge of the window stood, where it had closed to half or less.

    Who then reads says so at once (RFC 9293 §3.8.6.2.2). The window of the reset itself tells nothing: a socket lets go
    of what was not read before it sends that. An edge that went on tells nothing either: hosts open their window
    further while data comes, read or not.
    """
    packets, shift = around.packets, _shift(around)
    plain = around.flagged(around.own, ACK | SYN | RST, ACK)
    if shift is None or not len(plain) or not int(packets.flags[around.row]) & ACK:
        return 0
    windows = packets.window[plain].astype(np.int64) << shift
    acked = ahead(packets.ack[plain], int(packets.ack[plain[-1]]))
    behind = np.flatnonzero(acked + windows < windows[-1] - (1 << shift))
    stood = int(-acked[behind[-1] + 1 if len(behind) else 0])
    closed = 2 * int(windows[-1]) <= int(windows.max())
    return stood if closed and stood >= GRAINS << shift else 0


def _shift(around: Around) -> int | None:
    """Return by how many bits the windows of the reset's sender count; None where its opening was not seen."""
    packets = around.packets
    scales = []
    for rows in (around.own, around.other):
        opening = around.flagged(rows, SYN, SYN)
        if not len(opening):
            return None
        scales.append(int(packets.wscale[opening[0]]))
    return scales[0] - 1 if all(scales) else 0
