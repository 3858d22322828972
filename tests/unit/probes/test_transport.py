"""Quoting through a real shell, and the local transport."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from probes.errors import SpecError, TimeLimitError, ToolMissingError, TransferError, UnreachableError
from probes.local import LocalTransport
from probes.transport import quote, tail_argv

words = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=60)
@given(words)
def test_a_real_shell_reads_back_what_was_quoted(argv):
    """Each word arrives as it was, and there are as many."""
    line = quote(["printf", r"%s\0", *argv])

    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True)

    assert done.stdout == b"".join(word.encode() + b"\0" for word in argv)


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["\ud800"]], ids=["empty", "nul", "surrogate"])
def test_what_no_command_line_can_carry_is_refused(argv):
    """Before anything is sent."""
    with pytest.raises(SpecError):
        quote(argv)


def test_a_local_command_runs_with_input():
    """Exit code, both outputs and input."""
    done = LocalTransport().run(["sh", "-c", "cat; echo no >&2; exit 4"], stdin=b"yes")

    assert (done.exit_code, done.text, done.error_text) == (4, "yes", "no\n")


def test_a_local_command_meets_its_deadline_with_its_children():
    """A shell's child would otherwise hold the pipe open."""
    with pytest.raises(TimeLimitError):
        LocalTransport().run(["sh", "-c", "sleep 20; echo"], timeout_s=0.3)


def test_a_missing_program_is_told():
    """By name."""
    with pytest.raises(ToolMissingError, match="no-such-program"):
        LocalTransport().run(["no-such-program"])


def test_a_prefix_goes_in_front():
    """For namespaces."""
    transport = LocalTransport(prefix=("env", "COLOUR=red"))

    assert transport.run(["sh", "-c", "echo $COLOUR"]).text == "red\n"


def test_a_local_dialogue_answers_line_by_line():
    """And says when it has ended."""
    dialogue = LocalTransport().open_dialogue(["sh", "-c", 'read -r a; echo "<$a>"; echo two; read -r b; exit'])
    dialogue.send_line("one")

    assert dialogue.read_line(5) == "<one>"
    assert dialogue.read_line(5) == "two"
    dialogue.send_line("x")
    with pytest.raises(UnreachableError):
        dialogue.read_line(5)
    dialogue.close()


def test_a_silent_dialogue_meets_the_deadline():
    """Nobody waits for ever."""
    dialogue = LocalTransport().open_dialogue(["sleep", "20"])

    with pytest.raises(TimeLimitError):
        dialogue.read_line(0.2)
    dialogue.close()


@pytest.mark.parametrize("offset", [0, 1, 9999, 10_000])
def test_a_local_file_is_read_from_an_offset(tmp_path, offset):
    """The offset counts from 0."""
    data = bytes(range(250)) * 40
    (tmp_path / "file").write_bytes(data)
    read = bytearray()

    count = LocalTransport().read_file(str(tmp_path / "file"), offset, read.extend)

    assert (bytes(read), count) == (data[offset:], len(data) - offset)


def test_a_missing_local_file_is_a_transfer_error(tmp_path):
    """Not an empty one."""
    with pytest.raises(TransferError):
        LocalTransport().read_file(str(tmp_path / "none"), 0, lambda _: None)


def test_tail_starts_at_the_byte_after_the_offset():
    """POSIX tail counts from 1."""
    assert tail_argv("/a", 5) == ["tail", "-c", "+6", "/a"]
    assert tail_argv("/a", 0) == ["cat", "/a"]


def test_importing_the_rest_does_not_import_paramiko():
    """It costs 0.1 s and only ssh.py needs it."""
    modules = "probes.capture, probes.preflight, probes.clock, probes.local, probes.replay"
    code = f"import sys, {modules}; print('paramiko' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
