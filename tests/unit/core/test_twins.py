"""A packet that its sender repeats to the last byte, of which one of the two dies."""

from __future__ import annotations

import pytest

from tests.support.offline import analyse_files
from tests.support.wire import ACK, SYN, Packet, write_pcap

US, MS, S = 10**3, 10**6, 10**9
CROSSING = 300 * US
CLIENT = {"src": "192.168.0.2", "dst": "10.10.10.2", "sport": 50_000, "dport": 5002}
SERVER = {"src": "10.10.10.2", "dst": "192.168.0.2", "sport": 5002, "dport": 50_000}


def captured(gap_ns, dies):
    """Return (records at the server's side, at the client's) of a handshake whose second answer was repeated."""
    answer = Packet(**SERVER, seq=20, ack=11, flags=SYN | ACK, tsval=3_000)
    first = Packet(**SERVER, seq=20, ack=11, flags=SYN | ACK, tsval=2_000)
    sent = [(1 * S, first, True), (2 * S, answer, dies == "one"), (2 * S + gap_ns, answer, dies == "the other")]
    back = [(2 * S + 5 * MS, Packet(**CLIENT, ip_id=9_000, seq=11, ack=21))]
    for k in range(3_300):  # another connection, by which the clocks are found
        facts = {"ip_id": 1 + k, "seq": 11 + k, "ack": 11, "payload": b"x"}
        sent.append((k * MS, Packet(**{**SERVER, "dport": 40_000}, **facts), False))
        back.append((k * MS, Packet(**{**CLIENT, "sport": 40_000}, **facts)))
    server = [(at, p.bytes()) for at, p, _ in sent] + [(at + CROSSING, p.hop().bytes()) for at, p in back]
    client = [(at + CROSSING, p.hop().bytes()) for at, p, dead in sent if not dead]
    return sorted(server), sorted(client + [(at, p.bytes()) for at, p in back])


def judged(folder, gap_ns, dies):
    """Return (times of what vanished, {reason: how many are undecided})."""
    server, client = captured(gap_ns, dies)
    files = {"client": write_pcap(folder / "c.pcap", client), "server": write_pcap(folder / "s.pcap", server)}
    result = analyse_files(folder, files)
    frames = [v.frame for v in result.vanished]
    assert all(v.last_seen == "server" for v in result.vanished)
    return [server[number - 1][0] for number in frames], {u.reason: u.count for u in result.undecided}


@pytest.mark.parametrize("dies", ["one", "the other"])
def test_which_of_two_died_is_open_where_nothing_tells(tmp_path, dies):
    """Within the jitter of the crossing either may be the one that arrived; the answer before them is found."""
    assert judged(tmp_path, 20 * US, dies) == ([1 * S], {"ambiguous": 1})


@pytest.mark.parametrize("dies", ["one", "the other"])
def test_which_of_two_died_is_told_by_time(tmp_path, dies):
    """Further apart than the crossing can bend, the time says which arrived."""
    assert judged(tmp_path, 700 * US, dies) == ([1 * S, 2 * S + (700 * US if dies == "the other" else 0)], {})


def test_both_arrived(tmp_path):
    """Nothing is missing and nothing open."""
    assert judged(tmp_path, 20 * US, "none") == ([1 * S], {})
