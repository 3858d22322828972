"""Errors of ICMP, held against flows that they are about."""

from __future__ import annotations

import pytest

from orchestrator.core.analyses.named import events
from orchestrator.report.jsonl import result_document
from tests.support.names import CLIENT, MS, SERVER, START, Line, S, datagram, icmp_error, question
from tests.support.shells import checked
from tests.support.wire import SYN, Packet

ROUTER, WEB, PUBLIC = "192.0.2.254", "203.0.113.80", "198.51.100.77"
ADMINISTRATIVELY = (3, 13)


def syn(source, sport, ip_id=1):
    return Packet(source, WEB, sport, 443, flags=SYN, seq=77, ip_id=ip_id)


def test_a_prohibited_connection(tmp_path):
    """Who says so, of which flow, when, how often, and which points heard it."""
    line = Line()
    for k in range(3):
        at = k * S
        line.send(at, syn(CLIENT, 40_000, 10 + k))
        error = icmp_error(ROUTER, CLIENT, *ADMINISTRATIVELY, checked(syn(CLIENT, 40_000, 10 + k).bytes())[:28])
        line.send(at + 4 * MS, error, up=False)
    result = line.result(tmp_path)
    [error] = result.names.icmp_errors

    assert (error.type, error.code, error.name) == (3, 13, "administratively prohibited")
    assert (error.sender, error.receiver, error.count, error.known) == (ROUTER, CLIENT, 3, True)
    assert (error.quoted.src, error.quoted.sport, error.quoted.dst, error.quoted.dport) == (CLIENT, 40_000, WEB, 443)
    assert (error.first_ns, error.last_ns) == (START + 4 * MS, START + 2 * S + 4 * MS)
    assert error.points == (("a", 3), ("b", 3))
    assert [(e.client, e.kind, e.target) for e in events(result.names)] == [
        (CLIENT, "icmp-prohibited", f"{WEB}:443")
    ] * 3  # fmt: skip
    [finding] = [f for f in result.findings if f.kind == "icmp-error"]
    assert f"{ROUTER} says 3 times by ICMP: administratively prohibited, about 1 flow" in finding.statement
    assert finding.evidence[0].filter == f"ip.src=={ROUTER} && icmp.type==3 && icmp.code==13"
    [entry] = result_document(result, version="0", generated_ns=0)["icmp_errors"]
    assert (entry["sender"], entry["count"], entry["quoted"]["dport"]) == (ROUTER, 3, 443)


def test_a_prohibited_connection_behind_a_translator(tmp_path):
    """The quoted flow is the client's own, though what the router outside quotes is the translated one."""
    line = Line()
    for k in range(4):
        inside, outside = syn(CLIENT, 40_000, 10 + k), syn(PUBLIC, 61_000, 10 + k)
        at = START + k * S
        line.records["a"].append((at, inside.bytes()))
        line.records["b"].append((at + MS, outside.hop().bytes()))
        for point, packet, to, late in (("b", outside, PUBLIC, 3 * MS), ("a", inside, CLIENT, 4 * MS)):
            quoted = checked(packet.hop(2).bytes())[:28]
            line.records[point].append((at + late, icmp_error(ROUTER, to, *ADMINISTRATIVELY, quoted, ttl=60)))
    [error] = line.result(tmp_path).names.icmp_errors

    assert (error.quoted.src, error.quoted.sport, error.receiver) == (CLIENT, 40_000, CLIENT)
    assert (error.count, error.known, error.points) == (4, True, (("a", 4), ("b", 4)))


@pytest.mark.parametrize(
    ("kind", "code", "rest", "name", "mtu"),
    [
        (3, 3, 0, "port unreachable", None), (3, 1, 0, "host unreachable", None),
        (3, 4, 1_400, "fragmentation needed", 1_400), (11, 0, 0, "time exceeded", None),
        (3, 99, 0, "unreachable", None), (12, 0, 0, "parameter problem", None), (5, 1, 7, "redirect", None),
    ],
)  # fmt: skip
def test_kinds(tmp_path, kind, code, rest, name, mtu):
    """By the names that people know; a number that nobody gave a name keeps the name of its type."""
    line = Line("a")
    quoted = checked(syn(CLIENT, 40_000).bytes())[:28]
    line.send(0, icmp_error(ROUTER, CLIENT, kind, code, quoted, rest=rest))
    result = line.result(tmp_path)
    [error] = result.names.icmp_errors

    assert (error.name, error.mtu, error.known) == (name, mtu, False)
    assert bool([f for f in result.findings if f.kind == "icmp-error"]) == (name != "redirect")
    if mtu:
        [finding] = [f for f in result.findings if f.kind == "icmp-error"]
        assert "next-hop MTU 1,400" in finding.statement


def test_an_error_that_quotes_nothing_readable(tmp_path):
    """It counts, and is about no flow."""
    line = Line("a")
    line.send(0, icmp_error(ROUTER, CLIENT, 3, 1, b"\x45"))
    result = line.result(tmp_path)

    assert [(e.quoted, e.count) for e in result.names.icmp_errors] == [(None, 1)]
    assert events(result.names) == []


def test_a_question_that_was_rejected(tmp_path):
    """A closed port speaks for itself: nobody is called silent."""
    line = Line()
    asked = datagram(CLIENT, 40_007, SERVER, 53, question(7, "www.example.org"), ip_id=7)
    line.send(0, asked)
    line.send(3 * MS, icmp_error(SERVER, CLIENT, 3, 3, checked(asked.bytes())[:28]), up=False)
    line.send(20 * S, Packet(CLIENT, SERVER, 1, 2))
    result = line.result(tmp_path)
    [transaction] = result.names.dns

    assert (transaction.outcome, transaction.reason) == ("no-answer", f"port unreachable, says {SERVER}")
    [failure] = [f for f in result.findings if f.kind == "dns-failure"]
    assert f"1 was rejected: port unreachable, says {SERVER}" in failure.statement


def test_an_answer_that_came_too_late_is_no_event(tmp_path):
    """The client's own host says that nobody waits for it any more."""
    line = Line("a")
    late = datagram(SERVER, 53, CLIENT, 40_007, b"late", ip_id=7)
    line.send(0, late)
    line.send(MS, icmp_error(CLIENT, SERVER, 3, 3, checked(late.bytes())[:28]))

    assert events(line.result(tmp_path).names) == []
