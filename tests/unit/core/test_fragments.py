"""What arrives in pieces is not lost, and what a piece of died is, where that piece died."""

from __future__ import annotations

import random

import numpy as np
import pytest

from orchestrator.core.fragments import join_fragments
from orchestrator.model.columns import MARK_FRAGMENT, UDP, Packets
from tests.support.fragments import fragments4, fragments6, piece4, udp6
from tests.support.offline import analyse_files
from tests.support.wire import Packet, write_pcap

START_NS, STEP_NS = 1_790_000_000_000_000_000, 10_000_000
COUNT, CHOSEN = 40, 20
A, B = "10.0.0.1", "10.0.0.2"


def whole(number, *, size=2000, protocol=17):
    """Return the datagram *number* of the flow."""
    payload = random.Random(number).randbytes(size)
    return Packet(
        A, B, 5000, 6000, ip_id=100 + number, payload=payload, protocol=protocol, seq=1 + size * number
    ).bytes()


def in_pieces(*ends):
    """Return what cuts the transport part at *ends*."""
    return lambda datagram: fragments4(datagram, *ends)


def alone(datagram):
    return [datagram]


def capture(path, cut, *, delay_ns=0, changed=None, make=whole):
    """Write a capture of the flow, cut by *cut*; *changed* are the frames of the datagram CHOSEN."""
    records = []
    for number in range(COUNT):
        frames = cut(make(number)) if number != CHOSEN or changed is None else changed
        at = START_NS + STEP_NS * number + delay_ns
        records += [(at + 20_000 * k, frame) for k, frame in enumerate(frames)]
    return write_pcap(path, records)


def analysed(tmp_path, cuts, *, changed=None, make=whole):
    """Return the result of one point a cut, and (last seen, first missing, source port) of what vanished."""
    changed = changed or {}
    files = {
        f"p{k}": capture(tmp_path / f"{k}.pcap", cut, delay_ns=1_000_000 * k, changed=changed.get(k), make=make)
        for k, cut in enumerate(cuts)
    }
    result = analyse_files(tmp_path, files)
    return result, [(v.last_seen, v.first_missing, v.flow.sport) for v in result.vanished]


THREE = in_pieces(800, 1600)


@pytest.mark.parametrize(
    ("near", "far"),
    [
        pytest.param(alone, in_pieces(1480), id="two"),
        pytest.param(alone, THREE, id="three"),
        pytest.param(alone, lambda d: THREE(d)[::-1], id="backwards"),
        pytest.param(alone, lambda d: [THREE(d)[k] for k in (1, 2, 0)], id="out-of-order"),
        pytest.param(alone, lambda d: [f for f in THREE(d) for _ in range(2)], id="each-twice"),
        pytest.param(alone, lambda d: THREE(d) * 2, id="all-twice"),
        pytest.param(in_pieces(1480), in_pieces(480, 960, 1480), id="cut-further"),
        pytest.param(in_pieces(1480), alone, id="put-together-on-the-way"),
        pytest.param(alone, in_pieces(8), id="tiny-first"),
        pytest.param(alone, lambda d: [*fragments4(d, 1480), piece4(d[:20], d[20:], 800, 1600)], id="overlapping"),
    ],
)
def test_nothing_is_lost_that_arrives_in_pieces(tmp_path, near, far):
    """However it was cut, in whatever order, and however often its pieces come."""
    result, vanished = analysed(tmp_path, [near, far])

    row = next(s for s in result.segments if (s.near, s.far, s.direction) == ("p0", "p1", "forward"))
    assert vanished == []
    assert row.sent == row.delivered == COUNT


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_datagram_is_lost_where_a_piece_of_it_died(tmp_path, missing):
    """Whole, in three pieces, in six; one of the pieces does not come to the last point."""
    cut = in_pieces(400, 800, 1200, 1600, 1800)
    rest = [f for k, f in enumerate(cut(whole(CHOSEN))) if k != 2 * missing]
    _, vanished = analysed(tmp_path, [alone, THREE, cut], changed={2: rest})

    assert vanished == [("p1", "p2", 5000)]


def test_pieces_that_go_on_without_the_rest_accuse_nobody_further_on(tmp_path):
    """A piece dies on the first segment, another one on the second: the datagram was lost on the first."""
    frames = THREE(whole(CHOSEN))
    _, vanished = analysed(tmp_path, [alone, THREE, THREE], changed={1: frames[:2], 2: frames[:1]})

    assert vanished == [("p0", "p1", 5000)]


def test_a_piece_lost_before_the_first_point_accuses_nobody(tmp_path):
    """What was never seen whole cannot be seen to get lost."""
    frames = THREE(whole(CHOSEN))
    _, vanished = analysed(tmp_path, [THREE, in_pieces(400, 800, 1600)], changed={0: frames[1:], 1: frames[2:]})

    assert vanished == []


def test_pieces_that_all_points_see_alike_are_packets_of_their_own(tmp_path):
    """The piece is named, which has no ports."""
    _, vanished = analysed(tmp_path, [THREE, THREE], changed={1: THREE(whole(CHOSEN))[:2]})

    assert vanished == [("p0", "p1", 0)]


def test_a_point_that_shows_first_pieces_alone_accuses_nobody(tmp_path):
    """A capture filter on ports takes nothing else."""
    result, vanished = analysed(tmp_path, [alone, lambda d: THREE(d)[:1]])

    assert vanished == []
    assert sum(u.count for u in result.undecided) == COUNT


def test_the_pieces_of_two_datagrams_with_one_identification_accuse_neither(tmp_path):
    """Each lost another piece, seconds apart; which rest is whose nobody knows."""
    files = {}
    for k, cut in enumerate((alone, in_pieces(1480))):
        records = []
        for number in range(400):
            datagram = whole(number)
            if number == 300:
                datagram = datagram[:4] + whole(100)[4:6] + datagram[6:]
            frames = cut(datagram)
            lost = {(1, 100): 0, (1, 300): 1}.get((k, number))
            frames = frames if lost is None else frames[lost : lost + 1]
            records += [(START_NS + STEP_NS * number + 20_000 * n, frame) for n, frame in enumerate(frames)]
        files[f"p{k}"] = write_pcap(tmp_path / f"{k}.pcap", records)

    assert analyse_files(tmp_path, files).vanished == ()


def test_tcp_is_put_together_by_its_first_piece(tmp_path):
    """Its numbers stand there; a first piece too short for them leaves all undecided."""

    def make(number):
        return whole(number, size=1400, protocol=6)

    for first in (24, 8):
        _, vanished = analysed(tmp_path, [alone, in_pieces(first, 1024)], make=make)
        assert vanished == []


def test_lost_pieces_of_tcp(tmp_path):
    """A segment of which one piece died is lost."""

    def make(number):
        return whole(number, size=1400, protocol=6)

    rest = in_pieces(1024)(make(CHOSEN))[1:]
    _, vanished = analysed(tmp_path, [alone, in_pieces(1024)], make=make, changed={1: rest})
    assert vanished == [("p0", "p1", 5000)]


def make6(number):
    return udp6("2001:db8::1", "2001:db8::2", (5000, 6000), random.Random(number).randbytes(2000))


def cut6(datagram):
    return fragments6(datagram, 0x10000 + datagram[50] * 256 + datagram[51], 1232)


@pytest.mark.parametrize("lost", [False, True])
def test_ipv6_is_fragmented_by_its_sender(tmp_path, lost):
    """The host's own capture shows the whole, without an identification."""
    changed = {1: cut6(make6(CHOSEN))[1:]} if lost else None
    _, vanished = analysed(tmp_path, [alone, cut6], make=make6, changed=changed)

    assert vanished == ([("p0", "p1", 5000)] if lost else [])


def test_many_fragments_with_one_identification_take_no_longer():
    """Half a million of them, all alike but for their places, some overlapping: no datagram, and no hang."""
    count = 500_000
    packets = Packets.allocate(count)
    packets.time_ns[:] = np.arange(count) * 1000
    packets.family[:], packets.protocol[:], packets.marks[:] = 4, UDP, MARK_FRAGMENT
    packets.src_lo[:], packets.dst_lo[:], packets.ip_id[:] = 1, 2, 77
    packets.payload[:] = 64
    packets.fragment[:] = 0x2000 | (1 + np.arange(count) % 8000)

    joined = join_fragments(packets, np.zeros(count, np.uint8), 2)

    assert joined is not None
    assert not joined.packets.family.any()
    assert joined.unsure.tolist() == [UDP << 16 | 77]


@pytest.mark.parametrize("port", [4789, 53])
def test_what_a_tunnel_carries_in_pieces_is_not_lost(tmp_path, port):
    """One point sees the tunnel's packets whole and reads what they carry, the next one sees but pieces of them."""

    def make(number):
        inner = b"\x02" * 12 + b"\x08\0" + whole(number, size=1400, protocol=6)
        body = b"\x08\0\0\0\0\0\x2a\0" + inner
        return Packet("192.0.2.1", "192.0.2.2", 50_000, port, ip_id=number + 1, payload=body, protocol=17).bytes()

    _, vanished = analysed(tmp_path, [alone, in_pieces(1024)], make=make)

    assert vanished == []
