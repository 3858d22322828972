"""What a point saw of what passed it: a mirror of one direction is told from a capture that misses packets."""

from __future__ import annotations

import ipaddress
import json

from tests.support.offline import analyse_files
from tests.support.pathsim.cases import Case, Point, Traffic, make
from tests.support.wire import records_of

TALK = Traffic(connections=2, turns=6, turn_bytes=60_000, call=40)


def quiet(**changes):
    """Return three points on a path that loses nothing."""
    return Case(seed=7, points=3, loss=(0.0,) * 4, captures=(Point(),) * 3, traffic=TALK, **changes)


def keep_from(path, address):
    """Leave in a capture what *address* sent: a mirror of one direction."""
    head, records = records_of(path)
    source = ipaddress.IPv4Address(address).packed
    path.write_bytes(head + b"".join(r for r in records if r[16 + 26 : 16 + 30] == source))


def by_direction(point):
    return {(c.kind, c.direction): (c.passed, c.seen) for c in point.coverage}


def test_a_sound_point_saw_all_that_passed(tmp_path):
    """Every class and direction that passes is listed, and the ends of the path say nothing of themselves."""
    result = analyse_files(tmp_path, make(quiet(), tmp_path).files)
    near, middle, far = map(by_direction, result.points)

    assert near == far == {}
    assert {("tcp-data", "forward"), ("tcp-control", "reverse"), ("udp", "forward")} <= set(middle)
    assert all(passed == seen > 0 for passed, seen in middle.values())
    assert result.points[1].quality == "good"


def test_a_mirror_of_one_direction_is_named(tmp_path):
    """It sees everything of the clients and nothing for them; nobody is accused, and the reader is told."""
    made = make(quiet(), tmp_path)
    keep_from(made.files["p1"], "10.0.0.1")
    result = analyse_files(tmp_path, made.files)
    middle = by_direction(result.points[1])

    assert result.vanished == ()
    assert all(seen == (passed if direction == "forward" else 0) for (_, direction), (passed, seen) in middle.items())
    assert result.points[1].quality == "degraded"
    assert any(reason.startswith("saw 0 of ") and "reverse" in reason for reason in result.points[1].reasons)


def test_it_is_written_down(tmp_path):
    """result.json has the same."""
    result = analyse_files(tmp_path, make(quiet(), tmp_path).files)
    document = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))

    written = {(c["class"], c["direction"]): (c["passed"], c["seen"]) for c in document["points"][1]["coverage"]}
    assert written == by_direction(result.points[1])
