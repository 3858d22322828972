"""Captures of other people at several points, with known truth."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from orchestrator.pcap.reader import read_capture
from tests.support.offline import analyse_files, segment

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "multipoint"
NS3 = DATA / "ns3-multicast-tcp"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.exists(), reason=f"REFERENCE CAPTURES ARE ABSENT: {DATA} is not there"),
]


def ip_ids(result, path, first_missing):
    """IP identifications of what vanished, read from the capture of the point that saw it last."""
    packets, _ = read_capture(path)
    return sorted(int(packets.ip_id[v.frame - 1]) for v in result.vanished if v.first_missing == first_missing)


def test_mail_client_clock_is_17_seconds_ahead_and_nothing_is_lost(tmp_path):
    """23 of 23 packets match whatever their padding; the client's clock is 17.304 s ahead."""
    folder = DATA / "chrissanders"
    points = {"client": folder / "mail_sender_client_1.pcapng", "server": folder / "mail_sender_server_2.pcapng"}

    result = analyse_files(tmp_path, points)

    clock = result.points[1].clock
    assert abs(clock.offset_ns + 17_304_000_000) < 1_000_000
    assert clock.uncertainty_ns < 1_000_000
    assert segment(result, "client", "server").delivered + segment(result, "server", "client").delivered == 23
    assert result.vanished == ()


def test_mail_servers_share_one_flow(tmp_path):
    """15 of 15 packets of the shared flow match; what is not on the shared path accuses nobody."""
    folder = DATA / "chrissanders"
    points = {"second": folder / "mail_sender_server_2.pcapng", "third": folder / "mail_receiver_server_3.pcapng"}

    result = analyse_files(tmp_path, points)

    assert segment(result, "second", "third").delivered + segment(result, "third", "second").delivered == 15
    assert abs(result.points[1].clock.offset_ns - 5_390_000) < 100_000
    assert result.vanished == ()


def test_two_pings_are_enough_for_a_clock(tmp_path):
    """One packet each way bounds an offset of -48.85 s."""
    folder = DATA / "chrissanders"

    result = analyse_files(tmp_path, {"source": folder / "ip_ttl_source.pcapng", "dest": folder / "ip_ttl_dest.pcapng"})

    assert abs(result.points[1].clock.offset_ns + 48_851_300_000) < 1_000_000
    assert result.vanished == ()


def test_a_server_hours_away_in_time(tmp_path):
    """An offset of 99 minutes is found; the SYN that nobody else saw is undecided."""
    folder = DATA / "chrissanders"
    points = {"client": folder / "stranded_clientside.pcapng", "dns": folder / "stranded_branchdns.pcapng"}

    result = analyse_files(tmp_path, points)

    assert abs(result.points[1].clock.offset_ns - 5_958_961_000_000) < 1_000_000
    assert result.vanished == ()


def test_all_packets_match_across_address_translation(tmp_path):
    """34 of 34 packets at four points, two of them behind a translator."""
    names = ("0-0", "1-0", "1-1", "2-0")

    result = analyse_files(tmp_path, {n: NS3 / f"5339ea1/ipv4-nat-{n}.pcap" for n in names})

    for near, far in itertools.pairwise(names):
        assert segment(result, near, far).delivered + segment(result, far, near).delivered == 34
    assert result.vanished == ()
    assert ("0-0", "1-1", "192.168.1.1", "203.82.48.100") in result.translations


@pytest.mark.parametrize(
    ("names", "birth"), [(("csma-2-0", "csma-1-1", "1-0", "0-0"), "0-0"), (("3-0", "1-2", "1-1", "2-0"), "2-0")]
)
def test_resets_are_first_seen_at_the_servers_end(tmp_path, names, birth):
    """Through a translator that answers the handshake by itself, the reset is born behind the far end."""
    result = analyse_files(tmp_path, {n: NS3 / f"head/ipv4-nat-{n}.pcap" for n in names})

    assert [r.first_seen for r in result.resets] == [birth]
    assert result.resets[0].born_before == birth
    assert result.resets[0].born_after is None
    assert result.resets[0].seen == tuple(reversed(names))
    assert result.vanished == ()


def test_five_datagrams_vanish_on_a_wireless_chain(tmp_path):
    """One-way traffic leaves the clock unbounded and is decided all the same: ids 5 to 9 vanish."""
    points = {f"n{n}": NS3 / f"aodv/udp-chain-test-{n}-0.pcap" for n in (0, 9)}

    result = analyse_files(tmp_path, points)

    assert ip_ids(result, points["n0"], "n9") == [5, 6, 7, 8, 9]
    assert {v.verdict for v in result.vanished} == {"probable"}


def test_an_acknowledgement_at_the_edge_is_undecided(tmp_path):
    """Ids 12, 13 and 15 vanish; 16 was sent after the far capture's last packet."""
    points = {f"n{n}": NS3 / f"aodv/tcp-chain-test-{n}-0.pcap" for n in (0, 9)}

    result = analyse_files(tmp_path, points)

    assert ip_ids(result, points["n9"], "n0") == [12, 13, 15]
    assert [(u.reason, u.count) for u in result.undecided if u.far == "n0"] == [("window-edge", 1)]
    assert segment(result, "n0", "n9").delivered == 25


@pytest.mark.parametrize(("interface", "count"), [("eth0", 3971), ("eth1", 3863)])
def test_queues_and_asymmetry_are_no_loss(tmp_path, interface, count):
    """Multipath TCP with 10 to 149 ms of delay and another way back: every packet arrives."""
    folder = DATA / "mptcp-mininet/exp001_TEST"

    result = analyse_files(tmp_path, {n: folder / f"{n}-{interface}.pcap" for n in ("h1", "sv_mp1")})

    assert segment(result, "h1", "sv_mp1").delivered + segment(result, "sv_mp1", "h1").delivered == count
    assert result.vanished == ()
    assert result.headline.network == "no"


@pytest.mark.parametrize(("run", "open_ends"), [("4c3b6a1", 0), ("9f5ef93", 2)])
def test_what_is_in_flight_at_the_end_is_not_lost(tmp_path, run, open_ends):
    """PPP frames with times near 1970; a packet in flight when the capture ends is undecided."""
    folder = DATA / "quic-sim" / run

    result = analyse_files(tmp_path, {n: folder / f"trace_node_{n}.pcap" for n in ("left", "right")})

    assert result.vanished == ()
    assert sum(u.count for u in result.undecided) == open_ends
    assert {u.reason for u in result.undecided} <= {"window-edge"}


def test_a_wrong_order_of_points_is_an_error_that_names_the_right_one(tmp_path):
    """TTL and round trips tell the order; two swapped points are refused."""
    from orchestrator.errors import InputError  # noqa: PLC0415

    names = ("0-0", "2-0", "1-1", "1-0")

    with pytest.raises(InputError, match="0-0, 1-0, 1-1, 2-0"):
        analyse_files(tmp_path, {n: NS3 / f"5339ea1/ipv4-nat-{n}.pcap" for n in names})
