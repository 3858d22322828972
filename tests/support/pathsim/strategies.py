"""Cases for hypothesis: every edit can be turned off alone, so that a failure shrinks to the edit that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.support.pathsim.cases import Case, Devices, Point, Traffic
from tests.support.pathsim.taps import Clock
from tests.support.pathsim.tcp import Stack

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

LOSSES = (0.0, 0.005, 0.02, 0.08, 0.2)
OFFSETS_NS = (0, 37_123_000, -1_250_500_000, 7_250_000_000, 3_600_000_000_000)
STEPS_NS = (80_000, -5_000_000, 20_000_000)
SHELLS = (
    "ethernet", "vlan", "qinq", "mpls", "pppoe", "cooked", "raw", "vxlan", "geneve", "gre", "ipip", "erspan",
)  # fmt: skip
MISSES = ((0.0, False), (0.0, True), (0.01, True), (0.1, True), (0.28, True))
SILENT_MISSES = ((0.1, False), (0.28, False))
"""Without a counter, only a point whose neighbours show it: the outermost must report (docs/limits.md)."""


def clocks() -> SearchStrategy[Clock]:
    """Return clocks hours apart, with drift, now and then set while they run."""
    steady = st.builds(Clock, st.sampled_from(OFFSETS_NS), st.sampled_from((0, 12, -200, 300)))
    stepped = st.builds(
        Clock,
        st.sampled_from(OFFSETS_NS),
        st.sampled_from((0, 12)),
        st.integers(10**7, 10**9),
        st.sampled_from(STEPS_NS),
    )
    return st.one_of(steady, steady, steady, stepped)


def stacks() -> SearchStrategy[Stack]:
    """Return hosts with all kinds of identifications."""
    return st.builds(
        Stack, st.sampled_from(("counter", "counter", "zero", "global", "random")), st.booleans(),
        st.sampled_from((1448, 536)), st.sampled_from((4, 10, 30)), st.booleans(),
    )  # fmt: skip


def traffic() -> SearchStrategy[Traffic]:
    """Return a mix of connections and datagrams."""
    return st.builds(
        Traffic, st.integers(0, 3), st.integers(1, 7), st.sampled_from((500, 12_000, 60_000)),
        st.sampled_from(("fin", "reset", "none")), st.sampled_from((0, 60)), st.sampled_from((0, 25)),
        st.sampled_from((0, 30)), st.sampled_from((0, 20)), st.sampled_from((40, 40, 2000)),
        st.sampled_from((0, 0, 40)),
    )  # fmt: skip


def lines(points: int) -> SearchStrategy[tuple[int, ...]]:
    """Return what the lines take: mostly anything, else as much as the hosts send, or less on the way."""
    usual = (1500, *(0,) * (points - 1), 1500)
    return st.one_of(
        st.just(()), st.just(()), st.just(usual), st.tuples(*[st.sampled_from((0, 0, 1500, 1100, 576))] * (points + 1))
    )


@st.composite
def devices(draw: DrawFn, points: int) -> Devices:
    """Draw translators, balancers and the like between the points; most of them absent."""

    def somewhere() -> int | None:
        return draw(st.one_of(st.none(), st.none(), st.none(), st.none(), st.integers(1, points - 1)))

    mtu, cuts_tcp = draw(lines(points)), draw(st.sampled_from((False, False, True)))
    relay = somewhere()
    if relay is not None:  # it translates and numbers anew by itself
        return Devices(relay=relay, marks=somewhere(), mtu=mtu, cuts_tcp=cuts_tcp)
    return Devices(
        nat=somewhere(), second_nat=somewhere(), balancer=somewhere(), shifts_seq=somewhere(), syn_proxy=somewhere(),
        new_ids=somewhere(),
        marks=somewhere(), clamps=somewhere(),
        routers=draw(st.tuples(*[st.sampled_from((1, 1, 0, 2))] * 4)), mtu=mtu, cuts_tcp=cuts_tcp,
    )  # fmt: skip


@st.composite
def captures(draw: DrawFn, place: int, points: int) -> Point:
    """Draw how one point captures."""
    outermost = place in {0, points - 1}
    miss, reports = draw(st.sampled_from(MISSES if outermost else MISSES + SILENT_MISSES))
    if draw(st.integers(0, 7)):  # most captures miss nothing
        miss = 0.0
    return Point(
        clock=draw(clocks()), shell=draw(st.sampled_from(SHELLS)), snaplen=draw(st.sampled_from((262_144, 200, 128))),
        miss=miss, reports=reports, merges=draw(st.sampled_from(("", "", "tso", "gro", "both"))) if outermost else "",
        mirrored=draw(st.sampled_from(("", "", "", "", "", "", "copy", "both-ways"))),
        mirror_loses=draw(st.sampled_from((0.0, 0.0, 0.02, 0.1))),
    )  # fmt: skip


@st.composite
def cases(draw: DrawFn) -> Case:
    """Draw a whole case."""
    points = draw(st.integers(2, 4))
    loss = [draw(st.sampled_from(LOSSES)) for _ in range(points + 1)]
    return Case(
        seed=draw(st.integers(0, 2**32)), points=points, loss=tuple(loss),
        jitter_us=draw(st.sampled_from((5, 20, 100, 3000))), doubles=draw(st.sampled_from((0.0, 0.0, 0.02))),
        stack=draw(stacks()), devices=draw(devices(points)),
        captures=tuple(draw(captures(k, points)) for k in range(points)), traffic=draw(traffic()),
    )  # fmt: skip
