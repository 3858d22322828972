"""A merged file is cut by copying blocks; whatever its bytes are, the end is a cut or a sentence."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.errors import CaptureFileError, VanishpointError
from orchestrator.model.columns import Packets
from orchestrator.model.wanted import Moment, Wanted
from orchestrator.pcap.cut import select
from orchestrator.pcap.interfaces import Label, Source
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.recut import HEADER, read_merged, write_recut
from orchestrator.pcap.writer import Contents, Form, write_capture
from tests.support.mutations import damaged
from tests.support.read_pcapng import read
from tests.support.wire import Packet, write_pcap

MS = 10**6


def merge(folder, count, size, *, first_token=0, comments=None):
    """Write a merged capture of two points that saw *count* packets each."""
    paths, tables = [], []
    for name in ("a", "b"):
        frames = [
            Packet("10.0.0.1", "10.0.0.2", 1, 2, k, payload=bytes([k % 256]) * size).bytes() for k in range(count)
        ]
        paths.append(write_pcap(folder / f"{name}.pcap", [(k * MS, f) for k, f in enumerate(frames)]))
        tables.append(read_capture(paths[-1])[0])
    table = Packets.concatenate(tables)
    contents = Contents(
        packets=table, time_ns=table.time_ns, token=first_token + np.tile(np.arange(count), 2),
        points=[Label(name="a", comment="clock"), Label(name="b")], comments=comments or {},
        sources=[
            Source(path=p, point=k, link_types=(101,), start=k * count, stop=(k + 1) * count)
            for k, p in enumerate(paths)
        ],
    )  # fmt: skip
    write_capture(folder / "m.pcapng", contents, Form(about="about"))
    return folder / "m.pcapng"


@pytest.mark.parametrize("first_token", [0, 2**40])
def test_what_was_written_is_known_again(tmp_path, first_token):
    """Names, numbers and tags; numbers of any size, as in a cut of a long capture."""
    comments = {3: "#VANISHED so", 13: "not #VANISHED", 14: "first line\n#RST-ORIGIN second", 5: "#UNSEEN"}
    table = read_merged(merge(tmp_path, 10, 5, first_token=first_token, comments=comments)).table

    assert table.names == ["a", "b"]
    assert table.point.tolist() == [0, 1] * 10
    assert table.token.tolist() == [k for k in range(10) for _ in "ab"]
    assert (table.vanished.tolist(), table.resets.tolist()) == ([6], [9])


def test_a_cut_of_a_long_file_copies_blocks_as_they_are(tmp_path):
    """More than one chunk; then a cut of the cut, sparse, with large blocks between."""
    merged = merge(tmp_path, 4_000, 1_000)
    assert merged.stat().st_size > 8_000_000
    whole = read(merged)

    wanted = Wanted(start=Moment("after", 500 * MS), end=Moment("after", 3_899 * MS))
    contents = read_merged(merged)
    assert write_recut(tmp_path / "c.pcapng", contents, select(contents.table, wanted)) == 6_800
    cut = read(tmp_path / "c.pcapng")
    assert cut.packets == whole.packets[1_000:7_800]
    assert (cut.section, cut.interfaces, cut.statistics) == (whole.section, whole.interfaces, [])

    again = read_merged(tmp_path / "c.pcapng")
    rows = np.array([0, 1, 5_000, 6_799])
    write_recut(tmp_path / "d.pcapng", again, rows)
    assert read(tmp_path / "d.pcapng").packets == [cut.packets[k] for k in rows]


def test_another_file_is_refused(tmp_path):
    """A pcap, a pcapng of another program, and a text."""
    (tmp_path / "x.txt").write_text("no capture\n" * 50)
    plain = write_pcap(tmp_path / "x.pcap", [(k, b"frame") for k in range(3)])

    for path in (tmp_path / "x.txt", plain, tmp_path / "absent"):
        with pytest.raises(CaptureFileError):
            read_merged(path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a merged file, and of one made of another capture."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    return [merge(f, 8, 30 * (k + 1), comments={2: "#VANISHED here"}).read_bytes() for k, f in enumerate(folders)]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_ends_in_a_cut_or_in_a_sentence(sound, data):
    """No byte of it can make the cut hang, read beyond its buffers, or end without words."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "m.pcapng"
        path.write_bytes(data.draw(damaged(*sound)))
        try:
            contents = read_merged(path)
            rows = select(contents.table, Wanted(vanished=True, context_packets=1))
        except VanishpointError:
            return
        assert write_recut(folder / "c.pcapng", contents, rows) == len(rows)
        assert (folder / "c.pcapng").stat().st_size > len(rows) * HEADER
