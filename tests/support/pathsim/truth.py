"""Hold what was claimed against what happened."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.pathsim.wire import TCP, UDP, transport_length

if TYPE_CHECKING:
    from orchestrator.model.result import Result
    from tests.support.pathsim.cases import Made
    from tests.support.pathsim.taps import Record, Tap
    from tests.support.pathsim.wire import Wire

MARGIN_NS = 30_000_000
CALLED = 30_000
"""Port of the calls that pathsim.datagrams makes."""


def false_claims(made: Made, result: Result) -> list[str]:
    """Return one line for everything in *result* that accuses wrongly."""
    places = {tap.name: tap.place for tap in made.taps}
    wrong = []
    claims = Counter((v.last_seen, v.frame, v.first_missing, not v.flow.sport | v.flow.dport) for v in result.vanished)
    for (near, frame, far, bare), count in claims.items():
        record = made.records[near][frame - 1]
        parts = [made.sent[uid] for uid in record.uids]
        span = record.piece if bare and record.piece is not None else (0, 1 << 20)  # without ports: a piece
        truly = [p for p in parts if _died(p, _segments(places[near], places[far], forward=p.forward), span)]
        if count > len(truly):
            wrong.append(f"{near} frame {frame} not at {far}: {count} claimed, {len(truly)} lost; {_short(parts[0])}")
    wrong += [
        f"reset {r.flow} called born after {r.born_after} before {r.born_before}"
        for r in result.resets
        if r.origin == "network"
    ]
    wrong += _wrong_explanations(made, result)
    wrong += _wrong_series(made, result)
    inner = any(on not in {0, made.case.points} for p in made.sent for on, _, _ in p.deaths)
    if result.headline.network == "yes" and not inner:
        wrong.append(f"headline: {result.headline.statement}")
    return wrong


def _wrong_explanations(made: Made, result: Result) -> list[str]:
    """Return sentences that blame a device that is not there, or a mechanism: losses are drawn independently."""
    devices = made.case.devices
    there = {f"p{k - 1}-p{k}" for k in (devices.relay, devices.shifts_seq, devices.syn_proxy) if k is not None}
    wrong = [f.statement for f in result.findings if f.kind == "relay" and f.id.removeprefix("relay-") not in there]
    wrong += [
        f.statement
        for f in result.findings
        if f.kind in {"mechanism", "translation"} and "random loss" not in f.statement
    ]
    return wrong


def _wrong_series(made: Made, result: Result) -> list[str]:
    """Return series that are said to have lost more before a point than never came to it; calls alone are numbered."""
    places = {tap.name: tap.place for tap in made.taps}
    wrong = []
    for series in result.series:
        forward = series.flow.dport == CALLED
        sent = [p for p in made.sent if p.protocol == UDP and p.server[1] == CALLED and p.forward == forward]
        for point in series.points:
            index = places[point.point] if forward else made.case.points - 1 - places[point.point]
            gone = sum(len(p.crossed) <= index for p in sent)
            if point.lost > gone:
                wrong.append(f"{series.kind} before {point.point}: {point.lost} claimed, {gone} of {len(sent)} lost")
    return wrong


def _died(packet: Wire, segments: range, span: tuple[int, int]) -> bool:
    """Say whether something of the bytes *span* was dropped on one of *segments*."""
    return any(on in segments and begin < span[1] and end > span[0] for on, begin, end in packet.deaths)


def _segments(near: int, far: int, *, forward: bool) -> range:
    """Return the segments between two places in the direction of travel."""
    return range(near + 1, far + 1) if forward else range(far + 1, near + 1)


def _short(packet: Wire) -> str:
    way = "forward" if packet.forward else "reverse"
    return (
        f"uid {packet.uid} {way} proto {packet.protocol} flags {packet.flags:#x} seq {packet.seq} ack {packet.ack}"
        f" len {len(packet.payload)} id {packet.ip_id} lost on {packet.lost_on}"
    )


def claimed_uids(made: Made, result: Result) -> set[int]:
    """Return the lost packets behind the claims; of a super-segment all that were lost."""
    found = set()
    for entry in result.vanished:
        uids = made.records[entry.last_seen][entry.frame - 1].uids
        found |= {uid for uid in uids if made.sent[uid].lost_on is not None} if len(uids) > 1 else set(uids)
    return found


def eligible(made: Made) -> set[int]:
    """Return the packets whose loss the captures prove, if they are read right."""
    alike = Counter(_alike(made, p) for p in made.sent)
    seen = {name: _whole(made, records) for name, records in made.records.items()}
    found = set()
    for packet in made.sent:
        if packet.lost_on is None or not 0 < packet.lost_on < made.case.points or packet.flags & 4:
            continue
        if _hidden_by_device(made, packet):
            continue
        upstream = [t for t in made.taps if (t.place < packet.lost_on) == packet.forward]
        downstream = [t for t in made.taps if (t.place < packet.lost_on) != packet.forward]
        last = max if packet.forward else min
        nearest = last(upstream, key=lambda t: t.place)
        sound = [t for t in downstream if _is_sound(made, t) and _open(made, made.records[t.name], packet)]
        if packet.uid in seen[nearest.name] and sound and alike[_alike(made, packet)] == 1:
            found.add(packet.uid)
    return found


def _whole(made: Made, records: list[Record]) -> set[int]:
    """Return the packets of which *records* hold every byte."""
    bytes_of: Counter[int] = Counter()
    for uid, (begin, end) in {(r.uids[0], r.piece) for r in records if r.piece is not None}:
        bytes_of[uid] += end - begin
    found = {uid for uid, count in bytes_of.items() if count >= transport_length(made.sent[uid])}
    return found | {u for r in records if r.piece is None for u in r.uids}


def _hidden_by_device(made: Made, packet: Wire) -> bool:
    """Say whether a relay, or a device that leaves nothing but TCP payload alone, stands where *packet* was lost."""
    devices = made.case.devices
    if packet.lost_on == devices.relay:
        return True
    renumbers = packet.lost_on in {devices.shifts_seq, devices.syn_proxy}
    told = packet.ip_id or (packet.times is not None and devices.syn_proxy is None)
    return packet.protocol == TCP and renumbers and not (told and devices.new_ids is None)


def _is_sound(made: Made, tap: Tap) -> bool:
    """Say whether nobody need doubt what a point did not see: it missed nothing, and says so where others miss."""
    return (
        not tap.miss
        and not (tap.shell == "erspan" and tap.mirror_loses)
        and (tap.reports or not any(t.miss for t in made.taps))
    )


def _open(made: Made, records: list[Record], packet: Wire) -> bool:
    """Say whether a point had packets of the same flow and direction before and after."""
    times = [
        r.true_ns
        for r in records
        if made.sent[r.uids[0]].forward == packet.forward
        and (made.sent[r.uids[0]].client, made.sent[r.uids[0]].server) == (packet.client, packet.server)
    ]
    return len(times) > 2 and times[0] + MARGIN_NS < packet.sent_ns < times[-1] - MARGIN_NS


def _alike(made: Made, packet: Wire) -> tuple[object, ...]:
    """Return what two packets must share to be indistinguishable."""
    number = 0 if made.case.devices.new_ids is not None else packet.ip_id
    return (
        packet.forward, packet.protocol, packet.client, packet.server, number, packet.seq, packet.ack, packet.flags,
        packet.times, packet.payload,
    )  # fmt: skip
