"""One point's files as one table."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from orchestrator.archive.layout import RunDirectory
from orchestrator.errors import CaptureFileError
from orchestrator.intake import open_offline
from orchestrator.pcap.index import index_points
from orchestrator.pcap.reader import read_capture
from orchestrator.pipeline import analyse
from tests.support.shells import ethernet
from tests.support.wire import Packet, write_pcap

MANY = 12_000
"""Datagrams of 120 bytes: more than one chunk of a file."""


def test_a_table_that_had_to_grow_holds_every_packet_once(tmp_path):
    """Rows, times and offsets run on across chunks."""
    path = tmp_path / "a.pcap"
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101)]
    for k in range(MANY):
        frame = Packet("10.0.0.1", "10.0.0.2", 4000, 53, k & 0xFFFF, 64, f"{k:08d}".encode() * 15, 17).bytes()
        out.append(struct.pack("<IIII", k, 0, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(out))

    packets, _ = read_capture(path)

    assert np.array_equal(packets.time_ns, np.arange(MANY) * 1_000_000_000)
    assert np.array_equal(packets.position, 24 + 16 + np.arange(MANY) * (16 + 148))
    assert all(column.flags.c_contiguous for column in (packets.time_ns, packets.digest, packets.marks))


def ring(folder, names_and_times, size=3):
    """Write files of *size* packets a second apart; a time of None makes an empty file."""
    files = []
    for name, start in names_and_times:
        records = [] if start is None else [((start + k) * 10**9, frame(start + k)) for k in range(size)]
        files.append(write_pcap(folder / name, records))
    return files


def frame(number):
    return Packet("10.0.0.1", "10.0.0.2", 1, 2, number & 0xFFFF, payload=b"x", seq=number).bytes()


@pytest.mark.parametrize(
    ("names_and_times", "order"),
    [
        pytest.param([("a0", 30), ("a1", 10), ("a2", 20)], ["a1", "a2", "a0"], id="the-ring-began-anew"),
        pytest.param([("a0", 12), ("a1", 10)], ["a1", "a0"], id="overlapping"),
        pytest.param([("a0", None), ("a1", 10), ("a2", None)], ["a1", "a0", "a2"], id="without-packets"),
        pytest.param([("a9", 20), ("a10", 10)], ["a10", "a9"], id="names-do-not-sort"),
    ],
)
def test_files_of_a_point_are_one_capture_in_order_of_time(tmp_path, names_and_times, order):
    """The names of a ring say nothing: its first file is overwritten last."""
    (index,) = index_points([ring(tmp_path, names_and_times)])
    assert [f.path.name for f in index.files] == order
    starts = sorted(start for _, start in names_and_times if start is not None)
    assert index.packets.seq.tolist() == [start + k for start in starts for k in range(3)]
    assert index.counts == tuple(3 if dict(names_and_times)[name] is not None else 0 for name in order)
    assert index.defects == ()
    assert index.unreadable is None


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    """An empty file, another format, a damaged and a missing one among two good ones: each named, nothing lost."""
    files = ring(tmp_path, [("a0", 10), ("a1", 20), ("a2", 30)])
    files[1].write_bytes(files[1].read_bytes()[:-1])
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c").write_bytes(b"snoop\0\0\0")
    gone = [tmp_path / "b", tmp_path / "c", tmp_path / "d"]

    (index,) = index_points([[*gone, *files]])

    assert index.packets.seq.tolist() == [10, 11, 12, 20, 21, 30, 31, 32]
    assert sorted(index.defects) == [
        "a1: the file ends inside record 3",
        "b: is empty",
        "c: is a Solaris snoop file, which is not read here",
        "d: No such file or directory",
    ]
    assert index.unreadable is None


def test_a_point_without_a_readable_file_says_why_and_the_others_go_on(tmp_path):
    """Only where no point at all can be read is it an error."""
    good = ring(tmp_path, [("a", 10)])
    (tmp_path / "b").write_bytes(b"snoop\0\0\0")

    first, second = index_points([good, [tmp_path / "b"]])

    assert first.unreadable is None
    assert "Solaris snoop" in str(second.unreadable)
    assert len(second.packets) == 0
    with pytest.raises(CaptureFileError, match="Solaris snoop"):
        index_points([[tmp_path / "b"]])


def test_what_is_not_decoded_is_told_in_the_answer(tmp_path):
    """Summed up over the files of a point, the most first, in result.json and in the report."""
    for name, kinds in (("a", [0x0806, 0x88CC, 0x88CC]), ("b", [0x0806, 0x0806, 0x0800])):
        frames = [(k, ethernet(kind, frame(k))) for k, kind in enumerate(kinds)]
        write_pcap(tmp_path / name, frames, link_type=1)
    run = RunDirectory(tmp_path / "run")
    open_offline(run, {"near": [tmp_path / "a", tmp_path / "b"]}, run_id="20260101-000000-test")

    (point,) = analyse(run).points

    assert point.not_decoded == (("ARP", 3), ("LLDP", 2))
    assert json.loads(run.result.read_text())["points"][0]["not_decoded"] == {"ARP": 3, "LLDP": 2}
    assert "frames of near without IP that can be read: ARP 3, LLDP 2" in run.report_text.read_text()


SECOND = 10**9


@pytest.mark.parametrize(
    ("damage", "gaps"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"a1": "cut"}, [(21, 30)], id="until-the-next-file"),
        pytest.param({"a2": "cut"}, [(31, None)], id="to-the-end"),
        pytest.param({"a0": "cut", "a2": "cut"}, [(11, 20), (31, None)], id="two"),
        pytest.param({"a1": "gone"}, [(None, 10), (12, 30), (32, None)], id="nobody-knows-when-that-file-was"),
        pytest.param({"a1": "empty"}, [(None, 10), (12, 30), (32, None)], id="damaged-before-its-first-packet"),
    ],
)
def test_where_a_file_is_damaged_the_point_is_blind(tmp_path, damage, gaps):
    """From the last packet before the damage to the first of the next file, on the point's own clock."""
    for path in ring(tmp_path, [("a0", 10), ("a1", 20), ("a2", 30)]):
        content = path.read_bytes()
        kept = {"cut": content[:-1], "gone": b"x", "empty": content[:30]}
        path.write_bytes(kept.get(damage.get(path.name, ""), content))

    (index,) = index_points([sorted(tmp_path.iterdir())])

    assert [tuple(None if abs(t) > 10**15 else t // SECOND for t in gap) for gap in index.gaps_ns] == gaps


@pytest.mark.parametrize(("damage", "vanished", "undecided"), [("none", 0, 0), ("cut", 0, 51), ("gone", 0, 100)])
def test_what_a_damaged_file_may_have_held_did_not_vanish(tmp_path, damage, vanished, undecided):
    """Every packet arrived; the far point's second file of three is cut in half, or unreadable."""
    sent = [(k * SECOND // 100, frame(k)) for k in range(300)]
    near = write_pcap(tmp_path / "near", sent)
    far = [
        write_pcap(tmp_path / f"far{k}", [(t + 10**6, f) for t, f in sent[100 * k : 100 * k + 100]]) for k in range(3)
    ]
    content = far[1].read_bytes()
    far[1].write_bytes({"none": content, "cut": content[: len(content) // 2], "gone": b"x"}[damage])
    run = RunDirectory(tmp_path / "run")
    open_offline(run, {"near": [near], "far": far}, run_id="20260101-000000-test")

    result = analyse(run)

    assert len(result.vanished) == vanished
    assert [(u.reason, u.count) for u in result.undecided] == ([("lossy-capture", undecided)] if undecided else [])
