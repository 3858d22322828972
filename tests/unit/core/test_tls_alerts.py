"""Alerts of TLS, held against connections that they end."""

from __future__ import annotations

import struct

from orchestrator.core.analyses.named import events
from orchestrator.report.jsonl import result_document
from tests.support.names import CLIENT, MS, SERVER, START, Line, S, alert
from tests.support.wire import ACK, PSH, SYN, Packet

ENCRYPTED = struct.pack(">BBBH", 21, 3, 3, 26) + bytes(26)


def connection(line, at, sport, payload, *, by_server=True, opened=True):
    """Open a connection and let one end send *payload*."""
    there, back = (CLIENT, SERVER, sport, 8_443), (SERVER, CLIENT, 8_443, sport)
    if opened:
        line.send(at, Packet(*there, seq=9, flags=SYN))
        line.send(at + 3 * MS, Packet(*back, seq=99, ack=10, flags=SYN | ACK), up=False)
    ends, seq, ack = (back, 100, 10) if by_server else (there, 10, 100)
    line.send(at + 6 * MS, Packet(*ends, seq=seq, ack=ack, payload=payload, flags=ACK | PSH), up=not by_server)


def test_who_sent_what(tmp_path):
    """Sender, client, level and name; a goodbye is listed, but nothing that went wrong."""
    line = Line()
    connection(line, 0, 50_001, alert(2, 40))
    connection(line, S, 50_002, alert(2, 48), by_server=False)
    connection(line, 2 * S, 50_003, alert(1, 0))
    connection(line, 3 * S, 50_004, ENCRYPTED)
    connection(line, 4 * S, 50_005, b"\x17\3\3\0\x13" + bytes(19))
    connection(line, 5 * S, 5_006, alert(2, 70), opened=False)
    result = line.result(tmp_path)
    names = result.names

    assert [(a.flow.src, a.client, a.level, a.name, a.points) for a in names.tls_alerts] == [
        (SERVER, CLIENT, "fatal", "handshake failure", ("b", "a")),
        (CLIENT, CLIENT, "fatal", "unknown CA", ("a", "b")),
        (SERVER, CLIENT, "warning", "close notify", ("b", "a")),
        (SERVER, CLIENT, "fatal", "protocol version", ("b", "a")),  # nobody saw who opened it: the path says it
    ]
    assert names.tls_alerts[0].time_ns == START + 6 * MS
    assert (names.tls_alerts_in_all, names.tls_alerts_encrypted) == (4, 1)
    assert [(e.client, e.kind, e.target) for e in events(names)][:2] == [
        (CLIENT, "tls-alert", f"{SERVER}:8443"), (CLIENT, "tls-alert", f"{SERVER}:8443"),
    ]  # fmt: skip
    findings = [f for f in result.findings if f.kind == "tls-alert"]
    assert len(findings) == 3
    assert any(
        f"“handshake failure” from the server {SERVER}, 1 connection of {SERVER}:8443: 1 of 4" in f.statement
        for f in findings
    )
    document = result_document(result, version="0", generated_ns=0)
    assert [(a["sender"], a["name"]) for a in document["tls_alerts"]][1] == (CLIENT, "unknown CA")
    assert document["tls_alerts_encrypted"] == 1


def test_sent_again_it_is_one_alert(tmp_path):
    """A copy of the same bytes warns of nothing more."""
    line = Line()
    connection(line, 0, 50_001, alert(2, 40))
    connection(line, 300 * MS, 50_001, alert(2, 40), opened=False)

    assert line.result(tmp_path).names.tls_alerts_in_all == 1
