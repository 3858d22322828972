"""Written files, read by Wireshark's programs and by a reader that shares nothing with the product."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

import numpy as np
import pytest

from orchestrator.cli.main import main
from orchestrator.errors import VanishpointError
from orchestrator.pcap.interfaces import Label, Source
from orchestrator.pcap.reader import read_capture
from orchestrator.pcap.writer import Contents, Form, write_capture
from tests.support.corpus import corpus_files, needs_corpus
from tests.support.read_pcapng import read
from tests.support.three_points import HIDDEN, LOST, MS, NAMES, SERVER_BEHIND, TWICE, story, write_story


def tshark(path, *arguments, fields=()):
    """Return what tshark prints about *path*: rows of *fields*."""
    asked = [word for f in fields for word in ("-e", f)]
    argv = ["tshark", "-n", "-r", str(path), *arguments, *(["-T", "fields", *asked] if fields else [])]
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def capinfos(path):
    return subprocess.run(["capinfos", "-M", str(path)], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def captures(tmp_path):
    """The story at three points."""
    return write_story(tmp_path)


@pytest.fixture
def written(captures, tmp_path, capsys):
    """A run with all its files."""
    paths, records = captures
    folder = tmp_path / "case"
    assert main(["analyse", *(a for n in NAMES for a in ("--point", f"{n}={paths[n]}")), "--out", str(folder)]) == 0
    assert main(["merge", str(folder), "--view", "--aligned"]) == 0
    printed = capsys.readouterr().out.splitlines()[-5:]
    assert printed == [
        str(folder / p) for p in ("merged.pcapng", "view.pcapng", *(f"aligned/{name}.pcapng" for name in NAMES))
    ]
    return folder, records


def test_merged_holds_every_packet_of_every_point(written):
    """Byte for byte, in order of time, every point an interface; capinfos agrees."""
    folder, records = written
    path = folder / "merged.pcapng"
    document = read(path)

    for name in NAMES:
        here = Counter(p.frame for p in document.packets if document.names[p.interface] == name)
        assert here == Counter(frame for _, frame in records[name])
    said = capinfos(path)
    assert f"Number of packets:   {sum(map(len, records.values()))}" in said
    assert "Strict time order:   True" in said
    assert [line.split("= ")[1] for line in said.splitlines() if " Name = " in line] == list(NAMES)


def test_copies_of_a_packet_have_one_number(written):
    """And different packets different ones."""
    folder, _ = written
    rows = tshark(
        folder / "merged.pcapng", fields=("frame.packet_id", "ip.id", "frame.interface_name", "frame.comment")
    )
    numbers = {}
    for number, ip_id, point, comment in rows:
        if "#DUPLICATE" not in comment and number:
            numbers.setdefault(number, []).append((ip_id, point))

    assert len(numbers) == len(list(story()))
    assert all(len({ip_id for ip_id, _ in seen}) == 1 for seen in numbers.values())
    assert Counter(len(seen) for seen in numbers.values()) == {3: len(numbers) - 2, 2: 2}


def test_clock_and_counters_stand_at_each_interface(written):
    """As in result.json, for whoever has only the file."""
    folder, records = written
    result = json.loads((folder / "result.json").read_text())
    document = read(folder / "merged.pcapng")
    for number, point in enumerate(result["points"]):
        said = dict(word.split("=") for word in document.interfaces[number].text(1).splitlines()[0].split())
        clock = point["clock"]
        assert said["offset_ns"] == str(clock["offset_ns"])
        assert said["uncertainty_ns"] == str(clock["uncertainty_ns"])
        assert (said["method"], said["reference"], said["at"]) == (clock["method"], "client", clock["at"])
        assert (said["packets"], said["kernel_drops"]) == (str(len(records[point["name"]])), "unknown")
        assert document.interfaces[number].text(3) == f"vanishpoint: point {number + 1} of 3"
        assert document.statistics[number].number(8) == len(records[point["name"]])
        assert document.statistics[number].number(7) is None
    assert abs(result["points"][2]["clock"]["offset_ns"] + SERVER_BEHIND) < 2 * MS


@pytest.mark.parametrize(
    ("tag", "point", "ip_id", "says"),
    [
        ("#VANISHED", "gateway", str(LOST), "last seen here, not at server"),
        ("#UNSEEN", "client", str(HIDDEN), "at gateway, whose capture missed it"),
        ("#RST-ORIGIN", "server", "2000", "first seen here"),
        ("#DUPLICATE", "gateway", str(TWICE), "of frame "),
    ],
)
def test_frames_that_somebody_looks_for_can_be_filtered(written, tag, point, ip_id, says):
    """By the tag that their comment begins with; nothing else carries it."""
    folder, _ = written
    wanted = ("frame.interface_name", "ip.id", "frame.comment")
    for name in ("merged.pcapng", "view.pcapng"):
        rows = tshark(folder / name, "-Y", f'frame.comment contains "{tag}"', fields=wanted)
        assert [(row[0], int(row[1], 16)) for row in rows] == [(point, int(ip_id))]
        assert says in rows[0][2]


def test_aligned_files_change_times_and_nothing_else(written):
    """Same frames, same numbers, one interface; the hour is gone."""
    folder, records = written
    for name in NAMES:
        document = read(folder / "aligned" / f"{name}.pcapng")
        assert document.names == [name]
        assert [p.frame for p in document.packets] == [frame for _, frame in records[name]]
        assert all(p.options == {} for p in document.packets)
        shift = [p.time_ns - time_ns for p, (time_ns, _) in zip(document.packets, records[name], strict=True)]
        assert max(shift) - min(shift) < MS
        assert abs(shift[0] - (SERVER_BEHIND if name == "server" else 0)) < 2 * MS


def test_every_tool_reads_the_view(written):
    """One link type, one snaplen; libpcap stops at the first frame of a second one."""
    folder, records = written
    path = folder / "view.pcapng"
    document = read(path)
    done = subprocess.run(["tcpdump", "-nn", "-r", str(path)], check=True, capture_output=True, text=True)

    assert len(done.stdout.splitlines()) == sum(map(len, records.values()))
    assert {(i.link_type, i.snaplen) for i in document.interfaces} == {(1, 0)}
    for number, name in enumerate(NAMES):
        mine = [p.frame for p in document.packets if p.interface == number]
        assert Counter(f[14:] for f in mine) == Counter(frame for _, frame in records[name])
        assert {bytes(sorted((f[5], f[11]))) + f[:5] for f in mine} == {b"\x01\x02\x02\x50\0\0" + bytes([number])}


@pytest.mark.parametrize("point", NAMES)
def test_a_point_in_the_view_shows_the_retransmissions_of_its_capture(written, captures, tmp_path, point):
    """No copy at another point is called one, once points are told apart; here by taking one out of the file."""
    folder, _ = written
    alone = tmp_path / "alone.pcapng"
    tshark(folder / "view.pcapng", "-Y", f'frame.interface_name == "{point}"', "-w", str(alone))
    diagnoses = (
        "frame.number",
        "tcp.analysis.retransmission",
        "tcp.analysis.lost_segment",
        "tcp.analysis.ack_lost_segment",
    )

    captured = tshark(captures[0][point], "-Y", "tcp.analysis.flags", fields=diagnoses)
    assert tshark(alone, "-Y", "tcp.analysis.flags", fields=diagnoses) == captured
    assert tshark(folder / "aligned" / f"{point}.pcapng", "-Y", "tcp.analysis.flags", fields=diagnoses) == captured
    assert any(row[1] for row in captured) == (point != "server")


def cut(*arguments):
    return main(["cut", *map(str, arguments)])


CUTS = [
    pytest.param(["--vanished", "--context", "0"], {"client": [LOST], "gateway": [LOST]}, id="vanished-alone"),
    pytest.param(
        ["--vanished", "--context", "1"],
        {"client": [1006, LOST, 100], "gateway": [1006, LOST, 100], "server": [1006, 100]},
        id="vanished-and-neighbours",
    ),
    pytest.param(
        ["--vanished", "--context", "10ms", "--point", "server", "--point", "client"],
        {"client": [1006, LOST], "server": [1006]},
        id="vanished-by-time-at-two-points",
    ),
    pytest.param(["--resets", "--context", "0"], {name: [2000] for name in NAMES}, id="resets"),
    pytest.param(
        ["--vanished", "--resets", "--context", "0", "--point", "gateway"],
        {"gateway": [LOST, 2000]},
        id="both-at-a-point",
    ),
    pytest.param(
        ["--from", "2023-11-14T22:13:20.060Z", "--to", "2023-11-14T22:13:20.062000000"],
        {n: [3] for n in NAMES},
        id="absolute",
    ),
    pytest.param(["--from", "60ms", "--to", "+62ms"], {name: [3] for name in NAMES}, id="since-the-window-opened"),
    pytest.param(["--around", "22:13:20.061±1ms"], {name: [3] for name in NAMES}, id="around"),
    pytest.param(
        ["--flow", "192.0.2.1:40000-198.51.100.2:80", "--to", "2ms"], {name: [1] for name in NAMES}, id="flow"
    ),
    pytest.param(["--flow", ":80", "--point", "client", "--from", "1.99s"], {"client": [2000]}, id="port"),
]


@pytest.mark.parametrize(("arguments", "expected"), CUTS)
@pytest.mark.parametrize("merged", [False, True], ids=["run", "merged-file"])
def test_a_cut_holds_what_was_asked_for(written, tmp_path, merged, arguments, expected):
    """By point, the IP identifications; the same from the run and from its merged file."""
    folder, _ = written
    target = tmp_path / "cut.pcapng"
    assert cut(*(["--merged", folder / "merged.pcapng"] if merged else [folder]), *arguments, "-o", target) == 0

    found = {}
    for name, ip_id in tshark(target, fields=("frame.interface_name", "ip.id")):
        found.setdefault(name, []).append(int(ip_id, 16))
    assert {name: sorted(ids) for name, ids in found.items()} == {name: sorted(ids) for name, ids in expected.items()}
    whole = {(p.interface, p.time_ns, p.frame, repr(p.options)) for p in read(folder / "merged.pcapng").packets}
    kept = read(target)
    assert kept.names == list(NAMES)
    assert {(p.interface, p.time_ns, p.frame, repr(p.options)) for p in kept.packets} <= whole


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "yesterday"], "--from yesterday: write 2026"),
        (["--around", "22:13:20", "--to", "5s"], "either --around or"),
        (["--flow", "10.0.0.1:99999"], "--flow 10.0.0.1:99999: write"),
        (["--context", "5"], "--vanished or --resets"),
        (["--vanished", "--context", "many"], "--context many: write"),
        (["--point", "firewall"], "The points are client, gateway, server."),
        (["--from", "1h"], "There are packets from 2023-11-14T22:13:20.000000000Z to"),
        (["--vanished", "--flow", ":443"], "none of"),
    ],
)
def test_a_cut_that_cannot_be_made_says_why_and_writes_nothing(written, tmp_path, capsys, arguments, says):
    """Exit 2 and what to write instead."""
    folder, _ = written
    target = tmp_path / "cut.pcapng"

    assert cut(folder, *arguments, "-o", target) == 2
    assert says in capsys.readouterr().err
    assert not target.exists()


def test_only_what_merge_wrote_is_cut_as_a_merged_file(captures, written, tmp_path, capsys):
    """A plain capture has no numbers and no points; and the file itself is not written over."""
    folder, _ = written
    merged = folder / "merged.pcapng"

    assert cut("--merged", captures[0]["client"], "--from", "1s", "-o", tmp_path / "cut.pcapng") == 2
    assert "is not a file that `vanishpoint merge` wrote" in capsys.readouterr().err
    assert cut("--merged", merged, "--from", "1s", "-o", merged) == 2
    assert "never written over" in capsys.readouterr().err


def test_merge_refuses_to_write_over_a_capture(captures, capsys):
    """A slip of the fingers must not cost the evidence."""
    paths, _ = captures
    before = paths["client"].read_bytes()

    assert main(["merge", "--point", f"client={paths['client']}", "-o", str(paths["client"])]) == 2
    assert "never written over" in capsys.readouterr().err
    assert paths["client"].read_bytes() == before


def test_beside_a_named_file_stand_its_view_and_its_aligned_files(captures, tmp_path, capsys):
    """Where there is no run directory."""
    paths, _ = captures
    target = tmp_path / "all.pcapng"
    points = [a for n in NAMES[:2] for a in ("--point", f"{n}={paths[n]}")]

    assert main(["merge", *points, "-o", str(target), "--view", "--aligned"]) == 0
    beside = ["all.pcapng", "all.view.pcapng", "all.aligned/client.pcapng", "all.aligned/gateway.pcapng"]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in beside]
    assert all((tmp_path / name).stat().st_size > 1_000 for name in beside)


@needs_corpus
@pytest.mark.data
def test_whatever_can_be_read_can_be_written(tmp_path):
    """A thousand captures of other people, fuzz crashers among them: every frame once, in each form."""
    target = tmp_path / "x.pcapng"
    count = 0
    for path in corpus_files():
        try:
            packets, file = read_capture(path)
        except VanishpointError:
            continue
        source = Source(path=path, point=0, link_types=tuple(file.link_types), start=0, stop=len(packets))
        contents = Contents(
            packets=packets, time_ns=packets.time_ns, token=np.arange(len(packets)), points=[Label(name="a")],
            sources=[source],
        )  # fmt: skip
        for form in (Form(about=""), Form(about="", ethernet=True), Form(about="", point=0)):
            assert write_capture(target, contents, form) == len(packets)
            document = read(target)
            assert len(document.packets) == len(packets), path
            if not form.ethernet:
                assert sum(len(p.frame) for p in document.packets) == int(packets.caplen.sum()), path
        count += 1
    assert count > 900
