from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.analyses.reset_causes import WIDER, Company, name_cause
from orchestrator.core.analyses.reset_signs import Signs

SOCKET = Signs(ttl=64, family="active", in_place=True, talked=True)
NO_SOCKET = Signs(ttl=64, family="stateless", answers="data", trigger=1, talked=True)
SYN = Signs(ttl=64, family="stateless", answers="syn", trigger=1)
SECOND = 10**9


def cause(signs, origin="endpoint", side="client", company=None, **changes):
    return name_cause(replace(signs, **changes), origin, side, company or Company()).name


def test_a_closed_port_is_named_only_where_no_router_lies_between():
    assert cause(SYN) == "closed-port"
    assert cause(SYN, ttl=62) == "connection-refused"
    assert cause(SYN, "unknown") == "connection-refused"


def test_a_refusal_on_the_way_is_a_filters_unless_the_syn_went_on():
    assert cause(SYN, "network", ttl=62) == "firewall-reject"
    assert cause(SYN, "network", company=Company(trigger_passed=False)) == "firewall-reject"
    assert cause(SYN, "network", company=Company(trigger_passed=True)) == "injected"


def test_an_abort_has_a_live_socket_and_no_fin():
    assert cause(SOCKET) == "application-abort"
    assert cause(SOCKET, finished=True) == "unknown"
    assert cause(SOCKET, family="unknown") == "unknown"


def test_only_the_window_tells_unread_data_from_an_abort():
    assert cause(SOCKET, unread=3000, held=3000) == "unread-data"
    assert cause(SOCKET, unread=3000, held=0) == "application-abort"
    found = name_cause(replace(SOCKET, unread=5), "endpoint", "client")
    assert found.name == "application-abort"
    assert "5 bytes" in found.against[0]


def test_probes_that_nobody_answered_come_before_a_keepalive_failure():
    assert cause(SOCKET, probes=3, probe_ns=SECOND) == "keepalive-failure"


def test_a_client_that_leaves_before_anything_was_said():
    assert cause(SOCKET, talked=False) == "client-abort"
    assert cause(SOCKET, talked=False, side="server") == "application-abort"
    assert cause(NO_SOCKET, answers="synack", talked=False) == "client-abort"


def test_no_host_is_named_that_goes_on_sending_after_its_reset():
    found = name_cause(replace(SOCKET, sent_after=3), "endpoint", "client")
    assert found.name == "unknown"
    assert "3 more packets" in found.against[0]
    assert cause(SOCKET, "network", sent_after=3) == "injected"


def test_data_after_close_needs_the_end_and_the_data():
    assert cause(NO_SOCKET, finished=True, data_after_end=1) == "data-after-close"
    assert cause(NO_SOCKET, reset_before=1, data_after_end=1) == "data-after-close"
    assert cause(NO_SOCKET, finished=True) == "unknown"
    assert cause(NO_SOCKET, data_after_end=1) == "half-open"


def test_a_lost_state_is_the_hosts_only_where_no_router_lies_between():
    assert cause(NO_SOCKET) == "half-open"
    assert cause(NO_SOCKET, answers="ack") == "half-open"
    assert cause(NO_SOCKET, ttl=61) == "state-lost"
    assert "half-open" in WIDER["state-lost"]


def test_a_challenge_is_told_from_a_lost_state():
    assert cause(NO_SOCKET, answers="ack", challenged=True) == "challenge-ack"


def test_three_clients_that_wait_alike_gave_up_waiting():
    waited = {"asked_ns": 3 * SECOND}
    assert cause(SOCKET, company=Company(waits_alike=3), **waited) == "gave-up-waiting"
    assert cause(SOCKET, company=Company(waits_alike=2), **waited) == "application-abort"
    found = name_cause(replace(SOCKET, **waited), "endpoint", "client")
    assert any("3.00 s" in s for s in found.supports)


def test_a_proxy_whose_backend_failed():
    assert cause(SOCKET, side="server", company=Company(behind="its own connection …")) == "backend-failure"


@pytest.mark.parametrize(
    ("passed", "name"), [(False, "policy-kill"), (True, "injected"), (None, "made-in-the-network")]
)
def test_what_is_cut_on_the_way_is_told_by_the_fate_of_its_trigger(passed, name):
    assert cause(NO_SOCKET, "network", company=Company(trigger_passed=passed)) == name


IDLE = {"silence_ns": 5 * SECOND, "since_silence": 1}
KILLED = Company(killed=3, survived=9, longest_survived_ns=2 * SECOND, shortest_killed_ns=4 * SECOND)


def test_an_idle_timeout_needs_silences_of_both_kinds():
    assert cause(NO_SOCKET, "network", company=KILLED, **IDLE) == "idle-timeout"
    few = replace(KILLED, killed=2, trigger_passed=False)
    assert cause(NO_SOCKET, "network", company=few, **IDLE) == "made-in-the-network"
    assert cause(NO_SOCKET, "network", company=replace(KILLED, survived=2), **IDLE) == "made-in-the-network"


def test_both_ends_reset_out_of_a_silence_are_an_idle_timeout_unless_longer_ones_lived():
    out_of_silence = {"silence_ns": 5 * SECOND, "since_silence": 0}
    both = Company(both_ends=True, longest_survived_ns=2 * SECOND)
    assert cause(NO_SOCKET, "network", company=both, **out_of_silence) == "idle-timeout"
    lived = replace(both, longest_survived_ns=60 * SECOND)
    assert cause(NO_SOCKET, "network", company=lived, **out_of_silence) == "made-in-the-network"


def test_a_lost_table_cuts_many_and_lets_new_ones_through():
    struck = Company(struck=4, reopened=True)
    assert cause(NO_SOCKET, "network", company=struck) == "nat-state-loss"
    assert cause(NO_SOCKET, "network", company=replace(struck, reopened=False)) == "made-in-the-network"
    assert cause(NO_SOCKET, "network", company=replace(struck, struck=1)) == "made-in-the-network"


@pytest.mark.parametrize("signs", [SOCKET, NO_SOCKET, SYN])
@pytest.mark.parametrize("origin", ["unknown", "network"])
def test_an_answer_that_names_nobody_says_what_would_decide(signs, origin):
    assert name_cause(signs, origin, "client").would_decide


def test_a_closed_port_says_that_a_device_next_to_the_point_looks_alike():
    found = name_cause(SYN, "endpoint", "server")
    assert "a device that rejects" in found.against[0]
    assert found.would_decide
