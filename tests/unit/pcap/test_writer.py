"""A written capture holds every packet once, in order of corrected time, with what was noted about it."""

from __future__ import annotations

import os
import random
import resource
import struct
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.errors import EvidenceError, InputError
from orchestrator.model.columns import Packets
from orchestrator.pcap.interfaces import Label, Source
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.writer import Contents, Form, write_capture
from tests.support.pcapng import Blocks
from tests.support.read_pcapng import read
from tests.support.wire import Packet, write_pcap

S = 10**9
ALL = Form(about="about")


def contents_of(points: dict[str, list[Path]], corrections: dict[str, int] | None = None, **more) -> Contents:
    """Index *points* and take their clocks to be ahead by *corrections*."""
    tables, sources, corrected, start = [], [], [], 0
    for number, (name, paths) in enumerate(points.items()):
        for path in paths:
            table, file = read_capture(path)
            stop = start + len(table)
            sources.append(Source(path=path, point=number, link_types=tuple(file.link_types), start=start, stop=stop))
            tables.append(table)
            corrected.append(table.time_ns - (corrections or {}).get(name, 0))
            start = stop
    labels = more.pop("labels", [Label(name=name) for name in points])
    more.setdefault("token", np.arange(start, dtype=np.int64))
    return Contents(
        packets=Packets.concatenate(tables), time_ns=np.concatenate(corrected), points=labels, sources=sources, **more
    )


def frame(number: int, size: int = 1) -> bytes:
    return Packet("10.0.0.1", "10.0.0.2", 1, 2, number, 64, bytes([number % 256] * size)).bytes()


@pytest.fixture
def two(tmp_path):
    """Fifty packets at each of two points, the second's clock 1000 s ahead."""
    points = {}
    for number, name in enumerate(("near", "far")):
        records = [(10**18 + number * 1000 * S + k * 1_000 + number, frame(k, k + 1)) for k in range(50)]
        points[name] = [write_pcap(tmp_path / f"{name}.pcap", records)]
    return points, {"far": 1000 * S}


def test_packets_of_both_points_take_turns(two, tmp_path):
    """Two interfaces, one clock, the number of its token on every packet."""
    points, ahead = two
    contents = contents_of(points, ahead, token=np.tile(np.arange(50), 2))
    assert write_capture(tmp_path / "m.pcapng", contents, ALL) == 100

    written = read(tmp_path / "m.pcapng")

    assert written.names == ["near", "far"]
    assert [p.time_ns for p in written.packets] == sorted(10**18 + k * 1_000 + n for k in range(50) for n in (0, 1))
    assert [p.interface for p in written.packets] == [0, 1] * 50
    assert [p.frame for p in written.packets] == [frame(k, k + 1) for k in range(50) for _ in points]
    assert [p.number(5) for p in written.packets] == [k for k in range(50) for _ in points]


def test_packets_of_no_token_have_no_number(two, tmp_path):
    """And then no options at all."""
    points, ahead = two
    write_capture(tmp_path / "m.pcapng", contents_of(points, ahead, token=np.full(100, -1)), ALL)

    assert all(p.options == {} for p in read(tmp_path / "m.pcapng").packets)


def test_equal_times_stay_in_path_order_and_then_in_file_order(tmp_path):
    """The same captures give the same file."""
    records = [(5 * S, frame(k)) for k in range(3)]
    points = {name: [write_pcap(tmp_path / f"{name}.pcap", records)] for name in ("b", "a")}
    write_capture(tmp_path / "m.pcapng", contents_of(points), ALL)

    written = read(tmp_path / "m.pcapng")

    assert [(p.interface, p.frame) for p in written.packets] == [(i, frame(k)) for i in (0, 1) for k in range(3)]


def test_comments_stand_at_their_packets(two, tmp_path):
    """Rows are those of the table, not of the file."""
    points, ahead = two
    comments = {3: "the fourth of near", 53: "the fourth of far, «quoted»\nand a second line"}
    write_capture(tmp_path / "m.pcapng", contents_of(points, ahead, comments=comments), ALL)

    written = read(tmp_path / "m.pcapng")

    assert {k: p.text(1) for k, p in enumerate(written.packets) if 1 in p.options} == {6: comments[3], 7: comments[53]}


HOSTILE = "Zürich\0\x1b[31m\u202egnp.exe\ud800\"'</script>" + "🦈" * 30_000


def test_no_text_can_break_the_file_or_steer_a_display(two, tmp_path):
    """Control characters, reversed text, half characters, far too much: written out or cut between two characters."""
    points, ahead = two
    label = Label(name=HOSTILE, description=HOSTILE, comment=HOSTILE, filter=HOSTILE)
    contents = contents_of(points, ahead, labels=[label, Label(name="far")], comments=dict.fromkeys(range(9), HOSTILE))
    write_capture(tmp_path / "m.pcapng", contents, Form(about=HOSTILE))

    written = read(tmp_path / "m.pcapng")
    texts = [
        written.section.text(1),
        written.interfaces[0].text(2),
        written.interfaces[0].text(3),
        written.packets[0].text(1),
    ]

    assert len(written.packets) == 100
    for text in texts:
        assert text.startswith("Zürich\\x00\\x1b[31m\\u202egnp.exe\\ud800\"'</script>🦈")
        assert text.isprintable()
        assert 59_990 < len(text.encode()) <= 60_000


def test_what_is_known_of_a_point_stands_at_its_interface(two, tmp_path):
    """A counter that nobody reported is absent, never zero."""
    points, ahead = two
    near = Label(
        name="near",
        description="desc",
        comment="clock",
        filter="tcp port 80",
        accepted=60,
        kernel_drops=10,
        interface_drops=0,
    )
    write_capture(tmp_path / "m.pcapng", contents_of(points, ahead, labels=[near, Label(name="far")]), ALL)

    written = read(tmp_path / "m.pcapng")
    first, second = written.interfaces

    assert (first.text(2), first.text(3), first.text(1), first.options[11]) == (
        "near",
        "desc",
        "clock",
        [b"\0tcp port 80"],
    )
    assert first.options[9] == second.options[9] == [b"\x09"]
    assert 14 not in first.options  # if_tsoffset: programs disagree on it
    assert set(second.options) == {2, 9}
    assert [s.interface for s in written.statistics] == [0, 1]
    assert [[s.number(code) for code in (8, 6, 7, 5)] for s in written.statistics] == [
        [50, 60, 10, 0],
        [50, None, None, None],
    ]
    assert written.statistics[0].time_ns == max(p.time_ns for p in written.packets if p.interface == 0)


def sll(kind: int, packet: bytes) -> bytes:
    return struct.pack(">HHH8sH", kind, 1, 6, bytes(8), 0x0800) + packet


def test_a_point_with_two_link_types_has_two_interfaces(tmp_path):
    """Named so; counters of the point stand at the first alone; a cooked header tells the direction."""
    raw = write_pcap(tmp_path / "raw.pcap", [(S, frame(1)), (3 * S, frame(3))])
    cooked = write_pcap(tmp_path / "sll.pcap", [(2 * S + k, sll(k, frame(k))) for k in range(5)], link_type=113)
    contents = contents_of({"mixed": [raw, cooked], "plain": [write_pcap(tmp_path / "p.pcap", [(S, frame(9))])]})
    contents.points[0] = Label(name="mixed", kernel_drops=4)
    write_capture(tmp_path / "m.pcapng", contents, ALL)

    written = read(tmp_path / "m.pcapng")

    assert written.names == ["mixed (RAW)", "mixed (LINUX_SLL)", "plain"]
    assert [i.link_type for i in written.interfaces] == [101, 113, 101]
    assert [s.number(7) for s in written.statistics] == [4, None, None]
    assert [s.number(8) for s in written.statistics] == [2, 5, 1]
    assert [p.number(2) for p in written.packets if p.interface == 1] == [0b00101, 0b01101, 0b01001, 0b10001, 2]
    assert all(2 not in p.options for p in written.packets if p.interface != 1)


def test_times_before_1970_are_moved_and_keep_their_distances(tmp_path):
    """A clock that was reset, seen from one that was not."""
    path = write_pcap(tmp_path / "a.pcap", [(k * S, frame(k)) for k in range(3)])
    write_capture(tmp_path / "m.pcapng", contents_of({"a": [path]}, {"a": 100 * S}), ALL)

    assert [p.time_ns for p in read(tmp_path / "m.pcapng").packets] == [0, S, 2 * S]


def test_one_point_alone_keeps_its_order_and_gets_nothing_but_its_time(tmp_path):
    """Frame numbers are those of the report, also where the clock stepped back."""
    records = [(S, frame(0)), (9 * S, frame(1)), (2 * S, frame(2))]
    points = {"a": [write_pcap(tmp_path / "a.pcap", [(S, frame(7))])], "b": [write_pcap(tmp_path / "b.pcap", records)]}
    contents = contents_of(points, {"b": -5}, comments={1: "noted"})
    assert write_capture(tmp_path / "b.pcapng", contents, Form(about="b", point=1)) == 3

    written = read(tmp_path / "b.pcapng")

    assert written.names == ["b"]
    assert [(p.time_ns, p.frame, p.options) for p in written.packets] == [(t + 5, f, {}) for t, f in records]


def test_chosen_rows_are_written_in_order_of_time(two, tmp_path):
    """A cut: the same packets as in the whole, fewer."""
    points, ahead = two
    rows = np.array([1, 40, 49, 50, 91, 99])
    assert write_capture(tmp_path / "c.pcapng", contents_of(points, ahead), Form(about="cut", rows=rows)) == 6

    assert [p.number(5) for p in read(tmp_path / "c.pcapng").packets] == [50, 1, 40, 91, 49, 99]


def test_a_clock_that_steps_back_far_costs_no_packet(tmp_path):
    """Two halves of a file that belong into each other, megabytes apart."""
    size, count = 1_400, 6_000
    frames = [random.Random(k).randbytes(size) for k in range(40)]
    records = [(S + (k % (count // 2)) * 1_000 + (k >= count // 2), frames[k % 40]) for k in range(count)]
    contents = contents_of({"a": [write_pcap(tmp_path / "a.pcap", records)]})
    write_capture(tmp_path / "m.pcapng", contents, ALL)

    assert [(p.time_ns, p.frame) for p in read(tmp_path / "m.pcapng").packets] == sorted(records, key=lambda r: r[0])


def test_a_frame_larger_than_every_buffer_is_written(tmp_path):
    """Big TCP and jumbo frames of captures that nobody made on a wire."""
    large = random.Random(1).randbytes(9_000_001)
    records = [(S, frame(0)), (2 * S, large), (3 * S, large[:5_000_002]), (4 * S, frame(4))]
    path = write_pcap(tmp_path / "a.pcap", records, snaplen=10_000_000)
    write_capture(tmp_path / "m.pcapng", contents_of({"a": [path]}), ALL)

    assert [p.frame for p in read(tmp_path / "m.pcapng").packets] == [f for _, f in records]


def test_a_ring_of_many_files_needs_few_descriptors(tmp_path):
    """A file is open while its packets are due."""
    paths = [
        write_pcap(tmp_path / f"{k}.pcap", [(S + k * 10**6 + j, frame(j, 900)) for j in range(600)]) for k in range(80)
    ]
    contents = contents_of({"a": paths})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        assert write_capture(tmp_path / "m.pcapng", contents, ALL) == 48_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_capture_is_never_written_over(two, tmp_path):
    """By whatever name it is given."""
    points, ahead = two
    link = tmp_path / "link.pcap"
    link.symlink_to(points["near"][0])
    before = points["near"][0].read_bytes()

    with pytest.raises(InputError, match="is one of the captures"):
        write_capture(link, contents_of(points, ahead), ALL)

    assert points["near"][0].read_bytes() == before


def test_a_capture_that_shrinks_meanwhile_ends_it_and_leaves_nothing(two, tmp_path):
    """Zeros in the place of packets would be a forgery."""
    points, ahead = two
    contents = contents_of(points, ahead)
    points["far"][0].write_bytes(points["far"][0].read_bytes()[:-1])

    with pytest.raises(EvidenceError, match=r"far\.pcap: became shorter"):
        write_capture(tmp_path / "m.pcapng", contents, ALL)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["far.pcap", "near.pcap"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    """Found by the thread that writes, told by the one that was asked."""
    records = [(S + k, bytes(1_000_000)) for k in range(60)]
    contents = contents_of({"a": [write_pcap(tmp_path / "a.pcap", records, snaplen=1_000_000)]})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, hard))
    try:
        with pytest.raises(InputError, match=r"m\.pcapng: File too large") as caught:
            write_capture(tmp_path / "m.pcapng", contents, ALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "-o FILE" in caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["a.pcap"]


def test_a_directory_that_is_not_there_is_said(two, tmp_path):
    """Before anything is read."""
    points, ahead = two
    with pytest.raises(InputError, match=r"nowhere: No such file"):
        write_capture(tmp_path / "nowhere" / "m.pcapng", contents_of(points, ahead), ALL)


def test_a_device_or_a_pipe_is_written_to_and_never_replaced(two, tmp_path):
    """/dev/null is a target that people name; a rename would put a file in its place."""
    points, ahead = two
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_capture(pipe, contents_of(points, ahead), ALL)
    reader.join(timeout=10)
    (tmp_path / "m.pcapng").symlink_to(os.devnull)
    write_capture(tmp_path / "m.pcapng", contents_of(points, ahead), ALL)
    write_capture(tmp_path / "again.pcapng", contents_of(points, ahead), ALL)

    assert pipe.is_fifo()
    assert got == [(tmp_path / "again.pcapng").read_bytes()]
    assert Path(os.devnull).is_char_device()
    assert (tmp_path / "m.pcapng").is_char_device()


def test_a_link_that_somebody_laid_is_not_followed(two, tmp_path):
    """In a directory that others can write to, the name of the half file can be guessed."""
    points, ahead = two
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "m.pcapng.part").symlink_to(victim)

    with pytest.raises(InputError):
        write_capture(tmp_path / "m.pcapng", contents_of(points, ahead), ALL)
    assert victim.read_text() == "precious"


def test_progress_ends_at_all_packets(two, tmp_path):
    """What a bar is drawn from."""
    points, ahead = two
    told = []
    write_capture(tmp_path / "m.pcapng", contents_of(points, ahead), ALL, lambda *state: told.append(state))

    assert told == [(100, 100)]


def write_pcapng(path, records, *, link_type, snaplen, big):
    blocks = Blocks(">" if big else "<")
    packets = [blocks.packet(f[:snaplen], t, wire=len(f)) for t, f in records]
    path.write_bytes(b"".join([blocks.section(), blocks.interface(link_type, snaplen, 9), *packets]))
    return path


a_record = st.tuples(st.integers(0, 2**40), st.binary(max_size=80))
a_file = st.fixed_dictionaries(
    {
        "records": st.lists(a_record, max_size=25),
        "write": st.sampled_from([write_pcap, write_pcapng]),
        "big": st.booleans(),
        "link_type": st.sampled_from([1, 101, 113, 147]),
        "snaplen": st.integers(1, 60),
    }
)


@settings(max_examples=150, deadline=None)
@given(points=st.lists(st.lists(a_file, min_size=1, max_size=3), min_size=1, max_size=4), chosen=st.randoms())
def test_whatever_is_captured_is_written_once(points, chosen):
    """Files of either byte order, any link type, snaplen and times in any order: bytes, point and time are kept."""
    with TemporaryDirectory() as folder:
        paths, truth = {}, []
        for number, files in enumerate(points):
            name = f"p{number}"
            paths[name] = []
            for k, how in enumerate(files):
                records, write, more = (
                    how["records"],
                    how["write"],
                    {x: how[x] for x in ("big", "link_type", "snaplen")},
                )
                paths[name].append(write(Path(folder) / f"{name}-{k}", records, **more))
                truth += [(name, t, f[: more["snaplen"]], len(f)) for t, f in records]
        contents = contents_of(paths)
        target = Path(folder) / "m.pcapng"
        write_capture(target, contents, ALL)
        written = read(target)
        rows = np.sort(np.array(chosen.sample(range(len(truth)), len(truth) // 2), np.int64))
        write_capture(target, contents, Form(about="", rows=rows))
        cut = read(target)

        times = [p.time_ns for p in written.packets]
        assert times == sorted(times)
        assert sorted((n.split(" ")[0], *rest) for n, *rest in written.held()) == sorted(truth)
        assert [p.number(5) for p in written.packets if p.number(5) in rows] == [p.number(5) for p in cut.packets]
        assert [p.frame for p in written.packets if p.number(5) in rows] == [p.frame for p in cut.packets]
