"""The journal: what was written stays as it was, or shows that it did not."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.archive.journal import Journal


@pytest.fixture
def journal(tmp_path):
    """A journal of three lines."""
    written = Journal(tmp_path / "journal.jsonl")
    for number in range(3):
        written.append("event", number=number)
    return written


def test_lines_follow_from_one_another(journal):
    """Each holds the hash of the one before."""
    assert journal.find_break() is None
    assert [line["number"] for line in journal.read()] == [0, 1, 2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_changed_byte_but_in_the_last_line_shows(journal, data):
    """A flipped bit breaks the chain at the line behind it."""
    content = journal.path.read_bytes()
    last = content[:-1].rindex(b"\n")
    place = data.draw(st.integers(0, last - 1))
    bit = data.draw(st.integers(0, 7))
    journal.path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
    try:
        assert journal.find_break() is not None
    finally:
        journal.path.write_bytes(content)


def test_a_missing_line_shows(journal):
    """So does a line cut by a crash."""
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + lines[2])
    assert journal.find_break() == 2
    journal.path.write_bytes(lines[0] + lines[1][:-5])
    assert journal.find_break() == 2


def test_two_writers_do_not_break_the_chain(journal):
    """The orchestrator and a command in another shell may write at once."""
    others = [Journal(journal.path) for _ in range(4)]
    threads = [threading.Thread(target=lambda j=j: [j.append("more") for _ in range(20)]) for j in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.find_break() is None
    assert len(journal.read()) == 83
