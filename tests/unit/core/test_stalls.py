"""Connections that die without a reset, of which the truth is written down here."""

from __future__ import annotations

import pytest

from tests.support.offline import analyse_files
from tests.support.wire import ACK, FIN, PSH, SYN, Packet, write_pcap

S, MS = 1_700_000_000 * 10**9, 10**6
C, V = ("10.0.0.1", 40000), ("10.0.1.2", 80)
UP, DOWN = True, False


def packet(up, ip_id, seq, ack, flags=ACK, payload=b"", window=512):
    (src, sport), (dst, dport) = (C, V) if up else (V, C)
    return Packet(src, dst, sport, dport, ip_id, seq=seq, ack=ack, flags=flags, payload=payload, window=window)


def opening():
    yield S, UP, packet(UP, 1, 100, 0, SYN)
    yield S + 10 * MS, DOWN, packet(DOWN, 501, 900, 101, SYN | ACK)
    yield S + 20 * MS, UP, packet(UP, 2, 101, 901)
    yield S + 30 * MS, UP, packet(UP, 3, 101, 901, PSH | ACK, b"hello")
    yield S + 40 * MS, DOWN, packet(DOWN, 502, 901, 106, PSH | ACK, b"there")
    yield S + 50 * MS, UP, packet(UP, 4, 106, 906)


def background():
    """Yield a conversation of others that keeps all captures open for ten seconds."""
    for k in range(100):
        yield S - 500 * MS + 150 * MS * k, UP, Packet("10.0.0.9", "10.0.1.9", 5000, 5001, k + 1, protocol=17)


def captured(folder, sent, *, dies_from=None):
    """Let two points see *sent*; packets of the client with an identification from *dies_from* on reach only one."""
    near, far = [], []
    for at, up, one in sent:
        here, there = (near, far) if up else (far, near)
        here.append((at, one.bytes()))
        if not (up and dies_from is not None and one.src == C[0] and one.ip_id >= dies_from):
            there.append((at + 4 * MS, one.hop().bytes()))
    files = {"near": write_pcap(folder / "n", sorted(near)), "far": write_pcap(folder / "f", sorted(far))}
    return analyse_files(folder, files)


def row_of(result):
    return next(c for c in result.connections if c.flow.dport == V[1])


def resends(count, flags=PSH | ACK, payload=b"again", seq=106):
    """Yield one packet *count* times, ever more slowly."""
    for k in range(count):
        yield S + (300 + 300 * 2**k) * MS, UP, packet(UP, 10 + k, seq, 906, flags, payload)


@pytest.mark.parametrize(("dies_from", "last", "missing"), [(None, "far", None), (10, "near", "far")])
def test_data_sent_into_nothing_says_where_it_was_last_seen(tmp_path, dies_from, last, missing):
    stall = row_of(captured(tmp_path, [*background(), *opening(), *resends(5)], dies_from=dies_from)).stall

    assert (stall.by, stall.kind, stall.packets, stall.resent) == ("client", "data", 5, 4)
    assert (stall.last_seen, stall.first_missing) == (last, missing)
    assert (stall.since_ns, stall.until_ns) == (S + 600 * MS, S + 5_100 * MS)


def test_a_fin_that_nobody_answers(tmp_path):
    stall = row_of(captured(tmp_path, [*background(), *opening(), *resends(5, FIN | ACK, b"")])).stall

    assert (stall.kind, stall.resent) == ("fin", 4)


def test_an_answer_after_all_is_no_stall(tmp_path):
    late = (S + 6_000 * MS, DOWN, packet(DOWN, 503, 906, 111))
    assert row_of(captured(tmp_path, [*background(), *opening(), *resends(5), late])).stall is None


def test_few_copies_are_no_stall(tmp_path):
    assert row_of(captured(tmp_path, [*background(), *opening(), *resends(3)])).stall is None


def test_a_server_whose_packets_pass_nowhere_is_not_called_silent(tmp_path):
    """Its answers take another way: the client goes on as if there were some."""
    one_way = [p for p in (*opening(), *resends(5)) if p[1]]
    assert row_of(captured(tmp_path, [*background(), *one_way])).stall is None


def test_a_silence_before_it_is_told(tmp_path):
    sent = [(at + 4_000 * MS, up, p) for at, up, p in resends(4)]
    stall = row_of(captured(tmp_path, [*background(), *opening(), *sent])).stall

    assert stall.silent_before_ns == 4_550 * MS


def test_a_window_that_stays_closed_is_its_ends(tmp_path):
    shut = (S + 1_000 * MS, DOWN, packet(DOWN, 503, 906, 106, window=0))
    probes = [(S + (1_500 + 500 * k) * MS, UP, packet(UP, 10 + k, 105, 906)) for k in range(4)]
    still = [(at + 10 * MS, DOWN, packet(DOWN, 510 + k, 906, 106, window=0)) for k, (at, _, _) in enumerate(probes)]
    opened = (S + 3_700 * MS, DOWN, packet(DOWN, 520, 906, 106, window=300))
    row = row_of(captured(tmp_path, [*background(), *opening(), shut, *probes, *still, opened]))

    assert (row.zero_window.by, row.zero_window.longest_ns, row.zero_window.at_ns) == (
        "server", 2_700 * MS, S + 1_000 * MS,
    )  # fmt: skip
    assert row.stall is None
