"""What devices change is named where they stand, field by field, and nothing else is named."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.core.analyses.fields_kernels import FIELDS, compare_fields
from orchestrator.core.analyses.modifications import NAMES
from orchestrator.core.markings import class_name
from orchestrator.model.columns import PIECE_FOLLOWS, Packets
from tests.support.offline import analyse_files, segment
from tests.support.pathsim.cases import Case, Devices, Point, Traffic, make
from tests.support.pathsim.network import START_NS
from tests.support.pathsim.strategies import SHELLS, clocks, stacks
from tests.support.pathsim.wire import SYN, View, Wire, datagram
from tests.support.wire import Packet, write_pcap

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
QUIET = (0.0,) * 5
TRANSLATED = {"src", "sport", "dst", "dport"}


def named(row):
    """Return packets by field."""
    return {m.field: m.packets for m in row.modifications}


def seen_through(before, after, packets, folder):
    """Return the forward row between two points that look at *packets* through two views."""
    files = {}
    for number, (name, view) in enumerate((("near", before), ("far", after))):
        records = [(START_NS + k * 5_000_000 + number * 1_000_000, datagram(p, view)) for k, p in enumerate(packets)]
        files[name] = write_pcap(folder / f"{name}.pcap", records)
    return segment(analyse_files(folder, files), "near", "far")


def datagrams(count, tos=0xB8, **fields):
    return [
        Wire(uid=k, forward=True, protocol=17, client=("10.0.0.1", 20000), server=("10.9.0.2", 30000), ip_id=k + 1,
             payload=b"voice" + k.to_bytes(4, "big") * 4, tos=tos, **fields)
        for k in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("after", "expected", "hops"),
    [
        pytest.param(View(), {}, 0, id="nothing"),
        pytest.param(View(hops=3), {}, 3, id="routers-alone"),
        pytest.param(View(hops=1, tos=0), {"dscp": [(46, 0, 12, 12)]}, 1, id="remarked"),
        pytest.param(View(tos=0xBB), {"ecn": [("not-ect", "ce", 12, 12)]}, 0, id="marked-congested"),
        pytest.param(
            View(client="192.0.2.7", client_port_shift=5),
            {"src": [("10.0.0.1", "192.0.2.7", 12, 12)], "sport": [(20000, 20005, 12, 12)]}, 0, id="translated",
        ),
        pytest.param(View(server="10.77.0.1"), {"dst": [("10.9.0.2", "10.77.0.1", 12, 12)]}, 0, id="balanced"),
        pytest.param(View(new_ids=True), {"ip_id": []}, 0, id="numbered-anew"),
    ],
)  # fmt: skip
def test_a_change_is_named_with_its_values(tmp_path, after, expected, hops):
    """From what to what, in how many of how many packets."""
    row = seen_through(View(), after, datagrams(12), tmp_path)
    values = {m.field: [(c.before, c.after, c.packets, c.of) for c in m.changes] for m in row.modifications}
    assert values == expected
    assert row.hops == hops
    assert row.modified == (12 if expected else 0)
    assert all((m.packets, m.of, m.frame) == (12, 12, 1) for m in row.modifications)


def test_a_clamped_segment_size_is_named(tmp_path):
    """Of the packets that open connections, which alone carry it."""
    syns = [
        Wire(uid=k, forward=True, protocol=6, client=("10.0.0.1", 40000 + k), server=("10.9.0.1", 443), ip_id=k + 1,
             seq=1000 + k, flags=SYN, mss=1460, times=(k + 1, 0))
        for k in range(3)
    ]  # fmt: skip
    row = seen_through(View(), View(mss=1300), syns + datagrams(5), tmp_path)
    (change,) = row.modifications
    assert (change.field, change.packets, change.of) == ("mss", 3, 3)
    assert [(c.before, c.after, c.packets) for c in change.changes] == [(1460, 1300, 3)]
    assert row.modified == 3


def test_a_few_packets_that_fall_out_of_line_are_counted(tmp_path):
    """A TTL that falls by another number than usual, beside the usual one."""
    packets = datagrams(20)
    near = [(START_NS + k * 5_000_000, datagram(p, View())) for k, p in enumerate(packets)]
    far = [
        (START_NS + 10**6 + k * 5_000_000, datagram(p, View(hops=1 if k % 10 else 4))) for k, p in enumerate(packets)
    ]
    files = {"near": write_pcap(tmp_path / "near.pcap", near), "far": write_pcap(tmp_path / "far.pcap", far)}
    row = segment(analyse_files(tmp_path, files), "near", "far")
    (change,) = row.modifications
    assert (change.field, change.packets, change.of, row.hops, row.modified) == ("ttl", 2, 20, 1, 2)
    assert [(c.before, c.after, c.packets) for c in change.changes] == [(-1, -4, 2)]


@pytest.mark.parametrize(
    ("edit", "field", "values"),
    [
        pytest.param({"window": 1024}, "window", (512, 1024), id="window"),
        pytest.param({"tsval": None}, "timestamps", (1, 0), id="timestamps-taken-out"),
        pytest.param({"flags": 24}, "flags", (16, 24), id="pushed"),
    ],
)
def test_data_under_another_header_says_which_field(tmp_path, edit, field, values):
    """What makes it another packet, where one alone at the far point carries its bytes."""
    near, far = [], []
    for k in range(40):
        packet = Packet("10.0.0.1", "10.0.0.2", 4000, 80, ip_id=k + 1, seq=1000 + 100 * k, ack=7, tsval=k + 1,
                        payload=bytes([k + 1]) * 100)  # fmt: skip
        near.append((START_NS + k * 5_000_000, packet.bytes()))
        changed = replace(packet, ttl=63, **(edit if k % 4 == 1 else {}))
        far.append((START_NS + k * 5_000_000 + 10**6, changed.bytes()))
    files = {"near": write_pcap(tmp_path / "near.pcap", near), "far": write_pcap(tmp_path / "far.pcap", far)}
    result = analyse_files(tmp_path, files)
    row = segment(result, "near", "far")
    (change,) = row.modifications
    assert (change.field, change.packets, change.of) == (field, 10, 40)
    assert [(c.before, c.after, c.packets) for c in change.changes] == [(*values, 10)]
    assert (row.modified, result.vanished) == (10, ())


def test_result_and_report_name_them(tmp_path):
    """A telephone call that loses its class of service: a finding, a line in the report, and the numbers."""
    seen_through(View(), View(hops=1, tos=0), datagrams(12), tmp_path)
    document = json.loads((tmp_path / "run" / "result.json").read_text())
    report = (tmp_path / "run" / "report.txt").read_text()
    forward = next(s for s in document["segments"] if s["from"] == "near" and s["to"] == "far")
    (entry,) = forward["modifications"]
    assert entry["changes"] == [{"from": 46, "to": 0, "packets": 12, "of": 12}]
    assert (entry["field"], entry["frames"], forward["hops"]) == ("dscp", {"near": [1]}, 1)
    assert entry["flow"]["dport"] == 30000
    (finding,) = [f for f in document["findings"] if f["kind"] == "marking"]
    assert "12 of 12 packets from 46 (EF) to 0 (best effort)" in finding["statement"]
    assert "near → far: DSCP 46→0 in 12 of 12" in report
    assert "TTL" not in report


def test_congestion_marks_are_evidence(tmp_path):
    """What a queue marks instead of dropping it."""
    seen_through(View(), View(tos=3), datagrams(12, tos=2), tmp_path)
    document = json.loads((tmp_path / "run" / "result.json").read_text())
    (finding,) = [f for f in document["findings"] if f["kind"] == "congestion-marks"]
    assert "12 of 12 packets" in finding["statement"]


@pytest.mark.parametrize(
    ("value", "name"),
    [(0, "0 (best effort)"), (46, "46 (EF)"), (10, "10 (AF11)"), (38, "38 (AF43)"), (48, "48 (CS6)"), (44, "44"),
     (3, "3")],
)  # fmt: skip
def test_classes_have_names(value, name):
    """RFC 4594."""
    assert class_name(value) == name


def test_pieces_and_missing_options_are_not_compared():
    """What the reader made up, or one end did not keep, is no change."""
    table = Packets.allocate(2)
    table.family[:], table.protocol[:] = 4, 6
    table.ip_id[:], table.mss[:] = (5, 9), (1460, 0)
    table.piece[1] = PIECE_FOLLOWS
    differs, compared = np.zeros(1, np.uint16), np.zeros(FIELDS, np.int64)
    compare_fields(
        np.array([0], np.int32), np.array([1], np.int32), table.src_hi, table.src_lo, table.dst_hi, table.dst_lo,
        table.sport, table.dport, table.tos, table.ip_id, table.mss, table.seq, table.ack, table.tsval, table.tsecr,
        table.family, table.protocol, table.flags, table.marks, table.fragment, table.piece, differs, compared,
    )  # fmt: skip
    assert differs.tolist() == [0]
    assert (compared[NAMES.index("ip_id")], compared[NAMES.index("mss")]) == (0, 0)


def device_fields(devices, place, *, forward):
    """Return the fields that the devices just before *place* may change in packets of one direction."""
    found = set()
    if place in {devices.nat, devices.second_nat if devices.nat is not None else None}:
        found |= {"src", "sport"} if forward else {"dst", "dport"}
    if place == devices.balancer:
        found |= {"dst"} if forward else {"src"}
    if place in {devices.shifts_seq, devices.syn_proxy}:
        found |= {"seq", "ack"}
    if place == devices.syn_proxy:
        found |= {"tsecr"} if forward else {"tsval"}
    if place == devices.marks and forward:
        found |= {"dscp"}
    if place == devices.new_ids:
        found |= {"ip_id"}
    return found


def must_be_named(devices, place, *, forward):
    """Return the fields that those devices change in every packet."""
    sides = ("src", "dst") if forward else ("dst", "src")
    found = {sides[0]} if place == devices.nat else set()
    found |= {sides[1]} if place == devices.balancer else set()
    return found | ({"dscp"} if forward and place == devices.marks else set())


@st.composite
def edited(draw):
    """Draw a path of three points with devices and captures of all kinds, but no relay and no loss."""
    points = 3

    def somewhere():
        return draw(st.one_of(st.none(), st.none(), st.integers(1, points - 1)))

    devices = Devices(
        nat=somewhere(), second_nat=somewhere(), balancer=somewhere(), shifts_seq=somewhere(), syn_proxy=somewhere(),
        new_ids=somewhere(), marks=somewhere(), routers=draw(st.tuples(*[st.sampled_from((1, 1, 0, 2))] * 4)),
    )  # fmt: skip
    captures = tuple(
        Point(
            clock=draw(clocks()), shell=draw(st.sampled_from(SHELLS)),
            snaplen=draw(st.sampled_from((262_144, 200, 128))), reports=draw(st.booleans()),
            merges=draw(st.sampled_from(("", "", "tso", "gro", "both"))) if place in {0, points - 1} else "",
            mirrored=draw(st.sampled_from(("", "", "copy", "both-ways"))),
            mirror_loses=draw(st.sampled_from((0.0, 0.02))),
        )
        for place in range(points)
    )  # fmt: skip
    loss = draw(st.sampled_from(((0.0,) * 5, (0.01, 0.02, 0.02, 0.0, 0.0))))
    return Case(
        seed=draw(st.integers(0, 2**32)), points=points, loss=loss, jitter_us=draw(st.sampled_from((5, 100))),
        stack=draw(stacks()), devices=devices, captures=captures, traffic=Traffic(2, 4, 12_000, "fin", 40, 15, 10, 10),
    )  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(case=edited())
def test_every_edit_is_named_on_its_segment_and_nothing_else(case):
    """Translators, balancers, markers, shifted and new numbers between points of all kinds."""
    with tempfile.TemporaryDirectory() as scratch:
        made = make(case, Path(scratch))
        result = analyse_files(Path(scratch), made.files)
    for row in result.segments:
        if row.inferred or row.span:
            continue
        place, forward = max(int(row.near[1]), int(row.far[1])), row.direction == "forward"
        allowed = device_fields(case.devices, place, forward=forward)
        assert set(named(row)) <= allowed, (row.near, row.far, row.modifications)
        if row.delay is not None and row.delay.samples:
            assert must_be_named(case.devices, place, forward=forward) <= set(named(row))
        if row.hops is not None:
            assert row.hops in hops_between(case, place)
        assert row.modified <= row.delivered


def hops_between(case, place):
    """Return by how much the TTL may fall: a mirror before and behind a router shows one more or less."""
    hops = case.devices.routers[place - 1]
    return range(hops - 1, hops + 2) if any(p.mirrored == "both-ways" for p in case.captures) else range(hops, hops + 1)


@pytest.mark.parametrize(
    ("devices", "forward", "reverse"),
    [
        pytest.param(Devices(nat=2), {"src", "sport"}, {"dst", "dport"}, id="translator"),
        pytest.param(Devices(balancer=2), {"dst"}, {"src"}, id="balancer"),
        pytest.param(Devices(marks=2), {"dscp"}, set(), id="marker"),
        pytest.param(Devices(new_ids=2), {"ip_id"}, {"ip_id"}, id="new-identifications"),
        pytest.param(Devices(shifts_seq=2), {"seq", "ack"}, {"seq", "ack"}, id="shifted-numbers"),
        pytest.param(Devices(syn_proxy=2), {"ack", "tsecr"}, {"seq", "tsval"}, id="syn-proxy"),
    ],
)
def test_one_device_is_named_in_both_directions(tmp_path, devices, forward, reverse):
    """On its segment; on the other one, nothing."""
    case = Case(seed=7, points=3, loss=QUIET, devices=devices, traffic=Traffic(2, 5, 20_000, "fin", 40, 15, 0, 0))
    made = make(replace(case), tmp_path)
    result = analyse_files(tmp_path, made.files)
    rows = [segment(result, *ends) for ends in (("p0", "p1"), ("p1", "p2"), ("p2", "p1"), ("p1", "p0"))]
    assert [set(named(r)) for r in rows] == [set(), forward, reverse, set()]
