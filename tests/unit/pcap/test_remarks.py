"""Comments are put on the right frames, each with the tag that finds it."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.model.columns import Packets
from orchestrator.model.finding import FlowKey, Reset, Vanished
from orchestrator.pcap.remarks import Remarks

FLOW = FlowKey(protocol="tcp", src="192.0.2.1", sport=1, dst="192.0.2.2", dport=2)
NAMES = ("a", "b", "c")


def remarks(*tokens, lossy=(), paths=((0, 1, 2),), other_flow=()):
    """Return remarks on points that saw *tokens* each, at one packet a nanosecond."""
    starts = np.cumsum([0, *map(len, tokens)]).tolist()
    packets = Packets.allocate(starts[-1])
    for row in other_flow:
        packets.flow[row] = 1
    made = Remarks(NAMES, starts, np.array([t for point in tokens for t in point], np.int64))
    made.duplicates_and_unseen(packets, np.arange(starts[-1]), [n in lossy for n in NAMES], paths)
    return made.by_row


def vanished(point, frame, missing="c"):
    return Vanished(
        flow=FLOW, kind="data", bytes=1, last_seen=point, first_missing=missing, verdict="confirmed", time_ns=0,
        frame=frame, recovered=True, superseded=False,
    )  # fmt: skip


def test_repeats_at_one_point_name_the_first():
    """A copy elsewhere is no repeat, and packets of no token are nobody's copy."""
    assert remarks([0, 1, 0, -1, -1, 0], [0, 1], [200, 1, 200]) == {
        2: "#DUPLICATE of frame 1 of a",
        5: "#DUPLICATE of frame 1 of a",
        10: "#DUPLICATE of frame 1 of c",
    }


@pytest.mark.parametrize(
    ("tokens", "more", "expected"),
    [
        pytest.param(([0, 1], [0], [0, 1]), {"lossy": "b"}, {1: "b"}, id="between-two-that-have-it"),
        pytest.param(([0, 1], [0], [0, 1]), {}, {}, id="a-sound-capture-missed-nothing"),
        pytest.param(([0, 1], [0], [0]), {"lossy": "b"}, {}, id="never-seen-again"),
        pytest.param(([0], [0], [0, 1]), {"lossy": "b"}, {}, id="never-seen-before"),
        pytest.param(
            ([0, 1], [0], [0, 1]), {"lossy": "b", "other_flow": (1, 4)}, {}, id="a-flow-that-may-go-elsewhere"
        ),
        pytest.param(([0, 1], [0], [0, 1]), {"lossy": "b", "paths": ((0, 1, 2), (0, 2))}, {}, id="another-path"),
        pytest.param(([0, 1], [0], [0, 1]), {"lossy": "ac"}, {}, id="ends-miss-nothing-that-can-be-told"),
        pytest.param(
            (
                [0],
                [0],
                [0, 1],
            ),
            {"lossy": "b", "paths": ((2, 0), (0, 1))},
            {},
            id="not-on-that-path",
        ),
    ],
)
def test_what_a_capture_missed_is_noted_before_it(tokens, more, expected):
    """Once, where it was seen first; only where no other way leads on."""
    text = "#UNSEEN at {}, whose capture missed it: seen again further on"
    assert remarks(*tokens, **more) == {row: text.format(name) for row, name in expected.items()}


def test_several_comments_on_one_frame_are_lines():
    """Each line begins with its tag."""
    made = Remarks(NAMES, [0, 2, 4, 4], np.array([0, 1, 0, 1]))
    reset = Reset(
        flow=FLOW, time_ns=0, first_seen="b", seen=("b",), born_after="a", born_before="b", origin="network",
        family="stateless", cause="policy", confidence=0.9, evidence=(), frames=(("b", (2,)),), side="client",
    )  # fmt: skip

    assert made.vanished([vanished("b", 2), vanished("a", 1, "b")]).tolist() == [3, 0]
    assert made.resets([reset]).tolist() == [3]
    assert made.by_row == {
        0: "#VANISHED confirmed: last seen here, not at b, sent again later",
        3: "#VANISHED confirmed: last seen here, not at c, sent again later\n"
        "#RST-ORIGIN first seen here, not seen at a; origin network, policy",
    }
