"""Several interfaces of one point: a TAP pair, the links of a bundle, a bridge that shows packets twice."""

from __future__ import annotations

import re
import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.archive.layout import RunDirectory
from orchestrator.core.members import find_members
from orchestrator.intake import open_offline
from orchestrator.model.columns import Packets
from orchestrator.model.side_by_side import number_members
from orchestrator.pcap.reader import read_capture
from orchestrator.pipeline import analyse
from tests.support.offline import analyse_files
from tests.support.pathsim.cases import Case, Point, make
from tests.support.pathsim.strategies import cases
from tests.support.pathsim.truth import eligible
from tests.support.wire import records_of

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def by_direction(made, record):
    """Show each direction on a side of its own, as a TAP does."""
    return [0 if made.sent[record.uids[0]].forward else 1]


def by_flow(made, record):
    """Show each flow direction on the link that a hash chooses, as a bundle does."""
    packet = made.sent[record.uids[0]]
    ends = packet.client, packet.server, packet.forward
    return [crc32(repr(ends).encode()) % 2]


def on_both(*_):
    """Show each packet on the bundle and on its link."""
    return [0, 1]


def split(made, name, chosen, folder, lasts=(1.0, 1.0)):
    """Write the capture *name* as one file an interface, each but the share *lasts* of it; return {file: records}."""
    head, written = records_of(made.files[name])
    parts, places = [[], []], [[], []]
    for number, (record, data) in enumerate(zip(made.records[name], written, strict=True)):
        for member in chosen(made, record):
            if number > lasts[member] * len(written):
                continue
            seconds, nanos = struct.unpack_from("<II", data)
            seconds, nanos = divmod(seconds * 10**9 + nanos + 3_000 * member, 10**9)
            parts[member].append(struct.pack("<II", seconds, nanos) + data[8:])
            places[member].append(number)
    files = {folder / f"{name}.{k}": places[k] for k in range(2)}
    for path, part in zip(files, parts, strict=True):
        path.write_bytes(head + b"".join(part))
    return files


def losses(result, records_of):
    """Return the claims of *result*, each packet by its number in the whole capture."""
    found = []
    for v in result.vanished:
        frame = v.frame - 1
        point = next(p for p in result.points if p.name == v.last_seen)
        for file, count in point.files:
            if frame < count:
                found.append((v.last_seen, records_of(v.last_seen, Path(file.path), frame), v.first_missing))
                break
            frame -= count
    return found


def test_the_report_names_the_file_of_a_frame(tmp_path):
    """Whoever opens the file of one side of a TAP finds the frame there under the number that is given."""
    made = make(Case(points=2, loss=(0.0, 0.1, 0.0)), tmp_path)
    files = {name: list(split(made, name, by_direction, tmp_path)) for name in made.files}
    run = RunDirectory(tmp_path / "run")
    open_offline(run, files, run_id="20260101-000000-tap")
    analyse(run)
    told = re.search(r"see (\S+) frame ([\d,]+) \((\S+) frame ([\d,]+)\)", run.path.joinpath("report.txt").read_text())

    assert told is not None
    point, through, file, number = told.groups()
    before = {f.name: k for k, f in enumerate(files[point])}[file] * len(read_capture(files[point][0])[0])
    assert int(through.replace(",", "")) == before + int(number.replace(",", ""))


def analyse_split(made, chosen, folder, **options):
    """Analyse captures with one file an interface; return the claims."""
    files = {name: split(made, name, chosen, folder, **options) for name in made.files}
    run = RunDirectory(folder / "members")
    open_offline(run, {name: list(paths) for name, paths in files.items()}, run_id="20260101-000000-both")
    return losses(analyse(run), lambda name, path, k: files[name][path][k])


def truly_lost(made, claims):
    """Return those of *claims* that name where a packet was lost."""
    place = {tap.name: tap.place for tap in made.taps}
    found = set()
    for near, number, far in claims:
        low, high = sorted((place[near], place[far]))
        lost = {on for uid in made.records[near][number].uids for on, _, _ in made.sent[uid].deaths}
        if lost & set(range(low + 1, high + 1)):
            found.add((near, number, far))
    return found


@pytest.mark.parametrize("chosen", [by_direction, by_flow, on_both])
@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(case=cases())
def test_no_verdict_changes_with_the_number_of_interfaces(chosen, case):
    """One file a point, or one an interface: the same losses are named, but where an interface may have stopped."""
    plain = replace(case, captures=(Point(),) * case.points)
    with tempfile.TemporaryDirectory() as scratch:
        made = make(plain, Path(scratch))
        whole = set(losses(analyse_files(Path(scratch), made.files), lambda _, __, k: k))
        parts = set(analyse_split(made, chosen, Path(scratch)))
    proved = eligible(made)

    def provable(claims):
        return {(n, k, far) for n, k, far in claims if set(made.records[n][k].uids) <= proved}

    assert parts - whole <= truly_lost(made, parts)
    assert provable(whole) == provable(parts)


@pytest.mark.parametrize("chosen", [by_direction, by_flow])
@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS, derandomize=True)
@given(case=cases())
def test_an_interface_that_stopped_early_accuses_nobody(chosen, case):
    """What its neighbour went on capturing does not say what it would have seen."""
    plain = replace(case, captures=(Point(),) * case.points)
    with tempfile.TemporaryDirectory() as scratch:
        made = make(plain, Path(scratch))
        claims = set(analyse_split(made, chosen, Path(scratch), lasts=(1.0, 0.5)))
    assert claims == truly_lost(made, claims)


def table(times, interface):
    found = Packets.allocate(len(times))
    found.time_ns[:], found.interface[:] = times, interface
    return found


@pytest.mark.parametrize(
    ("times", "interface", "files", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 0, 0], (2, 2), [0, 1, 2, 3]),
        ([1, 3, 5, 2, 4, 6], [0] * 6, (3, 3), [0, 3, 1, 4, 2, 5]),
        ([1, 3, 5, 2, 4, 6], [0, 0, 0, 1, 1, 1], (6,), [0, 3, 1, 4, 2, 5]),
        ([1, 5, 3, 2, 4, 6], [0, 0, 0, 1, 1, 1], (6,), [0, 1, 2, 3, 4, 5]),
        ([1, 9, 8, 10, 2, 9, 12], [0] * 7, (4, 3), [0, 4, 1, 2, 5, 3, 6]),
        ([], [], (), []),
    ],
    ids=["one ring", "two files", "two interfaces of a file", "a clock set back", "one of two set back", "nothing"],
)
def test_rows_stand_in_order_of_time(times, interface, files, expected):
    """Interfaces are put together by time, each in its own order; a clock that was set back reorders nothing."""
    order = find_members([table(times, interface)], [files]).order

    assert (list(range(len(times))) if order is None else order.tolist()) == expected


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 10), (10, 20), (21, 30)], [0, 0, 0]),
        ([(0, 100), (95, 200)], [0, 0]),
        ([(0, 100), (1, 99)], [0, 1]),
        ([(0, 50), (0, 60), (51, 100), (61, 120)], [0, 1, 0, 1]),
        ([], []),
    ],
    ids=["ring", "ring with a clock set back", "pair", "two rings", "nothing"],
)
def test_files_side_by_side_are_of_different_interfaces(spans, expected):
    """Those of a ring follow each other, even if a clock was set a little; those of a pair overlap."""
    assert number_members(spans) == expected
