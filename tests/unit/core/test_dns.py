"""Questions to name servers, held against exchanges of which everything is known."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.core.analyses.named import events
from orchestrator.report.jsonl import result_document
from tests.support.mutations import damaged
from tests.support.names import (
    CLIENT,
    MS,
    NXDOMAIN,
    REFUSED,
    SERVER,
    SERVFAIL,
    START,
    Line,
    S,
    alert,
    answer,
    datagram,
    icmp_error,
    question,
)
from tests.support.wire import Packet

OTHER = "192.0.2.7"


def table(result):
    """Return the transactions by number."""
    return {t.id: t for t in result.names.dns}


def background(line, until=60 * S, server=SERVER, client=OTHER):
    """Let somebody be answered at the beginning and the end."""
    for at, ident in ((0, 60_001), (until, 60_002)):
        line.exchange(at, ident, "example.net", client=client, server=server, sport=ident)


def finding(result, kind):
    return [f for f in result.findings if f.kind == kind]


def test_fifty_questions_with_known_fates(tmp_path):
    """Return codes, delays, repetitions and losses on either way, each at its place."""
    line, rng = Line(), random.Random(5)
    fates = ["fine"] * 25 + ["servfail"] * 4 + ["refused"] * 3 + ["nxdomain"] * 5 + ["slow"] * 4 + ["silent"] * 4
    fates += ["question lost"] * 2 + ["answer lost"] * 3
    rng.shuffle(fates)
    delays = {}
    for ident, fate in enumerate(fates, 1):
        at, name = 200 * MS * ident, f"host-{ident}.example.org"
        if fate == "question lost":
            line.ask(at, ident, name, seen="a")
            continue
        heard = line.ask(at, ident, name)
        delays[ident] = 1_500 * MS if fate == "slow" else rng.randrange(1, 90) * MS
        rcode = {"servfail": SERVFAIL, "refused": REFUSED, "nxdomain": NXDOMAIN}.get(fate, 0)
        if fate != "silent":
            line.tell(heard + delays[ident], ident, name, rcode=rcode, seen="b" if fate == "answer lost" else None)
    background(line)
    result = line.result(tmp_path)
    found = table(result)
    outcome = {
        "fine": "answered", "slow": "answered", "silent": "no-answer", "question lost": "no-answer",
        "answer lost": "answer-lost",
    }  # fmt: skip

    assert result.names.dns_in_all == 52
    for ident, fate in enumerate(fates, 1):
        got = found[ident]
        assert (got.outcome, got.qname, got.asked) == (outcome.get(fate, fate), f"host-{ident}.example.org", 1), fate
        assert (got.flow.src, got.flow.dst, got.qtype) == (CLIENT, SERVER, "A")
        assert (got.asked_at, got.asked_ns) == ("a", START + 200 * MS * ident)
        assert got.last_seen == ("a" if fate == "question lost" else "b")
        assert got.lost == {"question lost": ("a", "b"), "answer lost": ("b", "a")}.get(fate)
        if got.outcome in {"answered", "servfail", "refused", "nxdomain"}:
            assert got.took_ns == delays[ident] + 2 * MS
            assert got.answered_ns == got.asked_ns + got.took_ns
        if fate == "answer lost":
            assert got.took_ns == delays[ident]
    [failure], [slow] = finding(result, "dns-failure"), finding(result, "dns-slow")
    assert "16 questions of 52" in failure.statement
    assert "2 vanished between a and b" in failure.statement
    assert "Of 4 no answer came to b, which saw the question" in failure.statement
    assert "4 answers to 52 questions" in slow.statement
    assert failure.verdict == slow.verdict == "supported"
    assert failure.evidence


def test_asked_again_until_answered(tmp_path):
    """One question that was asked three times, and took from the first of them."""
    line = Line()
    background(line)
    for at in (5 * S, 10 * S, 15 * S):
        line.ask(at, 7, "www.example.org", seen="a" if at < 15 * S else None)
    line.tell(15 * S + 20 * MS, 7, "www.example.org")
    got = table(line.result(tmp_path))[7]

    assert (got.asked, got.outcome, got.took_ns) == (3, "answered", 10 * S + 21 * MS)


def test_a_number_used_again(tmp_path):
    """The same client, port, number and name later are another question; so is another name at the same time."""
    line = Line()
    background(line)
    for at in (5 * S, 25 * S):
        line.exchange(at, 7, "www.example.org")
    line.ask(30 * S, 7, "www.example.org")
    line.ask(40 * S, 7, "one.example.org")
    line.ask(40 * S + MS, 7, "two.example.org")
    line.tell(40 * S + 5 * MS, 7, "two.example.org", rcode=REFUSED)
    line.tell(40 * S + 6 * MS, 7, "one.example.org")
    found = [t for t in line.result(tmp_path).names.dns if t.id == 7]

    assert [(t.qname.split(".")[0], t.asked, t.outcome) for t in found] == [
        ("www", 1, "answered"), ("www", 1, "answered"), ("www", 1, "no-answer"), ("one", 1, "answered"),
        ("two", 1, "refused"),
    ]  # fmt: skip


def test_a_repetition_that_crossed_its_answer_accuses_nobody(tmp_path):
    """Who asked again just when the answer came has it, though a server answers but once."""
    line = Line()
    background(line)
    line.ask(5 * S, 7, "www.example.org")
    line.tell(10 * S - 2 * MS, 7, "www.example.org")
    line.ask(10 * S, 7, "www.example.org")
    got = [t for t in line.result(tmp_path).names.dns if t.id == 7]

    assert [(t.asked, t.outcome) for t in got] == [(2, "answered")]


def test_two_clients_behind_one_resolver(tmp_path):
    """The server asks another one in turn; who failed whom is kept apart."""
    line, upstream = Line(), "203.0.113.5"
    for n, client in enumerate((CLIENT, OTHER)):
        at = (5 + n) * S
        line.ask(at, 7, "www.example.org", client=client)
        line.tell(at + 2_500 * MS, 7, "www.example.org", client=client, rcode=SERVFAIL if n else 0)
        line.ask(at + 2 * MS, 90 + n, "www.example.org", client=SERVER, server=upstream, seen="b")
    background(line)
    background(line, server=upstream)
    result = line.result(tmp_path)
    found = {(t.flow.src, t.flow.dst, t.id): t for t in result.names.dns}

    assert found[CLIENT, SERVER, 7].outcome == "answered"
    assert found[OTHER, SERVER, 7].outcome == "servfail"
    assert found[SERVER, upstream, 90].outcome == "no-answer"
    assert found[SERVER, upstream, 90].last_seen == "b"
    assert {(e.client, e.kind, e.target) for e in events(result.names)} == {
        (CLIENT, "dns-slow", SERVER), (OTHER, "dns-failure", SERVER), (SERVER, "dns-no-answer", upstream),
    }  # fmt: skip


def test_answers_that_no_point_hears(tmp_path):
    """Where points see one direction only, nobody is called silent."""
    line = Line()
    for k in range(1, 20):
        line.ask(k * S, k, f"host-{k}.example.org")
    line.send(60 * S, Packet(CLIENT, SERVER, 1, 2))
    result = line.result(tmp_path)

    assert {t.outcome for t in result.names.dns} == {"no-answer-seen"}
    [failure] = finding(result, "dns-failure")
    assert "No answer seen to 19 questions of 19" in failure.statement
    assert failure.verdict == "not-proved"
    assert events(result.names) == []


def test_a_capture_that_ends_with_the_question(tmp_path):
    """It says nothing of any answer, not even that none was seen."""
    line = Line("a")
    line.ask(0, 7, "www.example.org")
    result = line.result(tmp_path)

    assert [t.outcome for t in result.names.dns] == ["undecided"]
    assert not finding(result, "dns-failure")


def test_answers_that_only_another_point_hears(tmp_path):
    """A server that point b hears is not accused by point a, which alone saw the question and hears no server."""
    line = Line()
    for k in range(1, 20):
        line.ask(k * S, k, f"host-{k}.example.org", client=OTHER, seen="b")
        line.tell(k * S + 5 * MS, k, f"host-{k}.example.org", client=OTHER, seen="b")
        line.ask(k * S, 100 + k, f"host-{k}.example.org", seen="a")
    line.send(60 * S, Packet(CLIENT, SERVER, 1, 2), seen="a")
    outcomes = {t.outcome for t in line.result(tmp_path).names.dns if t.flow.src == CLIENT}

    assert outcomes == {"no-answer-seen"}


def test_the_end_of_the_capture(tmp_path):
    """An answer may still come: within a second, or within what this server was seen to need."""
    line = Line()
    background(line, until=20 * S)
    line.exchange(3 * S, 3, "slow.example.org", after=3 * S)
    line.ask(10 * S, 10, "early.example.org")
    line.ask(16 * S, 16, "late.example.org")
    line.ask(19_500 * MS, 19, "last.example.org")
    found = table(line.result(tmp_path))

    assert (found[10].outcome, found[16].outcome, found[19].outcome) == ("no-answer", "undecided", "undecided")
    assert "ended before" in found[19].reason


def test_answers_that_cannot_be_read(tmp_path):
    """A later fragment from the server, or a datagram that holds no message, may be the answer."""
    for ident, late in enumerate((b"garbage", answer(9, "x.example.org")[:11]), 1):
        line = Line()
        background(line)
        line.ask(20 * S, ident, "www.example.org")
        line.send(20 * S + 5 * MS, datagram(SERVER, 53, CLIENT, 40_000 + ident, late), up=False)
        (tmp_path / str(ident)).mkdir()
        result = line.result(tmp_path / str(ident))

        assert table(result)[ident].outcome == "undecided"
        assert result.names.dns_not_read == 2
        assert not finding(result, "dns-failure")


def test_an_answer_in_fragments(tmp_path):
    """Its first piece says what the answer is."""
    line = Line()
    background(line)
    line.ask(20 * S, 7, "www.example.org")
    whole = datagram(SERVER, 53, CLIENT, 40_007, answer(7, "www.example.org", records=90), ip_id=9_999).bytes()
    body = whole[20:]
    for start, more in ((0, 0x2000), (800, 0)):
        piece = body[start : start + 800] if more else body[start:]
        head = whole[:2] + (20 + len(piece)).to_bytes(2, "big") + whole[4:6] + (more | start // 8).to_bytes(2, "big")
        line.send(20 * S + 5 * MS + start, head + whole[8:20] + piece, up=False)
    got = table(line.result(tmp_path))[7]

    assert (got.outcome, got.answers) == ("answered", 90)


def test_a_capture_that_missed_packets_accuses_nobody(tmp_path):
    """Only who asks again after a second shows that nothing came."""
    line, others = Line("abc"), ("203.0.113.1", "203.0.113.2")
    for at, ident in ((0, 1_001), (60 * S, 1_002)):
        line.exchange(at, ident, "example.net", seen="b")
    for k in range(40):
        packet = Packet(*others, 5, 6, seq=k * 10, payload=b"0123456789", ip_id=5_000 + k)
        line.send(30 * S + 10 * MS * k, packet, seen="ac" if k % 8 == 3 else None)
    line.ask(20 * S, 7, "www.example.org", seen="b")
    for at in (40 * S, 45 * S):
        line.ask(at, 8, "www.example.org", seen="b")
    found = table(line.result(tmp_path))

    assert found[7].outcome == "undecided"
    assert "missed" in found[7].reason
    assert found[8].outcome == "no-answer"


def test_over_tcp(tmp_path):
    """A message that a segment consists of is read as others are."""
    line, whole, back = Line(), question(7, "www.example.org"), answer(7, "www.example.org", rcode=REFUSED)
    ask, tell = (len(m).to_bytes(2, "big") + m for m in (whole, back))
    line.send(0, Packet(CLIENT, SERVER, 40_000, 53, payload=ask, flags=24, seq=1, ack=1))
    line.send(30 * MS, Packet(SERVER, CLIENT, 53, 40_000, payload=tell, flags=24, seq=1, ack=1 + len(ask)), up=False)
    got = table(line.result(tmp_path))[7]

    assert (got.flow.protocol, got.outcome, got.took_ns) == ("tcp", "refused", 30 * MS + MS)


def test_a_translator_between_the_points(tmp_path):
    """One question, whose client is the one inside, though the outside shows another address and port."""
    line = Line()
    for ident in range(1, 30):
        at, name = ident * S, f"host-{ident}.example.org"
        inside, outside = (CLIENT, 40_000 + ident), ("203.0.113.77", 50_000 + ident)
        ttl = iter((64, 63))
        for point, (client, sport) in (("a", inside), ("b", outside)):
            packet = datagram(client, sport, SERVER, 53, question(ident, name), ip_id=ident, ttl=next(ttl))
            line.records[point].append((START + at + (point == "b") * MS, packet.bytes()))
        if ident % 10 == 0:
            continue
        for point, (client, sport) in (("b", outside), ("a", inside)):
            packet = datagram(SERVER, 53, client, sport, answer(ident, name), ip_id=ident, ttl=60 - (point == "a"))
            line.records[point].append((START + at + 9 * MS + (point == "a") * MS, packet.bytes()))
    result = line.result(tmp_path)

    assert result.names.dns_in_all == 29
    assert {t.flow.src for t in result.names.dns} == {CLIENT}
    assert [t.id for t in result.names.dns if t.outcome == "no-answer"] == [10, 20]
    assert {t.outcome for t in result.names.dns} == {"answered", "no-answer"}


@pytest.mark.parametrize("ip_id", [0, 1])
def test_repetitions_that_are_alike_to_the_last_bit(tmp_path, ip_id):
    """Many hosts number no datagram that may not be fragmented."""
    line = Line()
    background(line)
    for at in (20 * S, 25 * S, 30 * S):
        packet = datagram(CLIENT, 40_007, SERVER, 53, question(7, "www.example.org"), ip_id=ip_id)
        for hops, point in enumerate("ab"):
            line.records[point].append((START + at + hops * MS, packet.hop(hops).bytes()))
    got = table(line.result(tmp_path))[7]

    assert (got.asked, got.outcome) == (3, "no-answer")


def test_what_result_json_holds(tmp_path):
    """Times, names and counts as text and numbers; hostile names as plain ASCII."""
    line = Line()
    background(line)
    line.exchange(5 * S, 7, "\x1b[2Jevil.example.org")
    document = result_document(line.result(tmp_path), version="0", generated_ns=0)
    [entry] = [t for t in document["dns"] if t["id"] == 7]

    assert json.dumps(entry).isascii()
    assert entry["qname"] == "\\027[2Jevil.example.org"
    assert (entry["client"], entry["server"], entry["times_asked"]) == (CLIENT, SERVER, 1)
    assert entry["asked"] == "2023-11-14T22:13:25.000000000Z"
    assert entry["took_ns"] == 7 * MS
    assert (document["schema"], document["dns_in_all"], document["dns_not_read"]) == (1, 3, 0)


def test_of_very_many_those_that_failed_come_first(tmp_path, monkeypatch):
    """What is left out is counted, and numbers of failures are called the least that there were."""
    monkeypatch.setattr("orchestrator.core.analyses.dns.MOST_TRANSACTIONS", 5)
    line = Line()
    background(line)
    for ident in range(1, 31):
        line.exchange(ident * S, ident, f"host-{ident}.example.org", rcode=SERVFAIL if ident % 4 == 0 else 0)
    result = line.result(tmp_path)

    assert [t.id for t in result.names.dns] == [4, 8, 12, 16, 20]
    assert result.names.dns_in_all == 32
    assert "at least 5 questions of 32 came to nothing" in finding(result, "dns-failure")[0].statement


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_hostile_messages_end_in_a_result(data):
    """Whatever stands in datagrams to and from a name server, errors of ICMP and segments."""
    line = Line()
    samples = [question(7, "www.example.org"), answer(7, "www.example.org"), alert(2, 40)]
    for k in range(data.draw(st.integers(1, 8))):
        payload = data.draw(damaged(data.draw(st.sampled_from(samples)), samples[1]))
        inner = datagram(CLIENT, 40_007, SERVER, 53, payload)
        line.send(k * S, inner, seen=data.draw(st.sampled_from(("a", "b", "ab"))))
        line.send(k * S + 3, datagram(SERVER, 53, CLIENT, 40_007, payload), up=False)
        line.send(k * S + 5, icmp_error(SERVER, CLIENT, 3, k, data.draw(damaged(inner.bytes(), payload))), up=False)
        line.send(k * S + 6, Packet(SERVER, CLIENT, 443, 40_007, seq=k, payload=payload), up=False)
    with tempfile.TemporaryDirectory() as scratch:
        document = result_document(line.result(Path(scratch)), version="0", generated_ns=0)

    told = json.dumps([document[key] for key in ("dns", "icmp_errors", "tls_alerts", "findings")], ensure_ascii=False)
    assert told.isprintable()
