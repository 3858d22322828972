"""Every cause of a reset, made by real kernels: at all points, without each, with the reset unseen at each, behind NAT.

Where it is said to be made must contain where it was made, whatever is left out. The cause must be the true one where
all points saw it; where something is left out a wider name or none at all may stand there, but never another.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from lab import faults
from orchestrator.core.analyses.reset_causes import UNKNOWN, WIDER
from tests.support import endings
from tests.support.lab_runs import PATH_TO_APP_1, Lab, called_in, dropped_alone_in, dropped_in, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

FLOWS = {"all": {"from": "client-1", "to": "app-1"}}
NAMES = [f"{e.cause}-{e.port}" for e in endings.ENDINGS]


def record(lab, name, *, translated):
    """Return (run, what the clients said) of one run in which everything ends."""
    lab.reset()
    faults.Firewall(lab.place).translate(on=translated)
    with endings.break_things(lab), endings.serving(lab):
        run = lab.run(lab.playbook(name, FLOWS, PATH_TO_APP_1, filter="ip"))
        run.wait_for("capture.window_open")
        said = endings.play(lab)
        code = lab.captured(run)
    lab.reset()
    assert code == 0
    return run, said


PLAIN, TRANSLATED = pytest.param(False, id="plain"), pytest.param(True, id="translated")
EITHER = pytest.mark.parametrize("recorded", [PLAIN, TRANSLATED], indirect=True)
LONG = pytest.param(True, id="translated", marks=pytest.mark.nightly)
EITHER_BY_NIGHT = pytest.mark.parametrize("recorded", [PLAIN, LONG], indirect=True)


@pytest.fixture(scope="module")
def recorded(request, lab_place, tmp_path_factory):
    """A run with all endings; the second time the firewall hides the clients behind its address."""
    name = "translated" if request.param else "plain"
    return record(Lab(lab_place, tmp_path_factory.mktemp(name)), name, translated=request.param)


def captures(run, port, folder, *, without=(), unreset=()):
    """Return what the points saw of one port, but for points left out and points that missed the resets."""
    return {
        p: endings.part(run.raw(p)[0], port, folder, without_resets=p in unreset)
        for p in PATH_TO_APP_1 if p not in without
    }  # fmt: skip


def told(run, ending, folder, **left_out):
    """Return the resets told of one ending's connections."""
    result = analyse_files(folder, captures(run, ending.port, folder / "parts", **left_out))
    return [r for r in result.resets if ending.port in {r.flow.sport, r.flow.dport} and _meant(r, ending)], result


def _meant(reset, ending):
    """Leave out what an end that still lives answers to a reset that the other end never made."""
    return endings.claimed_by(reset, ending.port) in ending.origins


def allowed(cause):
    """Return the names that do not contradict a cause."""
    return {cause, UNKNOWN} | {wide for wide, narrow in WIDER.items() if cause in narrow}


def wrong_in(resets, ending, causes):
    """Return what a list of resets says that is not so."""
    found = []
    for reset in resets:
        true = ending.origins[endings.claimed_by(reset, ending.port)]
        if reset.origin not in {true, "unknown"}:
            found.append(("origin", reset))
        if not endings.holds_truth(reset, ending.port, ending):
            found.append(("place", reset))
        if reset.cause not in causes:
            found.append(("cause", reset))
    return found


@EITHER
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_with_all_points_the_cause_is_told(recorded, ending, tmp_path):
    """Every reset of the ending, where it is born and why."""
    run, said = recorded

    resets, _ = told(run, ending, tmp_path)

    assert len({r.flow for r in resets}) == ending.clients * len(ending.truth), said[ending.port]
    assert wrong_in(resets, ending, {ending.cause}) == []
    assert {r.origin for r in resets} == set(ending.origins.values())


@EITHER_BY_NIGHT
@pytest.mark.parametrize("point", PATH_TO_APP_1)
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_without_a_point_nothing_wrong_is_told(recorded, ending, point, tmp_path):
    """The point is not there at all."""
    run, _ = recorded

    resets, _ = told(run, ending, tmp_path, without=(point,))

    assert len({r.flow for r in resets}) == ending.clients * len(ending.truth)
    assert wrong_in(resets, ending, allowed(ending.cause)) == []


@EITHER_BY_NIGHT
@pytest.mark.parametrize("point", PATH_TO_APP_1)
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_where_a_point_missed_the_reset_nothing_wrong_is_told(recorded, ending, point, tmp_path):
    """The point saw everything else."""
    run, _ = recorded

    resets, _ = told(run, ending, tmp_path, unreset=(point,))

    assert wrong_in(resets, ending, allowed(ending.cause)) == []


@pytest.mark.nightly
@EITHER
@pytest.mark.parametrize("how", ["without", "unreset"])
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_with_any_two_points_gone_or_blind_to_resets_nothing_wrong_is_told(recorded, ending, how, tmp_path):
    """What keeps one capture from seeing a reset may keep its neighbour."""
    run, _ = recorded

    wrong = []
    for pair in combinations(PATH_TO_APP_1, 2):
        resets, _ = told(run, ending, tmp_path / "-".join(pair), **{how: pair})
        wrong += [(pair, *w) for w in wrong_in(resets, ending, allowed(ending.cause))]

    assert wrong == []


GATEWAY = tuple(p for p in PATH_TO_APP_1 if p != "core")


@EITHER_BY_NIGHT
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_from_the_gateway_alone_nothing_wrong_is_told(recorded, ending, tmp_path):
    """One point in the middle: the side at most, told by the reset's own numbers."""
    run, _ = recorded

    resets, result = told(run, ending, tmp_path, without=GATEWAY)

    if ending.truth[0] not in endings.BY_FORGER:  # what leaves the forger towards the clients does not pass this point
        assert len({r.flow for r in resets}) == ending.clients * len(ending.truth)
    assert {r.cause for r in resets} <= allowed(ending.cause)
    assert [r for r in resets if r.origin == "network" and ending.origins[claimed(r, ending)] != "network"] == []
    assert result.headline.network != "yes"
    assert result.vanished == ()


def claimed(reset, ending):
    return endings.claimed_by(reset, ending.port)


@EITHER
@pytest.mark.parametrize("without", [(), ("client-1",), ("client-1", "access"), GATEWAY], ids=len)
def test_an_abort_of_another_kind_of_host_is_not_taken_for_a_devices(recorded, without, tmp_path):
    """No time stamps, window 0, one counter for everything the host sends: its reset goes on counting like its data."""
    run, _ = recorded

    result = analyse_files(tmp_path, captures(run, endings.FOREIGN_PORT, tmp_path / "parts", without=without))

    (reset,) = [r for r in result.resets if r.flow.dport == endings.FOREIGN_PORT]
    assert (reset.origin, reset.born_after) == ("endpoint", None)
    assert reset.cause in {"application-abort", UNKNOWN}
    assert [f for f in result.findings if f.verdict == "proved" and "reset" in f.kind and f.segment[0]] == []


@EITHER
def test_a_service_that_the_firewall_drops_is_told_as_unanswered_there(recorded, tmp_path):
    """The SYN comes to the firewall, and no further; nobody is said to have reset anything."""
    run, _ = recorded

    result = analyse_files(tmp_path, captures(run, endings.BLOCKED_PORT, tmp_path / "parts"))

    gone = [v for v in result.vanished if v.flow.dport == endings.BLOCKED_PORT]
    assert {(v.kind, v.last_seen, v.first_missing) for v in gone} == {("syn", "fw-out", "fw-in")}
    assert [r for r in result.resets if endings.BLOCKED_PORT in {r.flow.sport, r.flow.dport}] == []


def test_loss_on_the_line_and_an_abort_at_once_are_both_told_and_not_mixed(lab, tmp_path):
    """The line's log says what was lost; the aborts are the client's own."""
    run = lab.run(lab.playbook("both", FLOWS, PATH_TO_APP_1, filter="ip"))
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    lab.line(loss=0.03)
    with lab.serving("app-1", "echo", "9120"):
        receiver = lab.traffic("app-1", "tcp-receive", "5002")
        sender = lab.traffic("client-1", "tcp-send", endings.APP, "5002", "1500", "300", "300")
        for _ in range(6):
            ended(lab.start("client-1", "endings.py", "aborts", endings.APP, "9120", "200", "linger"))
        ended(sender, receiver)
        lab.line(loss=0.0)
        ended(lab.start("client-1", "endings.py", "refused", endings.APP, "9120"))
    assert lab.captured(run) == 0
    truth = lab.truth()[before:]

    result = analyse_files(tmp_path, {p: run.raw(p)[0] for p in PATH_TO_APP_1})

    called = called_in(result.vanished, {p: [run.raw(p)[0]] for p in PATH_TO_APP_1})
    assert dropped_alone_in(truth) <= called <= dropped_in(truth)
    aborts = [r for r in result.resets if r.flow.dport == 9120]
    assert len(aborts) == 6
    assert {(r.origin, r.born_after, r.cause) for r in aborts} == {("endpoint", None, "application-abort")}
    assert (result.headline.network, result.headline.domain) == ("yes", "segment")
    proved = {f.segment for f in result.findings if f.kind == "loss" and f.verdict == "proved"}
    assert {frozenset(s) for s in proved} == {frozenset(("line-near", "line-far"))}
