"""Address translation at the firewall: declared, it is followed; not declared, it accuses nobody."""

from __future__ import annotations

from collections import Counter

import pytest

from lab import faults
from tests.support.lab_runs import PATH_TO_APP_1, dropped_alone_in, dropped_in, ended, vanished_packets

pytestmark = pytest.mark.lab

FLOWS = {
    "datagrams": {"from": "client-1", "to": "app-1", "protocol": "udp", "port": 5001},
    "stream": {"from": "client-1", "to": "app-1", "protocol": "tcp", "port": 5002},
}
DECLARED = "      - {kind: dnat, outside: "
SNAT = "      - {kind: masquerade, inside: 192.168.0.0/24, outside: 10.10.10.1}\n"


def capture(lab, playbook, **loss):
    """Send datagrams and a stream through the translating firewall; return the run and what the line dropped."""
    faults.Firewall(lab.place).translate(on=True)
    run = lab.run(playbook)
    run.wait_for("capture.window_open")
    before = len(lab.truth())
    lab.line(**loss)
    with lab.serving("app-1", "udp-receive", "5001", "60"):
        receiver = lab.traffic("app-1", "tcp-receive", "5002")
        ended(
            lab.traffic("client-1", "udp-send", "10.10.10.2", "5001", "400", "400", "200"),
            lab.traffic("client-1", "tcp-send", "10.10.10.2", "5002", "400", "400", "300"),
            receiver,
        )
    truth = lab.truth()[before:]
    assert lab.captured(run) == 0
    return run, truth


def test_packets_are_followed_through_a_declared_translation(lab):
    """With 5 % loss on the line: exactly those vanish, and every other packet is seen on both sides of the firewall."""
    playbook = lab.playbook("declared", FLOWS, PATH_TO_APP_1)
    text = lab.inventory.read_text()
    assert DECLARED in text
    (lab.folder / "inventory.yaml").write_text(text.replace(DECLARED, SNAT + DECLARED))

    run, truth = capture(lab, playbook, loss=0.05)

    called = Counter(vanished_packets(run))
    assert dropped_alone_in(truth).total() > 20
    assert dropped_alone_in(truth) <= called <= dropped_in(truth)
    assert run.segment("fw-out", "fw-in")["delivered"] > 600
    assert {("192.168.0.1", "10.10.10.1")} == {(t["inside"], t["outside"]) for t in run.result["translations"]}


def test_an_undeclared_translation_accuses_nobody(lab):
    """The filters behind the firewall know the client by an address that it does not have there: never 'yes'."""
    run, _ = capture(lab, lab.playbook("undeclared", FLOWS, PATH_TO_APP_1), loss=0.0)

    assert run.result["headline"]["network"] == "cannot-tell"
    assert [v for v in run.result["vanished"] if v["verdict"] == "confirmed"] == []
    silent = next(f for f in run.result["findings"] if f["id"] == "silent-points")
    assert "fw-in, app-1" in silent["statement"]
