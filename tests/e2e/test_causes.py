"""Every cause of a reset, made by real kernels: at all points, without each, with the reset unseen at each, behind NAT.

Where it is said to be made must contain where it was made, whatever is left out. The cause must be the true one where
all points saw it; where something is left out a wider name or none at all may stand there, but never another.
"""

from __future__ import annotations

import pytest

from lab import faults
from orchestrator.core.analyses.reset_causes import UNKNOWN, WIDER
from tests.support import endings
from tests.support.lab_runs import PATH_TO_APP_1, Lab
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


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "translated"])
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


@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_with_all_points_the_cause_is_told(recorded, ending, tmp_path):
    """Every reset of the ending, where it is born and why."""
    run, said = recorded

    resets, _ = told(run, ending, tmp_path)

    assert len({r.flow for r in resets}) == ending.clients * len(ending.truth), said[ending.port]
    assert wrong_in(resets, ending, {ending.cause}) == []
    assert {r.origin for r in resets} == set(ending.origins.values())


@pytest.mark.parametrize("point", PATH_TO_APP_1)
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_without_a_point_nothing_wrong_is_told(recorded, ending, point, tmp_path):
    """The point is not there at all."""
    run, _ = recorded

    resets, _ = told(run, ending, tmp_path, without=(point,))

    assert len({r.flow for r in resets}) == ending.clients * len(ending.truth)
    assert wrong_in(resets, ending, allowed(ending.cause)) == []


@pytest.mark.parametrize("point", PATH_TO_APP_1)
@pytest.mark.parametrize("ending", endings.ENDINGS, ids=NAMES)
def test_where_a_point_missed_the_reset_nothing_wrong_is_told(recorded, ending, point, tmp_path):
    """The point saw everything else."""
    run, _ = recorded

    resets, _ = told(run, ending, tmp_path, unreset=(point,))

    assert wrong_in(resets, ending, allowed(ending.cause)) == []
