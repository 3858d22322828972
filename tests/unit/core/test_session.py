"""The session's rules under every order in which hosts may answer."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from orchestrator.core.session import (
    Armed,
    ArmFailed,
    ArmPoints,
    ArmTimeout,
    CaptureSession,
    CloseWindow,
    Collected,
    CollectPoint,
    Finish,
    OpenWindow,
    PostRollOver,
    Start,
    StopAsked,
    Stopped,
    StopPoints,
    WindowOver,
)

POINTS = ("a", "b", "c", "d")
point = st.sampled_from((*POINTS, "stranger"))
events = st.lists(
    st.one_of(
        st.builds(Armed, point),
        st.builds(ArmFailed, point),
        st.builds(Stopped, point),
        st.builds(Collected, point),
        st.sampled_from((Start(), ArmTimeout(), WindowOver(), StopAsked(), StopAsked(interrupt=True), PostRollOver())),
    ),
    max_size=40,
)
sessions = st.builds(
    CaptureSession, points=st.just(frozenset(POINTS)), required=st.frozensets(st.sampled_from(POINTS), max_size=2),
    min_points=st.integers(1, 4),
)  # fmt: skip


@settings(max_examples=1500)
@given(session=sessions, told=events)
def test_no_order_of_events_breaks_a_rule(session, told):
    """At most one window; none without the required points; each point is armed, stopped and collected at most once."""
    given_out = []
    armed_before = set()
    for event in [Start(), *told]:
        if isinstance(event, Armed):
            armed_before.add(event.point)
        for instruction in session.handle(event):
            given_out.append(instruction)
            if isinstance(instruction, OpenWindow):
                assert session.required <= instruction.points <= armed_before
                assert len(instruction.points) >= session.min_points

    stops = [p for i in given_out if isinstance(i, StopPoints) for p in i.points]
    fetched = [i.point for i in given_out if isinstance(i, CollectPoint)]
    for kind in (ArmPoints, OpenWindow, CloseWindow, Finish):
        assert sum(isinstance(i, kind) for i in given_out) <= 1
    assert len(stops) == len(set(stops))
    assert len(fetched) == len(set(fetched))
    assert set(fetched) <= set(stops) <= armed_before & set(POINTS)


@given(session=sessions, told=events)
def test_every_session_ends_and_leaves_no_point_capturing(session, told):
    """Whatever came before: when time is up and hosts answer, all that was armed has been told to stop, and it ends."""
    given_out = []
    armed = set()
    for event in [Start(), *told]:
        if isinstance(event, Armed) and event.point in POINTS:
            armed.add(event.point)
        given_out += session.handle(event)
    for event in (ArmTimeout(), WindowOver(), PostRollOver()):
        given_out += session.handle(event)
    for name in POINTS:
        given_out += session.handle(Stopped(name))
        given_out += session.handle(Collected(name))

    stopped = {p for i in given_out if isinstance(i, StopPoints) for p in i.points}
    assert session.phase == "ended"
    assert armed == stopped


def test_nine_of_ten_points_make_a_run():
    """A point that fails to arm does not hold the others up."""
    session = CaptureSession(points=frozenset({"a", "b"}), min_points=1)
    session.handle(Start())
    session.handle(ArmFailed("a"))

    assert session.handle(Armed("b")) == [OpenWindow(frozenset({"b"}))]


def test_a_required_point_that_fails_stops_what_is_armed_and_says_why():
    """No window opens; the reason names the point."""
    session = CaptureSession(points=frozenset({"a", "b"}), required=frozenset({"a"}))
    session.handle(Start())
    session.handle(Armed("b"))

    assert session.handle(ArmFailed("a")) == [StopPoints(frozenset({"b"}))]
    session.handle(Stopped("b"))
    assert session.handle(Collected("b")) == [Finish("a cannot capture and is required")]


def test_a_point_armed_after_the_end_is_stopped():
    """A host that answers late must not go on capturing."""
    session = CaptureSession(points=frozenset({"a", "b"}), min_points=2)
    session.handle(Start())
    session.handle(ArmFailed("a"))
    assert session.phase == "ended"

    assert session.handle(Armed("b")) == [StopPoints(frozenset({"b"}))]
