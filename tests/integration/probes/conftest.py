"""Hosts, connections and traffic for the probe tests."""

from __future__ import annotations

import itertools
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from probes.local import LocalTransport
from probes.spec import CaptureSpec
from probes.ssh import connect
from tests.sshd_fixture import missing, running_host

if TYPE_CHECKING:
    from pathlib import Path

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """One capture host for the whole session."""
    if lacking := missing():
        pytest.skip(f"NO CAPTURE HOST, captures over SSH are NOT tested; missing: {', '.join(lacking)}")
    with running_host(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture
def root(host):
    """A connection of root."""
    with_connection = connect(host.login())
    yield with_connection
    with_connection.close()


@pytest.fixture
def local():
    """This machine, as root."""
    if lacking := missing():
        pytest.skip(f"NO CAPTURE, captures on this machine are NOT tested; missing: {', '.join(lacking)}")
    return LocalTransport()


@pytest.fixture
def spec():
    """A builder of specs, each with a run id and a port of its own."""

    def build(**changes):
        number = next(_serial)
        port = 40_000 + os.getpid() % 1000 * 10 + number % 10
        fields = {
            "run_id": f"test-{os.getpid()}-{number}",
            "point": "point-1",
            "interface": "lo",
            "filter": f"udp port {port}",
            "snaplen": 160,
            "buffer_kib": 2048,
            "max_seconds": 60,
            "lease_seconds": 20,
            "min_free_kib": 256,
            "max_file_kib": 100_000,
        }
        return CaptureSpec(**{**fields, **changes})

    return build


def port_of(spec):
    """Return the port that the filter of *spec* lets through."""
    return int(spec.filter.split()[-1])


def send(spec, count, size=50):
    """Send *count* datagrams that the filter of *spec* lets through."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(bytes(size), ("127.0.0.1", port_of(spec)))


def count_records(path: Path) -> int:
    """Return the number of whole records in a nanosecond capture file."""
    data = path.read_bytes()
    assert struct.unpack_from("<I", data)[0] == 0xA1B23C4D
    position = count = 0
    position = 24
    while position + 16 <= len(data):
        position += 16 + struct.unpack_from("<I", data, position + 8)[0]
        count += position <= len(data)
    return count
