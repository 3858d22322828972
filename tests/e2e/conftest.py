"""One lab for the whole session; every test starts with a sound network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from lab.state import Place
from tests.support.lab_runs import REPOSITORY, Lab

NEEDED = ("ip", "nft", "tcpdump", "ssh-keygen", "unshare", "setpriv", "tshark", "gcc")


@pytest.fixture(scope="session")
def lab_place(tmp_path_factory):
    """A lab that is up, with names of its own."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or lacking:
        pytest.skip("NO LAB: " + ("it needs root" if os.geteuid() else f"{', '.join(lacking)} missing"))
    place = Place(f"vpt{os.getpid()}", tmp_path_factory.mktemp("lab"))
    try:
        control(place, "up")
        yield place
    finally:
        control(place, "down")


def control(place: Place, *arguments: str) -> None:
    """Carry out one command of the lab, as a user would."""
    argv = [sys.executable, "-m", "lab", "--prefix", place.prefix, "--dir", str(place.directory), *arguments]
    subprocess.run(argv, check=True, cwd=REPOSITORY)


@pytest.fixture
def lab(lab_place, tmp_path):
    """The lab without any fault."""
    ready = Lab(lab_place, tmp_path)
    ready.reset()
    yield ready
    ready.reset()
    assert ready.tcpdumps() == []
