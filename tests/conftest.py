"""What this machine and user cannot run is skipped, and said."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items):
    """Skip what only root may do."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="NOT ROOT: namespaces and sshd are NOT tested"))
