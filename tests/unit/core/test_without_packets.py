"""Captures that hold nothing: an answer, never a crash, never an accusation."""

from __future__ import annotations

import itertools

import pytest

from tests.support.offline import analyse_files
from tests.support.wire import Packet, write_pcap

ONE = Packet("192.0.2.1", "192.0.2.2", 1000, 80, ip_id=5, payload=b"x" * 20).bytes()


@pytest.mark.parametrize("filled", list(itertools.product((False, True), repeat=3))[:-1])
def test_empty_captures_accuse_nobody(tmp_path, filled):
    """Any of three points may have captured nothing."""
    points = {
        name: write_pcap(tmp_path / f"{name}.pcap", [(10**18, ONE)] if has else [])
        for name, has in zip("abc", filled, strict=True)
    }

    result = analyse_files(tmp_path, points)

    assert result.vanished == ()
    assert result.headline.network == "cannot-tell"


def test_nothing_at_all_is_said_as_that(tmp_path):
    """Several points, no packet: the answer does not speak of one point alone."""
    points = {name: write_pcap(tmp_path / f"{name}.pcap", []) for name in "ab"}

    result = analyse_files(tmp_path, points)

    assert result.headline.statement == "no packet was seen at two points, so the path was not measured."
