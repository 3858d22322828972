"""Voice on the path: loss and jitter on the line, one direction gone at the firewall; the line's log is the truth."""

from __future__ import annotations

import pytest

from tests.support.lab_runs import PATH_TO_APP_1, ended
from tests.support.offline import analyse_files

pytestmark = pytest.mark.lab

FLOWS = {"voice": {"from": "client-1", "to": "app-1", "protocol": "udp"}}
CLIENT, SERVER = "192.168.0.1", "10.10.10.2"
SSRC = {CLIENT: 0xC1, SERVER: 0x5E}


def call(lab, seconds="6"):
    """Let client-1 and app-1 talk; return what each says at the end."""
    server = lab.start("app-1", "voice.py", "20000", CLIENT, "16400", seconds, "5e")
    client = lab.start("client-1", "voice.py", "16400", SERVER, "20000", seconds, "c1")
    return dict(zip((CLIENT, SERVER), ended(client, server), strict=True))


def captured(lab, folder, before=None, **line):
    """Return (result, what the ends said, what the line dropped) of one call over a line with settings."""
    run = lab.run(lab.playbook("voice", FLOWS, PATH_TO_APP_1))
    run.wait_for("capture.window_open")
    start = len(lab.truth())
    if before is not None:
        before()
    lab.line(**line)
    said = call(lab)
    lab.line(loss=0.0)
    call(lab, "1")  # of another number of packets: what dies last of all lies at the window's edge
    dropped = [t for t in lab.truth()[start:] if t["fate"] == "dropped" and t.get("dport") in {16400, 20000}]
    assert lab.captured(run) == 0
    return analyse_files(folder, {p: run.raw(p)[0] for p in PATH_TO_APP_1}), said, dropped
