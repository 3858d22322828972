from __future__ import annotations

from dataclasses import replace

from orchestrator.core.analyses.reset_causes import Signs, name_cause

SIGNS = Signs(
    origin="endpoint", family="active", ttl=64, answers_syn=False, finished=False, data_after_fin=0, sent_after=0
)


def cause(**changes: object) -> str:
    return name_cause(replace(SIGNS, **changes)).name


def test_a_closed_port_is_named_only_where_no_router_lies_between() -> None:
    assert cause(answers_syn=True) == "closed-port"
    assert cause(answers_syn=True, ttl=62) == "connection-refused"
    assert cause(answers_syn=True, origin="unknown") == "connection-refused"
    assert cause(answers_syn=True, origin="network", ttl=62) == "firewall-reject"


def test_an_abort_has_a_live_socket_and_no_fin() -> None:
    assert cause() == "application-abort"
    assert cause(finished=True) == "unknown"
    assert cause(family="unknown") == "unknown"


def test_no_host_is_named_that_goes_on_sending_after_its_reset() -> None:
    found = name_cause(replace(SIGNS, sent_after=3))
    assert found.name == "unknown"
    assert "3 more packets" in found.against[0]
    assert cause(sent_after=3, origin="network") == "made-in-the-network"


def test_data_after_close_needs_the_fin_and_the_data() -> None:
    assert cause(family="stateless", finished=True, data_after_fin=1) == "data-after-close"
    assert cause(family="stateless", finished=True) == "unknown"
    assert cause(family="stateless", data_after_fin=1) == "unknown"


def test_an_answer_that_names_nobody_says_what_would_decide() -> None:
    assert name_cause(replace(SIGNS, origin="unknown")).would_decide


def test_a_closed_port_says_that_a_device_next_to_the_point_looks_alike() -> None:
    found = name_cause(replace(SIGNS, answers_syn=True))
    assert "a device that rejects" in found.against[0]
    assert found.would_decide
