"""Several connections of one host that end at once: what else lived on is written down here."""

from __future__ import annotations

import pytest

from tests.support.offline import analyse_files
from tests.support.wire import ACK, PSH, RST, SYN, Packet, write_pcap

S, MS = 1_700_000_000 * 10**9, 10**6
SERVER = "10.0.1.2"


def talk(client, port, *, until_s, reset_at_s=None, server=SERVER):
    """Yield (time, packet) of a connection that asks every 200 ms, and resets if it is told to."""
    seq, ack, number = 101, 901, port * 10 % 60_000
    yield S, Packet(client, server, port, 80, number, seq=100, flags=SYN)
    yield S + 2 * MS, Packet(server, client, 80, port, number + 1, seq=900, ack=101, flags=SYN | ACK)
    yield S + 4 * MS, Packet(client, server, port, 80, number + 2, seq=seq, ack=ack, flags=ACK)
    for k in range(1, until_s * 5):
        at = S + (200 * k + port % 50) * MS
        yield at, Packet(client, server, port, 80, number + 2 + k, seq=seq, ack=ack, flags=PSH | ACK, payload=b"q" * 9)
        seq += 9
        yield (
            at + 2 * MS,
            Packet(server, client, 80, port, number + 500 + k, seq=ack, ack=seq, flags=PSH | ACK, payload=b"a" * 9),
        )
        ack += 9
    if reset_at_s is not None:
        at = S + reset_at_s * 1000 * MS + (port % 7) * MS
        yield at, Packet(client, server, port, 80, number + 400, seq=seq, ack=ack, flags=RST | ACK)


def captured(folder, *talks):
    sent = sorted(((at, p) for one in talks for at, p in one), key=lambda e: e[0])
    files = {"near": [], "far": []}
    for at, one in sent:
        first, then = ("near", "far") if one.src != SERVER else ("far", "near")
        files[first].append((at, one.bytes()))
        files[then].append((at + MS, one.hop().bytes()))
    paths = {name: write_pcap(folder / name, sorted(rows)) for name, rows in files.items()}
    return analyse_files(folder, paths)


def dying(client, *ports):
    return [talk(client, p, until_s=3, reset_at_s=3) for p in ports]


def finding(result):
    (found,) = [f for f in result.findings if f.kind == "burst"]
    return found


def test_some_of_a_hosts_connections(tmp_path):
    result = captured(
        tmp_path, *dying("10.0.0.1", 4001, 4002), talk("10.0.0.1", 4003, until_s=6), talk("10.0.0.2", 4004, until_s=6)
    )
    (burst,) = result.bursts

    assert (burst.flows, burst.open_flows, burst.survivors, burst.quiet) == (2, 3, 1, 0)
    assert (burst.bystanders, burst.went_on, burst.together) == (1, True, ())
    assert finding(result).id == "bursts-some"
    assert "2 of 3 open flows of 10.0.0.1" in finding(result).statement
    assert "another host's connections to the same servers lived on" in finding(result).statement
    assert finding(result).evidence[0].point == "near"


def test_all_of_a_hosts_connections(tmp_path):
    result = captured(tmp_path, *dying("10.0.0.1", 4001, 4002), talk("10.0.0.2", 4004, until_s=6))
    (burst,) = result.bursts

    assert (burst.flows, burst.open_flows, burst.went_on) == (2, 2, False)
    assert finding(result).id == "bursts-all"
    assert "nothing of theirs was seen later" in finding(result).statement


def test_an_idle_connection_is_neither_dead_nor_alive(tmp_path):
    result = captured(
        tmp_path, *dying("10.0.0.1", 4001, 4002), talk("10.0.0.1", 4003, until_s=1), talk("10.0.0.2", 4004, until_s=6)
    )

    assert (result.bursts[0].quiet, result.bursts[0].survivors) == (1, 0)
    assert "1 was not seen again" in finding(result).statement


@pytest.mark.parametrize("after_s", [3, 6])
def test_several_hosts_at_once_share_something(tmp_path, after_s):
    result = captured(
        tmp_path,
        *dying("10.0.0.1", 4001, 4002),
        *dying("10.0.0.3", 4011, 4012),
        talk("10.0.0.2", 4004, until_s=after_s),
    )

    assert {b.host: b.together for b in result.bursts} == {"10.0.0.1": ("10.0.0.3",), "10.0.0.3": ("10.0.0.1",)}
    assert finding(result).id == "bursts-shared"
    assert ("the captures end too soon" in finding(result).statement) == (after_s == 3)
