"""A proxy on the path splits connections, and the line behind it loses packets: found, not certified away."""

from __future__ import annotations

from collections import Counter

import pytest

from lab import devices
from tests.support.lab_runs import PATH_TO_APP_1, Lab, dropped_alone_in, dropped_in, ended, frames_of, vanished_packets

pytestmark = pytest.mark.lab

PORT, TCP = 5002, 6
FLOWS = {
    "stream": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": PORT},
    "bulk": {"from": "client-2", "to": "app-1", "protocol": "tcp", "port": PORT},
    "datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001},
}
BEFORE, BEHIND = "access", "line-near"
"""The points beside the router on which the proxy runs."""


@pytest.fixture(scope="module")
def split(lab_place, tmp_path_factory):
    """A stream of messages, bulk both ways and datagrams, the first two through a proxy on line-a; 4 % loss behind."""
    lab = Lab(lab_place, tmp_path_factory.mktemp("split"))
    lab.reset()
    with devices.splitter(lab.place, "line-a", PORT):
        run = lab.run(lab.playbook("split", FLOWS, PATH_TO_APP_1))
        run.wait_for("capture.window_open")
        before = len(lab.truth())
        lab.line(loss=0.04)
        with lab.serving("app-1", "udp-receive", "5001", "60"):
            receiver = lab.traffic("app-1", "tcp-receive", str(PORT))
            senders = [
                lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "1000", "300", "200"),
                lab.traffic("client-1", "tcp-send", "10.10.10.2", str(PORT), "1000", "400", "300"),
            ]
            ended(*senders, receiver)
            server = lab.traffic("app-1", "exchange-serve", str(PORT), "2", "400000")
            ended(lab.traffic("client-2", "exchange", "10.10.10.2", str(PORT), "2", "400000"), server)
        code = lab.captured(run)
    truth = lab.truth()[before:]
    lab.reset()
    return run, code, truth


def dropped_and_called(run, truth):
    """Return what the line dropped and what the analysis calls vanished."""
    return dropped_in(truth), Counter(vanished_packets(run))


def test_the_proxy_splits(split):
    """The scene is what it claims to be: the client never sees a number that the line lost."""
    run, code, truth = split
    here = {(k[3], k[6]) for k in frames_of(run.raw(BEFORE)) if k[2] == TCP}
    there = {(k[3], k[6]) for k in frames_of(run.raw(BEHIND)) if k[2] == TCP}

    assert code == 0
    assert len(here & there) < len(there) / 100
    assert sum(line["fate"] == "dropped" and line["proto"] == TCP for line in truth) > 60


def test_nobody_is_accused_of_more_than_the_line_dropped(split):
    """Nothing is claimed across the proxy, whose two sides carry different packets, nor anywhere else."""
    run, _, truth = split
    dropped, called = dropped_and_called(run, truth)

    assert called <= dropped
    assert {frozenset((v["last_seen"], v["first_missing"])) for v in run.result["vanished"]} <= {
        frozenset(("line-near", "line-far"))
    }


def test_loss_behind_the_proxy_is_found_to_the_packet(split):
    """What the proxy acknowledged to the client certifies nothing of what the line lost behind it."""
    run, _, truth = split
    dropped, called = dropped_and_called(run, truth)

    assert dropped_alone_in(truth) <= called <= dropped
    assert run.result["headline"]["network"] == "yes"


def test_what_ends_at_the_proxy_is_undecided_because_it_is_proxied(split):
    """Both sides' packets are told, with the reason."""
    run, _, truth = split
    dropped, called = dropped_and_called(run, truth)
    reasons = Counter()
    for entry in run.result["undecided"]:
        reasons[frozenset((entry["from"], entry["to"])), entry["reason"]] += entry["count"]

    assert reasons[frozenset((BEFORE, BEHIND)), "proxied"] > 1000
    del reasons[frozenset((BEFORE, BEHIND)), "proxied"]
    twins = (dropped - called).total()
    assert reasons == Counter({(frozenset(("line-near", "line-far")), "ambiguous"): twins} if twins else {})
