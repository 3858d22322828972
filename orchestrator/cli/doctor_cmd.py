"""`vanishpoint doctor`: GO or NO-GO for every point of a playbook, with the cure of each NO."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import print_json, print_lines, table
from orchestrator.cli.plan_cmd import read_overrides

if TYPE_CHECKING:
    from orchestrator.model.plan import PointPlan

NO_GO = 3
AT_ONCE = 32


@click.command("doctor")
@click.argument("playbook", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, callback=read_overrides, metavar="KEY=VALUE", help="Change a key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(playbook: Path, overrides: dict[str, str], *, as_json: bool) -> int:
    """Ask every host of PLAYBOOK whether it could capture now; changes nothing there. Exit 3 when one cannot.

    Example: vanishpoint doctor playbooks/call-centre-rst.yaml
    """
    from orchestrator.config.playbook import load_both
    from orchestrator.core.plan import plan_capture

    plan = plan_capture(*load_both(playbook, overrides))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(_ask, plan.points))
    if as_json:
        print_json({"go": all(a["go"] for a in answers), "points": answers})
    else:
        print_lines(_text(answers))
    return 0 if all(a["go"] for a in answers) else NO_GO


def _ask(plan: PointPlan) -> dict[str, Any]:
    """Return what preflight finds at one point; a host that cannot be reached is an answer."""
    from orchestrator.capture.steps import login_of, spec_of
    from probes import preflight
    from probes.errors import ProbeError
    from probes.ssh import connect

    answer: dict[str, Any] = {"point": plan.point, "node": plan.node, "interface": plan.interface}
    try:
        transport = connect(login_of(plan.ssh))
        try:
            found = preflight.check(transport, spec_of("doctor", plan))
        finally:
            transport.close()
    except ProbeError as error:
        reason = {"code": error.code, "severity": "no-go", "message": str(error), "cure": error.hint}
        return {**answer, "go": False, "reasons": [reason], "facts": {}}
    reasons = [{"code": r.code, "severity": r.severity, "message": r.message, "cure": r.cure} for r in found.reasons]
    return {**answer, "go": found.go, "reasons": reasons, "facts": dict(found.facts)}


def _text(answers: list[dict[str, Any]]) -> list[str]:
    rows = [("point", "where", "", "worst finding")]
    for answer in answers:
        reasons = sorted(answer["reasons"], key=lambda r: ("no-go", "warning", "info").index(r["severity"]))
        worst = reasons[0]["message"] if reasons and reasons[0]["severity"] != "info" else ""
        rows.append(
            (answer["point"], f"{answer['node']}:{answer['interface']}", "GO" if answer["go"] else "NO-GO", worst)
        )
    lines = table(rows)
    for answer in answers:
        lines += [
            f"{answer['point']}: {r['message']}\n    cure: {r['cure']}".replace("\n", " ")
            for r in answer["reasons"]
            if r["severity"] == "no-go"
        ]
    return lines
