"""The call-centre story through the whole pipeline: what the answer says, from where, and when it says nothing."""

from __future__ import annotations

import json

import pytest

from orchestrator.report.jsonl import result_document
from orchestrator.report.text import render
from tests.support.call_centre import NAMES, START, S, Story

TARGET = "203.0.113.80:443"


def told(tmp_path, story, points=NAMES):
    return story.play().result(tmp_path, points)


def kinds(result):
    return [f.kind for f in result.findings if f.kind in {"precursor", "no-precursor"}]


@pytest.mark.parametrize("together", [False, True], ids=["one after another", "all at once"])
def test_the_blocked_service_is_what_came_before(tmp_path, together):
    """Three agents, two servers, four fault times, three healthy agents: not this path, and nothing else stands out."""
    result = told(tmp_path, Story(together=together))
    (row,) = result.precursors.rows
    head = result.headline

    assert (head.network, head.domain) == ("no", "policy")
    assert head.statement.startswith(
        "this path: no; likely domain: policy or an unreachable service on another path. Nothing vanished on access"
    )
    assert f"3.0 s (3.0–3.0) before 12 of 12 failures: no answer from {TARGET}" in head.statement
    assert {(r.origin, r.side) for r in result.resets} == {("endpoint", "client")}
    assert len(result.bursts) == 12
    assert (row.event, row.target, row.exposed_cases, row.cases, row.exposed_controls, row.clients) == (
        "syn-unanswered", TARGET, 12, 12, 0, 3,
    )  # fmt: skip
    assert (row.verdict, row.lead_ns) == ("supported", 3 * S)
    assert row.p < 0.01
    assert kinds(result) == ["precursor"]
    assert head.because[0] == f"precursor-burst-syn-unanswered-{TARGET}"


@pytest.mark.parametrize(
    ("meets", "event", "target", "domain", "words"),
    [
        ("refusal", "syn-refused", TARGET, "policy", f"{TARGET} refused a connection"),
        ("prohibition", "icmp-prohibited", TARGET, "policy", f"a router said that {TARGET} is prohibited"),
        ("failing names", "dns-failure", "10.10.10.53", "name-service", "the name server 10.10.10.53 failed"),
        ("silent names", "dns-no-answer", "10.10.10.53", "name-service", "no answer from the name server 10.10.10.53"),
    ],
)
def test_whatever_a_call_meets_is_named(tmp_path, meets, event, target, domain, words):
    """One thing met is one precursor: an attempt that a router rejects is told by the error alone."""
    result = told(tmp_path, Story(meets=meets))

    assert [(r.event, r.target, r.verdict) for r in result.precursors.rows] == [(event, target, "supported")]
    assert (result.headline.network, result.headline.domain) == ("no", domain)
    assert words in result.headline.statement


def test_the_frame_of_an_attempt_stands_beside_the_sentence(tmp_path):
    result = told(tmp_path, Story(times=2))
    (finding,) = [f for f in result.findings if f.kind == "precursor"]
    first = finding.evidence[0]

    assert (first.point, first.filter) == ("line", "tcp.flags.syn==1 && ip.addr==192.168.0.1 && ip.addr==203.0.113.80")
    assert finding.would_change_it[0] == "a capture beyond line: host 203.0.113.80"


def test_without_the_policy_nothing_came_before(tmp_path):
    """The same calls are answered, and nothing crashes."""
    result = told(tmp_path, Story(blocked=False, crashes=False))

    assert (result.precursors.failures, result.precursors.rows, kinds(result)) == ((), (), [])
    assert (result.headline.network, result.headline.domain) == ("no", "unknown")


def test_crashes_for_another_reason_have_no_precursor(tmp_path):
    """The calls are answered, and yet the program dies: nothing is invented, and what would decide it is said."""
    result = told(tmp_path, Story(blocked=False))

    assert (result.precursors.rows, kinds(result)) == ((), ["no-precursor"])
    assert (result.headline.network, result.headline.domain) == ("no", "client")
    assert result.headline.statement == (
        "this path: no; nothing vanished on access ↔ gateway and all resets come from the clients; what came before is"
        " not visible from here: the clients themselves, or a path that no point covers."
    )


def test_healthy_agents_who_call_it_too_acquit_the_service(tmp_path):
    """All six call the blocked service; three crash at other times than that."""
    story = Story(crashes=False, failing=6).play()
    for k in range(3):
        story.crash(f"192.168.0.{k + 1}", (100 + 20 * k) * S, 4)
    result = story.result(tmp_path)

    assert not [r for r in result.precursors.rows if r.verdict == "supported"]
    assert result.headline.domain == "client"


def test_the_gateway_alone_knows_when_and_whose(tmp_path):
    """The call leaves by a local internet access: the clients' side, no loss, not visible, and what would decide it."""
    story = Story(breakout=True)
    result = told(tmp_path, story, ("gateway",))
    head = result.headline
    (finding,) = [f for f in result.findings if f.kind == "no-precursor"]

    assert (head.network, head.domain) == ("cannot-tell", "client")
    for part in ("clients' side of gateway", "no sign of loss on either side", "not visible from here"):
        assert part in head.statement
    assert not [f for f in result.findings if f.kind in {"loss", "outer", "precursor"}]
    for host in ("192.168.0.1", "192.168.0.2", "192.168.0.3"):
        assert f"{host} at 2023-11-14 22:" in finding.statement
    for part in ("TLS 1.3", "DoH", "a path that no point covers"):
        assert part in finding.statement
    assert head.would_decide_it[0].startswith("one capture on the client 192.168.0.")
    times = {(f.client, f.time_ns // 10**7) for f in result.precursors.failures}
    assert times == {(client, (at + 2 * 10**6) // 10**7) for client, at in story.crashed}


def test_two_crashes_point_to_the_service_and_prove_nothing(tmp_path):
    """Listed with counts; the headline follows, and says that it is not proved."""
    result = told(tmp_path, Story(failing=2, times=1, lasts=100))
    (row,) = result.precursors.rows
    (finding,) = [f for f in result.findings if f.kind == "precursor"]

    assert (row.exposed_cases, row.cases, row.verdict, row.too_few) == (2, 2, "not-proved", True)
    assert "Too few cases (2) to tell it from chance: listed, not proved" in finding.statement
    assert (result.headline.network, result.headline.domain) == ("no", "policy")
    assert "not proved: too few cases" in result.headline.statement


def test_one_crash_points_nowhere(tmp_path):
    result = told(tmp_path, Story(failing=1, times=1, lasts=100))

    assert result.headline.domain == "client"
    assert kinds(result) == ["precursor", "no-precursor"]


def test_what_is_found_stands_in_the_files(tmp_path):
    result = told(tmp_path, Story())
    document = json.loads(json.dumps(result_document(result, version="0", generated_ns=START)))
    (row,) = document["precursors"]

    assert {"event", "target", "cases", "exposed_cases", "controls", "exposed_controls", "p", "q", "lead_ns"} < set(row)
    assert (row["odds_ratio"]["low"] > 1, row["verdict"], len(document["failures"])) == (True, "supported", 12)
    assert "IS IT THE NETWORK?   This path: no; likely domain: policy" in render(result)


def test_a_server_that_serves_others_here_refused_by_itself(tmp_path):
    """The refused port is one of a host that answers on this path: no policy is suspected."""
    story = Story(meets="refusal")
    story.public = ("10.10.10.3", 8443)
    result = told(tmp_path, story)

    assert (result.headline.network, result.headline.domain) == ("no", "server")
    assert "likely domain: a server on it that refuses connections" in result.headline.statement
