"""What the README tells a newcomer to type is what works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.cli.main import COMMANDS
from orchestrator.config.playbook import load_both
from orchestrator.core.plan import plan_capture

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = [README, (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")]


def test_the_first_inventory_and_playbook_are_planned_as_they_stand(tmp_path):
    """Four points, each with a filter."""
    inventory, playbook = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "inventory.yaml").write_text(inventory)
    (tmp_path / "playbook.yaml").write_text(playbook)

    plan = plan_capture(*load_both(tmp_path / "playbook.yaml", {}))

    assert [p.point for p in plan.points] == ["client", "gw-in", "gw-out", "server"]
    assert all("443" in p.filter for p in plan.points)
    assert plan.paths[0].points == ("client", "gw-in", "gw-out", "server")


def test_the_first_inventory_has_ten_lines():
    """As promised."""
    inventory = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]

    assert len(inventory.splitlines()) <= 10


@pytest.mark.parametrize("page", PAGES, ids=["README", "CONTRIBUTING"])
def test_every_command_named_exists(page):
    """No page names a command that is not there."""
    named = set(re.findall(r"^(?:\S*/)?vanishpoint ([a-z]+)", page, re.MULTILINE))

    assert named <= set(COMMANDS)


def test_files_named_exist():
    """Links and paths of the README lead somewhere."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (REPOSITORY / target).exists(), target
    for path in re.findall(r"`((?:orchestrator|probes|playbooks|inventory)/[\w./-]*)`", README):
        assert (REPOSITORY / path).exists(), path
