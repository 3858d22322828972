"""What clients meet on connections: read from packets, before any list is cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.analyses.heartbeats import find_heartbeat
from tests.support.offline import analyse_files
from tests.support.wire import ACK, PSH, RST, SYN, Packet, write_pcap

import numpy as np  # isort: skip

S, MS = 10**9, 10**6
START = 1_700_000_000 * S
CLIENT, SERVER, OTHER = "10.0.0.1", "10.0.1.2", "10.0.1.3"


class Wire:
    """One point beside a client."""

    def __init__(self) -> None:
        self.records = []

    def say(self, at, packet, **fields):
        one = replace(packet, ip_id=len(self.records) + 1, **fields)
        self.records.append((START + at, one.bytes()))

    def open(self, at, host, sport):
        up, down = Packet(CLIENT, host, sport, 80), Packet(host, CLIENT, 80, sport)
        self.say(at, up, seq=100, flags=SYN)
        self.say(at + MS, down, seq=900, ack=101, flags=SYN | ACK)
        self.say(at + 2 * MS, up, seq=101, ack=901)
        self.say(at + 3 * MS, up, seq=101, ack=901, flags=PSH | ACK, payload=b"x" * 10)
        self.say(at + 4 * MS, down, seq=901, ack=111, flags=PSH | ACK, payload=b"y" * 10)
        return up, down

    def result(self, folder):
        return analyse_files(folder, {"gateway": write_pcap(folder / "g.pcap", sorted(self.records))})


def crashed(wire, at=20 * S):
    """Let two connections live until they are reset together; return what the run says after *wire* told more."""
    for k in (1, 2):
        up, down = wire.open(S, SERVER, 41000 + k)
        wire.say(at - S, up, seq=111, ack=911, flags=PSH | ACK, payload=b"z" * 5)
        wire.say(at - S + MS, down, seq=911, ack=116)
        wire.say(at + k * 10_000, up, seq=116, ack=911, flags=RST | ACK)
    wire.say(at + 40 * S, Packet("10.0.0.9", SERVER, 5, 6, protocol=17, payload=b"later"))


def met(result):
    return {(r.failure, r.event, r.target): r for r in result.precursors.rows}


def test_data_sent_again_on_another_connection(tmp_path):
    """Three times within a second; on the connections that die it would be the failure itself."""
    wire = Wire()
    up, _ = wire.open(S, OTHER, 42000)
    crashed(wire)
    for k in range(5):
        wire.say(15 * S + k * 200 * MS, up, seq=111, ack=911, flags=PSH | ACK, payload=b"again")
    rows = met(wire.result(tmp_path))

    row = rows["burst", "retransmissions", f"{OTHER}:80"]
    assert (row.cases, row.exposed_cases, row.lead_ns // S) == (1, 1, 4)
    assert row.examples[0].flow.dst == OTHER


def test_on_its_own_connections_nothing_precedes_a_failure(tmp_path):
    wire = Wire()
    crashed(wire)
    for k in range(5):
        wire.say(
            15 * S + k * 200 * MS,
            Packet(CLIENT, SERVER, 41001, 80),
            seq=111,
            ack=911,
            flags=PSH | ACK,
            payload=b"zzzzz",
        )

    assert met(wire.result(tmp_path)) == {}


@pytest.mark.parametrize(("closed_ns", "seen"), [(3 * S, True), (500 * MS, False)])
def test_a_window_that_stays_closed_on_another_connection(tmp_path, closed_ns, seen):
    wire = Wire()
    _, down = wire.open(S, OTHER, 42000)
    crashed(wire)
    wire.say(14 * S, down, seq=911, ack=111, window=0)
    wire.say(14 * S + closed_ns, down, seq=911, ack=111, window=500)

    assert (("burst", "zero-window", f"{OTHER}:80") in met(wire.result(tmp_path))) is seen


def test_a_reset_by_another_server_and_one_of_its_own(tmp_path):
    wire = Wire()
    up, down = wire.open(S, OTHER, 42000)
    wire.say(10 * S, down, seq=911, ack=111, flags=RST | ACK)
    up, _ = wire.open(S, "10.0.1.4", 43000)
    wire.say(12 * S, up, seq=111, ack=911, flags=RST | ACK)
    crashed(wire)
    rows = met(wire.result(tmp_path))

    assert ("burst", "reset-received", f"{OTHER}:80") in rows
    assert ("burst", "reset-sent", "10.0.1.4:80") in rows
    assert ("reset", "reset-received", f"{OTHER}:80") in rows


def test_a_missed_beat_has_its_time():
    beats = np.array([k for k in range(12) if k != 7], np.int64) * S + START
    found = find_heartbeat(beats, np.full(len(beats), 40, np.int64))

    assert (found.missed, found.missed_at_ns) == (1, (START + 7 * S,))
