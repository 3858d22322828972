"""Every file of the reference captures is read, and as tshark reads it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.pcap.reader import read_capture
from tests.support.corpus import corpus_files, needs_corpus, needs_tshark, tshark

pytestmark = [pytest.mark.data, needs_corpus]

CUSTOM = [f"test{number}{order}.pcapng" for number in ("017", "018", "102", "202") for order in ("", "-be", "-le")]
"""tshark numbers custom blocks like packets; they are none."""
ATM = {"atm-heapoverflow.pcap", "atm-oam-heapoverflow.pcap", "atm-oam-loopback-print-overrun.pcap"}
"""tshark takes the four bytes of a pseudo-header off the frame, and one of the files for another format."""
FRACTION_BEYOND_A_SECOND = {"rx_serviceid_oobr.pcap", "timestamp_invalid_micro.pcap", "timestamp_invalid_nano.pcap"}
"""tshark keeps the fraction in 32 bits with a sign, whatever it is."""


def test_every_file_is_read():
    """No file is refused, whatever is wrong with it; defects are single lines."""
    lines = [line for path in corpus_files() for line in read_capture(path)[1].defects]
    assert len(corpus_files()) > 1_000
    assert [line for line in lines if "\n" in line or len(line) > 120] == []


@pytest.mark.nightly
@needs_tshark
def test_counts_times_and_lengths_agree_with_tshark():
    """Wherever tshark reads a file to its end, we read the same packets, at the same nanosecond."""
    files = corpus_files()
    with ThreadPoolExecutor(2) as pool:
        oracle = list(pool.map(as_tshark_reads, files))

    different = {
        path.name
        for path, (status, want) in zip(files, oracle, strict=True)
        if not status and as_read(path, want) != want
    }

    assert sum(not status for status, _ in oracle) > 1_000
    assert different.difference(CUSTOM) == ATM | FRACTION_BEYOND_A_SECOND


def as_tshark_reads(path):
    """Return (exit code of tshark, (time, bytes kept, bytes on the wire) of all packets; time None without one)."""
    status, rows = tshark(path, "-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len")
    return status, [(time_ns(time), int(kept), int(wire)) for time, kept, wire in rows]


def as_read(path, want):
    """Return the same as we read it; no time where tshark says that there is none."""
    packets, _ = read_capture(path)
    timed = [time is not None for time, _, _ in want] + [True] * len(packets)
    columns = (packets.time_ns.tolist(), packets.caplen.tolist(), packets.wirelen.tolist())
    return [(time if known else None, kept, wire) for time, kept, wire, known in zip(*columns, timed, strict=False)]


def time_ns(text):
    if not text:
        return None
    whole, _, fraction = text.lstrip("-").partition(".")
    value = int(whole) * 10**9 + int(fraction.ljust(9, "0"))
    return -value if text.startswith("-") else value
