"""Which precursor is the likely one, and where it says to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.precursor import Met, Precursor, Precursors

FEWEST_ALIKE = 2
"""Failures that must all have met it where too few, or nothing to compare with, prove nothing."""
POLICY: frozenset[Met] = frozenset(("syn-unanswered", "syn-refused", "icmp-prohibited", "icmp-unreachable"))
NAME_SERVICE: frozenset[Met] = frozenset(("dns-failure", "dns-no-answer", "dns-slow"))


def likely(precursors: Precursors) -> Precursor | None:
    """Return what most likely has to do with the failures; None where nothing stands out.

    That is the best supported one; where there is none, for want of cases or of windows to compare with, what came
    before every one of them and before no control, if nothing that says to look elsewhere did as well.
    """
    supported = [r for r in precursors.rows if r.verdict == "supported"]
    if supported:
        return min(supported, key=lambda r: (not domain_of(r), r.p, -r.exposed_cases, r.event, r.target or ""))
    always = [r for r in precursors.rows if came_always(r)]
    pointing = [r for r in always if domain_of(r)]
    return pointing[0] if len({domain_of(r) for r in pointing}) == 1 else None


def came_always(row: Precursor) -> bool:
    """Say whether it came before all failures, and nobody met it in this run without one."""
    always = row.exposed_cases == row.cases >= FEWEST_ALIKE
    return always and not (row.exposed_controls or row.unfollowed or row.confounded)


def domain_of(row: Precursor) -> str:
    """Return the domain of the headline that *row* speaks for, empty where it speaks for none."""
    return "policy" if row.event in POLICY else "name-service" if row.event in NAME_SERVICE else ""
