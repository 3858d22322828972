"""Invented captures say of themselves what is true, and TCP in them behaves: read by what shares no code with them."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bench.generate import generate, provide
from bench.scenario import Scenario
from bench.truth import DATA, Outcome

SOME = Scenario(packets=1500, loss=0.03, reordered=0.02)
ACK = 16


@dataclass(frozen=True)
class Frame:
    """A packet as a reader of the file sees it."""

    time_ns: int
    kept: bytes
    length: int

    @property
    def v6(self):
        return self.kept[12:14] == b"\x86\xdd"

    @property
    def body(self):
        """Everything that no router changes: addresses, the IP identification, transport."""
        return self.kept[22:] if self.v6 else self.kept[18:20] + self.kept[26:]

    @property
    def transport(self):
        return 54 if self.v6 else 34

    @property
    def is_tcp(self):
        return self.kept[20 if self.v6 else 23] == 6

    @property
    def flow(self):
        """(client's address and port, whether this goes to the server)."""
        width, first = (16, 22) if self.v6 else (4, 26)
        ends = [self.kept[first + k * width : first + (k + 1) * width] for k in (0, 1)]
        ports = struct.unpack_from(">HH", self.kept, self.transport)
        up = ports[0] >= 20_000 and ports[1] < 60_000 and ports[1] in {443, 50_004}
        return ((ends[0], ports[0]) if up else (ends[1], ports[1])), up

    @property
    def tcp(self):
        """Sequence number, acknowledgement, flags, bytes of payload."""
        seq, ack, offset, flags = struct.unpack_from(">IIBB", self.kept, self.transport + 4)
        return seq, ack, flags, self.length - self.transport - (offset >> 4) * 4


def read(path):
    data = path.read_bytes()
    at, frames = 24, []
    while at < len(data):
        seconds, part, kept, length = struct.unpack_from("<IIII", data, at)
        frames.append(Frame(seconds * 10**9 + part, data[at + 16 : at + 16 + kept], length))
        at += 16 + kept
    return frames


shapes = st.builds(
    replace,
    st.just(SOME),
    seed=st.integers(0, 2**31),
    points=st.integers(2, 5),
    loss=st.sampled_from([0.0, 0.005, 0.2]),
    reordered=st.sampled_from([0.0, 0.05]),
    snaplen=st.sampled_from([0, 96, 128]),
    drift_ppb=st.integers(-100_000, 100_000),
    offset_ns=st.integers(-(10**12), 10**12),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenario=shapes)
def test_what_the_truth_calls_lost_is_what_no_later_point_has(tmp_path, scenario):
    """Each point has what the point before it had, without the lost, and nothing else."""
    truth = generate(tmp_path, scenario)
    files = [read(path) for path in truth.files]

    assert truth.packets == tuple(len(frames) for frames in files)
    for up in (True, False):
        order = range(scenario.points) if up else range(scenario.points - 1, -1, -1)
        waiting = None
        for point in order:
            seen = sorted(frame.body for frame in files[point] if frame.flow[1] == up)
            assert waiting is None or seen == waiting
            lost = [int(row["frame"]) for row in truth.lost if row["point"] == point and row["up"] == up]
            gone = sorted(files[point][number - 1].body for number in lost)
            waiting = _without(seen, gone)
    assert len(truth.lost) > 0 or scenario.loss < 0.1


def _without(seen, gone):
    rest = list(seen)
    for body in gone:
        rest.remove(body)
    return rest


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenario=shapes.map(lambda shape: replace(shape, points=2)))
def test_tcp_follows_its_losses(tmp_path, scenario):
    """No receiver acknowledges what it does not have; what was lost is sent again; what arrived is not."""
    truth = generate(tmp_path, scenario)
    near, far = (read(path) for path in truth.files)

    for frames, data_goes_up in ((far, True), (near, False)):
        _check_receiver(frames, data_goes_up)
    lost = {(int(row["point"]), int(row["frame"])) for row in truth.lost if row["kind"] == DATA}
    for point, frames in enumerate((near, far)):
        sent = [_segment(frame) for frame in frames]
        for number in (number for at, number in lost if at == point):
            assert sent[number - 1] in sent[number:], f"{sent[number - 1]} was lost and never sent again"


def _segment(frame):
    return (*frame.flow, *frame.tcp[::3]) if frame.is_tcp else None


def _check_receiver(frames, data_goes_up):
    """Hold the acknowledgements that leave a receiver against what came to it: *frames* as seen beside it."""
    have, highest, said = {}, {}, {}
    for frame in frames:
        if not frame.is_tcp:
            continue
        flow, up = frame.flow
        seq, ack, flags, size = frame.tcp
        if up == data_goes_up:
            length = size + bool(flags & 2) + bool(flags & 1)
            if length:
                assert seq not in have.setdefault(flow, {}), "a segment that had arrived came again"
                have[flow][seq] = length
            highest.setdefault(flow, seq)
        elif flags & ACK:
            at = highest[flow]
            while at in have[flow]:
                at = (at + have[flow][at]) & 0xFFFFFFFF
            highest[flow] = at
            assert (at - ack) & 0xFFFFFFFF < 1 << 31, "more is acknowledged than is whole"
            assert (ack - said.get(flow, ack)) & 0xFFFFFFFF < 1 << 31, "an acknowledgement is taken back"
            said[flow] = ack
    assert all(ack == highest[flow] for flow, ack in said.items()), "at the end, all is acknowledged"


def test_what_must_be_found_can_be_told_from_all_others(tmp_path):
    """Acknowledgements that repeat each other bit for bit are lost as well, but nobody can say which."""
    truth = generate(tmp_path, replace(SOME, packets=20_000, loss=0.05))
    twins = 0

    for point, path in enumerate(truth.files):
        frames = read(path)
        seen = Counter(frame.body for frame in frames)
        for row in truth.lost[truth.lost["point"] == point]:
            alone = seen[frames[int(row["frame"]) - 1].body] == 1
            assert alone or not row["eligible"]
            twins += not alone
    assert 0 < twins < truth.lost["eligible"].sum() / 10


def test_clocks_are_as_wrong_as_they_should_be(tmp_path):
    """A packet takes at least the delay of the line, on clocks put right."""
    truth = generate(tmp_path, replace(SOME, drift_ppb=50_000))
    near, far = (read(path) for path in truth.files)
    offsets, drifts = truth.scenario.clocks()
    passed = {frame.body: frame.time_ns for frame in near if frame.is_tcp and not frame.v6 and frame.flow[1]}

    ways = []
    for frame in far:
        if frame.body in passed and frame.flow[1]:
            local = frame.time_ns - truth.start_ns - int(offsets[1])
            ways.append(local * 10**9 // (10**9 + int(drifts[1])) + truth.start_ns - passed[frame.body])

    assert len(ways) > 100
    assert 180_000 <= min(ways) <= 190_000
    assert sorted(ways)[len(ways) // 2] < 260_000


def test_whole_frames_are_the_same_packets(tmp_path):
    """The snap length cuts and changes nothing."""
    cut, whole = (generate(tmp_path / str(n), replace(SOME, snaplen=n)) for n in (128, 0))

    for short, long in zip(read(cut.files[1]), read(whole.files[1]), strict=True):
        assert (short.time_ns, short.length) == (long.time_ns, long.length) == (long.time_ns, len(long.kept))
        assert long.kept[:128] == short.kept


def test_every_checksum_is_right(tmp_path):
    """RFC 1071, over the whole packet and its pseudo header."""
    truth = generate(tmp_path, replace(SOME, snaplen=0, packets=400))

    for frame in read(truth.files[0]):
        width, first = (16, 22) if frame.v6 else (4, 26)
        inner = frame.kept[frame.transport :]
        pseudo = frame.kept[first : first + 2 * width] + struct.pack(">HH", 6 if frame.is_tcp else 17, len(inner))
        assert _added_up(pseudo + inner) == 0xFFFF
        assert frame.v6 or _added_up(frame.kept[14:34]) == 0xFFFF


def _added_up(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return socket.ntohs(socket.htons(total))


def test_captures_are_made_once(tmp_path):
    """Another seed is another folder; the same one is found again."""
    first = provide(tmp_path, SOME)
    made = first.files[0].stat().st_mtime_ns

    again, other = provide(tmp_path, SOME), provide(tmp_path, replace(SOME, seed=2))

    assert again.folder == first.folder != other.folder
    assert again.files[0].stat().st_mtime_ns == made
    assert (again.lost == first.lost).all()
    assert other.files[0].read_bytes() != first.files[0].read_bytes()


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        pytest.param(Outcome(0, 99, 100), None, id="one-in-a-hundred-may-stay-undecided"),
        pytest.param(Outcome(0, 98, 100), "only 98 of 100 losses are found", id="two-may-not"),
        pytest.param(Outcome(1, 100, 100), "1 packets are called vanished and are not", id="no-false-claim"),
        pytest.param(Outcome(0, 0, 0, ("the clock is off",)), "the clock is off", id="no-wrong-clock"),
    ],
)
def test_a_fast_wrong_answer_is_none(outcome, complaint):
    """What is timed must be true."""
    assert outcome.complaint == complaint
