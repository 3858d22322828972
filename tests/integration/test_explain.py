"""The story of a packet or a connection, as the command line tells it; its truth is in the captures."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from orchestrator.archive.layout import RunDirectory
from orchestrator.cli.main import main
from orchestrator.model.story import Asked
from orchestrator.pipeline import explain
from orchestrator.report.story import render_story
from tests.support.offline import analyse_files
from tests.support.pathsim.cases import Case, Devices, Point, Traffic, make
from tests.support.pathsim.strategies import cases
from tests.support.three_points import HIDDEN, LOST, MS, NAMES, START, TWICE, write_story
from tests.support.wire import ACK, PSH, Packet, write_pcap


@pytest.fixture
def case(tmp_path, capsys):
    """The story at three points, analysed."""
    paths, records = write_story(tmp_path)
    folder = tmp_path / "case"
    assert main(["analyse", *(a for n in NAMES for a in ("--point", f"{n}={paths[n]}")), "--out", str(folder)]) == 0
    capsys.readouterr()
    return folder, records


def told(capsys, folder, *arguments):
    """Return the story as JSON."""
    assert main(["explain", str(folder), *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def seen_by(document, what):
    """Return by which points each packet that is called so was seen."""
    return [s["seen"] for s in document["steps"] if s["what"] == what]


def test_a_vanished_packet_point_by_point(case, capsys):
    """Seen at two points on one clock, at the third no more; sent again after it, and that arrived."""
    folder, _ = case
    document = told(capsys, folder, "--vanished", "1")

    assert [(s["point"], s["after_ns"], s["ttl"]) for s in document["sightings"]] == [
        ("client", 0, 64), ("gateway", MS, 63),
    ]  # fmt: skip
    assert document["sightings"][1]["uncertainty_ns"] > 0
    assert [a["point"] for a in document["absences"]] == ["server"]
    (lost,) = [s for s in document["steps"] if s["packet"] == document["packet"]]
    assert lost["fate"] == "vanished before server (probable)"
    assert lost["time"] == "2023-11-14T22:13:20.140000000Z"
    assert seen_by(document, lost["what"]) == [["client", "gateway"]]
    assert seen_by(document, f"{lost['what']} again") == [list(NAMES)]


def test_a_reset_and_what_came_before(case, capsys):
    """First at the server, the last of the connection, with the evidence of the report."""
    folder, _ = case
    document = told(capsys, folder, "--reset", "1", "--context", "2")
    report = json.loads((folder / "result.json").read_text())["resets"][0]

    assert [s["point"] for s in document["sightings"]] == ["server", "gateway", "client"]
    said = document["evidence"][1:]
    assert said[: len(report["evidence"])] == report["evidence"]
    assert said[len(report["evidence"]) :] == [
        "for application-abort: made by a live socket", "for application-abort: no FIN of its sender before it",
        "would decide: the log of the application at its sender",
    ]  # fmt: skip
    assert [s["what"] for s in document["steps"]] == [
        "data 391:401 (10 bytes)", "data 781:801 (20 bytes)", "RST at 801 ack 401",
    ]  # fmt: skip
    assert document["steps"][0]["skipped"] + len(document["steps"]) == 85
    assert document["left_out"] == 0


def test_a_connection_shows_what_stands_out(case, capsys):
    """Opening and end, the loss, and the packet that one capture missed; the rest is counted."""
    folder, _ = case
    document = told(capsys, folder, "--flow", "192.0.2.1:40000-198.51.100.2", "--context", "0")

    assert [s["what"].split()[0] for s in document["steps"]] == ["SYN", "SYN", "data", "data", "RST"]
    assert [s["seen"] for s in document["steps"][2:4]] == [["client", "gateway"], ["client", "server"]]
    assert [s["time"] for s in document["steps"][2:4]] == [
        f"2023-11-14T22:13:20.{20 * k:03d}000000Z" for k in (LOST, HIDDEN)
    ]
    assert sum(s["skipped"] + 1 for s in document["steps"]) + document["left_out"] == 85


def test_a_frame_by_its_number(case, capsys):
    """The point's own number finds it; repeats at a point are counted, and every field can be read."""
    folder, records = case
    frame = next(k for k, (_, data) in enumerate(records["gateway"], 1) if data[4:6] == TWICE.to_bytes(2, "big"))
    document = told(capsys, folder, "--packet", f"gateway:{frame}", "--fields")

    assert {s["point"]: s["frame"] for s in document["sightings"]}["gateway"] == frame
    assert [(s["point"], s["copies"]) for s in document["sightings"]] == [("client", 0), ("gateway", 1), ("server", 0)]
    assert any("id" in line and str(TWICE) in line for line in document["decoded"])


def test_as_much_around_a_packet_as_is_asked_for(tmp_path, capsys):
    """The packet in question is never cut off, however long its connection; of a whole one that stands out, 200."""
    records = [
        (START + k * MS, Packet("192.0.2.1", "192.0.2.2", 1, 2, ip_id=k + 1, seq=9 * k, payload=bytes(9)).bytes())
        for k in range(700)
    ]
    files = [write_pcap(tmp_path / f"{n}.pcap", [(at + s, d) for at, d in records]) for n, s in (("a", 0), ("b", MS))]
    points = [a for name, path in zip("ab", files, strict=True) for a in ("--point", f"{name}={path}")]
    assert main(["analyse", *points, "--out", str(tmp_path / "case")]) == 0
    capsys.readouterr()

    document = told(capsys, tmp_path / "case", "--packet", "a:650", "--context", "400")
    assert [s["packet"] for s in document["steps"]].count(document["packet"]) == 1
    assert len(document["steps"]) == 400 + 1 + 50
    document = told(capsys, tmp_path / "case", "--flow", "192.0.2.1", "--context", "400")
    assert (len(document["steps"]), document["left_out"]) == (200, 500)


def test_on_a_terminal(case, capsys):
    """A line a point, a line a packet, and a mark where the packet in question stands."""
    folder, _ = case
    assert main(["explain", str(folder), "--vanished", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()

    (marked,) = [line for line in lines if line.startswith(">")]
    said = ">22:13:20.140000000 → data 41:51 (10 bytes) ● ● · vanished before server (probable)"
    assert marked.split() == said.split()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reset", "2"], "there is no reset 2"),
        (["--vanished", "5"], "there is no vanished packet 5"),
        (["--packet", "nowhere:1"], "nowhere: no such point"),
        (["--packet", "client:9999"], "client has no frame 9,999"),
        (["--flow", "203.0.113.9"], "none of 254 packets"),
        (["--packet", "client"], "is not POINT:FRAME"),
        ([], "give one of"),
        (["--reset", "1", "--vanished", "1"], "give one of"),
    ],
)
def test_what_is_not_there(case, capsys, arguments, said):
    """Said in a line, with what there is; exit code 2."""
    folder, _ = case

    assert main(["explain", str(folder), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_connection_behind_a_translator_is_one(tmp_path, capsys):
    """Packets of both address pairs stand in one story, each going its way, and what changed is told."""
    case = Case(
        seed=5, points=3, loss=(0.0, 0.05, 0.0, 0.05, 0.0), devices=Devices(nat=1), captures=(Point(reports=True),) * 3,
        traffic=Traffic(connections=1, turns=6, turn_bytes=20_000, pings=0),
    )  # fmt: skip
    made = make(case, tmp_path)
    points = [a for name, path in made.files.items() for a in ("--point", f"{name}={path}")]
    assert main(["analyse", *points, "--out", str(tmp_path / "case")]) == 0
    capsys.readouterr()
    sent = [p for p in made.sent if p.protocol == 6 and p.crossed]
    first = sent[0]

    document = told(capsys, tmp_path / "case", "--packet", "p0:1", "--context", "9999")
    steps = document["steps"]

    assert len(steps) + document["left_out"] == len(sent)
    assert {s["direction"] for s in steps if s["what"].startswith("SYN ack")} == {"back"}
    ways = {s["packet"]: s["direction"] for s in steps}
    assert sum(w == "there" for w in ways.values()) == sum(p.forward == first.forward for p in sent[: len(steps)])
    assert any(c.startswith("src ") for s in document["sightings"] for c in s["changed"])


def test_hostile_bytes_do_not_steer_a_terminal(tmp_path, capsys):
    """What a frame carries is shown escaped, and bytes that nothing can take apart are told to be so."""
    facts = {"payload": b"\x1b]0;x\x07\xe2\x80\xae", "flags": ACK | PSH}
    records = [
        (START + k * MS, Packet("192.0.2.1", "192.0.2.2", 1, 2, ip_id=k + 1, seq=9 * k, **facts).bytes())
        for k in range(30)
    ]
    a, b = (write_pcap(tmp_path / f"{n}.pcap", [(at + s, d) for at, d in records]) for n, s in (("a", 0), ("b", MS)))
    assert main(["analyse", "--point", f"a={a}", "--point", f"b={b}", "--out", str(tmp_path / "case")]) == 0
    capsys.readouterr()

    assert main(["explain", str(tmp_path / "case"), "--packet", "a:3", "--fields"]) == 0
    out = capsys.readouterr().out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert "###[ TCP ]###" in out


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(case=cases(), share=st.floats(0, 1, exclude_max=True))
def test_any_frame_of_any_capture_has_its_story(case, share):
    """Whatever the path does and the captures are like: the frame is one of the sightings, in its place in time."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = make(case, folder)
        result = analyse_files(folder, made.files)
        point = result.points[int(share * len(result.points))]
        assume(point.packets)
        asked = Asked(frame=(point.name, 1 + int(share * point.packets)))
        story = explain(RunDirectory(folder / "run"), asked, fields=True)
    assert point.name in [s.point for s in story.sightings]
    assert story.sightings[0].after_ns == 0 == story.sightings[0].uncertainty_ns
    assert {s.point for s in story.sightings} | {a.point for a in story.absences} == set(made.files)
    (step,) = [s for s in story.steps if s.packet == story.focus]
    assert [p for p, yes in zip(story.points, step.seen, strict=True) if yes] == sorted(
        s.point for s in story.sightings
    )
    assert story.decoded
    assert render_story(story).count("\n>") == 1
