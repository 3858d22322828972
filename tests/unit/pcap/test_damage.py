"""Any bytes of any capture may be wrong: there are rows, or a sentence; never a crash, a hang, or much memory."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.errors import CaptureFileError
from orchestrator.pcap.reader import read_capture
from tests.support.corpus import corpus_files, needs_corpus
from tests.support.mutations import damaged, samples
from tests.support.offline import analyse_files
from tests.support.wire import write_pcap

MOST_MEMORY = 160 << 20
"""Bytes: a table's first rows and one enlarged buffer for the longest record that is believed."""
LONGEST_S = 20.0
SMALL = 20_000
SAMPLES = samples()
common = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory):
    """Compile the kernels before anything is measured."""
    path = tmp_path_factory.mktemp("whole") / "a"
    for sample in SAMPLES:
        path.write_bytes(sample)
        read_capture(path)


def survives(path, content):
    """Read *content*; it must end soon, and take little memory."""
    path.write_bytes(content)
    started = time.monotonic()
    tracemalloc.start()
    try:
        said = said_of(path)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert all(line and "\n" not in line for line in said)
    assert peak < MOST_MEMORY
    assert time.monotonic() - started < LONGEST_S


def said_of(path):
    try:
        return read_capture(path)[1].defects
    except CaptureFileError as error:
        return [str(error), error.hint]


@settings(common, max_examples=1_000)
@given(data=st.data())
def test_damage_anywhere_never_crashes_the_reader(tmp_path, data):
    """Flipped, inserted, deleted, cut, repeated and spliced bytes, lengths of 4 GiB among them."""
    survives(tmp_path / "a", data.draw(damaged(*draw_two(data, SAMPLES))))


@settings(common, max_examples=100)
@given(data=st.data())
def test_damage_anywhere_never_crashes_the_analysis(tmp_path_factory, data):
    """From the damaged bytes of two points to the written answer."""
    analyses(tmp_path_factory.mktemp("damaged"), data)


@pytest.mark.nightly
@pytest.mark.timeout(3_000)
@pytest.mark.data
@needs_corpus
@settings(common, max_examples=5_000)
@given(data=st.data())
def test_damage_to_real_captures_never_crashes_the_reader(tmp_path, data):
    """Thousands of cases: protocols that nobody here thought of."""
    contents = [path.read_bytes() for path in corpus_files() if path.stat().st_size < SMALL]
    survives(tmp_path / "a", data.draw(damaged(*draw_two(data, contents))))


@pytest.mark.nightly
@pytest.mark.timeout(3_000)
@settings(common, max_examples=2_000)
@given(data=st.data())
def test_much_damage_never_crashes_the_analysis(tmp_path_factory, data):
    """The same as in every test run, for longer."""
    analyses(tmp_path_factory.mktemp("damaged"), data)


def draw_two(data, contents):
    return data.draw(st.sampled_from(contents)), data.draw(st.sampled_from(contents))


def analyses(folder, data):
    """Analyse a damaged and a whole capture, or two damaged ones."""
    files = {}
    for name in ("near", "far"):
        content, other = draw_two(data, SAMPLES)
        files[name] = folder / name
        files[name].write_bytes(data.draw(damaged(content, other)) if data.draw(st.booleans()) else content)
    started = time.monotonic()
    with suppress(CaptureFileError):  # neither file is a capture any more
        result = analyse_files(folder, files)
        assert len(result.points) + len(result.absent) == len(files)
    assert time.monotonic() - started < LONGEST_S


def test_two_captures_without_any_ip_are_an_answer(tmp_path):
    """Nothing can be matched; nothing is lost or made up."""
    result = analyse_files(
        tmp_path, {name: write_pcap(tmp_path / name, [(k, b"no IP") for k in range(3)]) for name in ("near", "far")}
    )
    assert [p.packets for p in result.points] == [3, 3]
    assert result.vanished == ()
