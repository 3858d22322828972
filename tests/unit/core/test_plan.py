"""What a playbook becomes in a network: paths in order, addresses as each point sees them, limits, honest notes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from orchestrator.core.plan import plan_capture
from orchestrator.errors import PlaybookError
from orchestrator.model.playbook import Archive, Flow, Playbook, Ring, Trigger, Window
from orchestrator.model.topology import Interface, Link, Node, Path, Point, Port, Ssh, Topology, Translation

SSH = Ssh(host="10.99.0.1", user="u", known_hosts="/k")
SECOND_NS = 10**9


def network(chain, *, points, nodes=None, links=(), paths=()):
    """Return a topology of nodes in a row, ``a > b > c``, each with interfaces w(est) and e(ast)."""
    names = chain.split(" > ")
    described = {}
    for number, name in enumerate(names):
        role = {0: "client", len(names) - 1: "server"}.get(number, "router")
        addresses = {0: ("192.168.0.1",), len(names) - 1: ("10.0.0.2",)}.get(number, ())
        described[name] = Node(name=name, role=role, addresses=addresses, ssh=SSH)
    row = [Link(endpoints=(Interface(a, "e"), Interface(b, "w"))) for a, b in pairwise(names)]
    return Topology(
        name="t",
        nodes={**described, **(nodes or {})},
        links=(*row, *links),
        points={name: point(name, at) if isinstance(at, str) else at for name, at in points.items()},
        paths=tuple(paths),
    )


def ends(*texts):
    return tuple(Interface(*text.split(":")) for text in texts)


def point(name, at, **more):
    return Point(name=name, at=ends(*at.split()), **more)


def playbook(*flows, **more):
    more.setdefault("min_points", 1)
    flows = flows or (Flow(name="app", clients=("c",), to="s", protocol="tcp", ports=(80, 80)),)
    return Playbook(name="p", about="", inventory="/i", flows=flows, window=Window(duration_ns=10 * SECOND_NS), **more)


def by_name(plan):
    return {item.point: item for item in plan.points}


def test_points_stand_in_the_order_in_which_traffic_meets_them():
    """The inventory may list points in any order; the path is from client to server."""
    topology = network("c > r > s", points={"far": "s:w", "in": "r:w", "near": "c:e", "out": "r:e"})
    plan = plan_capture(playbook(), topology)
    assert [path.points for path in plan.paths] == [("near", "in", "out", "far")]
    assert [item.point for item in plan.points] == ["near", "in", "out", "far"]
    assert plan.paths[0].client_addresses == ("192.168.0.1",)
    assert plan.paths[0].server_addresses == ("10.0.0.2",)
    assert plan.hosts == {"192.168.0.1": "c", "10.0.0.2": "s"}


def test_a_segment_names_what_lies_from_tap_to_tap():
    """A finding accuses everything between two taps, so all of it is listed, in order."""
    line = Link(endpoints=ends("r:e", "s:w"), kind="dedicated-line", name="cc-hq", circuit="HQ-1")
    topology = network("c > r > s", points={"near": "c:e", "in": "r:w", "out": "r:e", "far": "s:w"})
    topology = replace(topology, links=(topology.links[0], line))
    segments = {(segment.near, segment.far): segment for segment in plan_capture(playbook(), topology).segments}
    assert segments["near", "in"].contains == (
        "c:e output after its tap",
        "link c:e to r:w",
        "r:w input before its tap",
    )
    assert segments["in", "out"].contains == ("r (w to e)",)
    assert segments["out", "far"].contains == (
        "r:e output after its tap",
        "dedicated-line cc-hq (circuit HQ-1) r:e to s:w",
        "s:w input before its tap",
    )
    assert (segments["out", "far"].name, segments["out", "far"].circuit) == ("cc-hq", "HQ-1")
    assert (segments["in", "out"].name, segments["in", "out"].circuit) == (None, None)


def test_source_translation_changes_the_filter_behind_the_node():
    """Behind SNAT a filter on the client's own address would take nothing, and everything would seem to vanish."""
    nat = Node(
        name="nat",
        role="firewall",
        ssh=SSH,
        translations=(Translation(kind="snat", inside="192.168.0.0/24", outside="10.9.9.9"),),
    )
    topology = network("c > nat > s", nodes={"nat": nat}, points={"before": "nat:w", "behind": "nat:e", "far": "s:w"})
    plan = plan_capture(playbook(), topology)
    filters = {name: item.filter for name, item in by_name(plan).items()}
    assert "host 192.168.0.1" in filters["before"]
    assert "10.9.9.9" not in filters["before"]
    for name in ("behind", "far"):
        assert "host 10.9.9.9" in filters[name]
        assert "192.168.0.1" not in filters[name]
    assert plan.paths[0].client_addresses == ("192.168.0.1", "10.9.9.9")
    assert plan.translations == (("nat", "192.168.0.0/24", "10.9.9.9"),)
    assert plan.hosts["10.9.9.9"] == "nat"


def dnat_network():
    nat = Node(
        name="fw",
        role="firewall",
        ssh=SSH,
        translations=(Translation(kind="dnat", inside="10.0.0.2:8080", outside="203.0.113.80:80"),),
    )
    return network("c > fw > s", nodes={"fw": nat}, points={"before": "fw:w", "behind": "fw:e"})


def test_a_public_address_leads_to_the_host_behind_it():
    """Clients name the public address; behind the firewall packets carry the inner one, and the inner port."""
    flow = Flow(name="app", clients=("c",), to="203.0.113.80", protocol="tcp", ports=(80, 80))
    plan = plan_capture(playbook(flow), dnat_network())
    filters = {name: item.filter for name, item in by_name(plan).items()}
    assert "host 203.0.113.80 and tcp port 80)" in filters["before"]
    assert "10.0.0.2" not in filters["before"]
    assert "host 10.0.0.2 and tcp port 8080)" in filters["behind"]
    assert "203.0.113.80" not in filters["behind"]
    assert plan.paths[0].points == ("before", "behind")
    assert plan.paths[0].server_addresses == ("203.0.113.80", "10.0.0.2")
    assert plan.hosts["203.0.113.80"] == "s"


def test_a_host_is_also_found_by_its_public_address():
    """A flow to the host means both ways of addressing it, where both can occur."""
    flow = Flow(name="app", clients=("c",), to="s", protocol="tcp", ports=(8080, 8080))
    filters = {name: item.filter for name, item in by_name(plan_capture(playbook(flow), dnat_network())).items()}
    assert "host 10.0.0.2 and tcp port 8080" in filters["before"]
    assert "host 203.0.113.80 and tcp port 80)" in filters["before"]
    assert "203.0.113.80" not in filters["behind"]


def test_a_balancer_leads_to_each_member_of_its_pool():
    """Two connections: clients see the balancer's address, members see its source address."""
    balancer = Node(
        name="lb", role="load-balancer", addresses=("10.5.5.5",), ssh=SSH, pool=("s", "s2"), snat="10.5.5.6"
    )
    second = Node(name="s2", role="server", addresses=("10.0.0.3",), ssh=SSH)
    topology = network(
        "c > lb > s",
        nodes={"lb": balancer, "s2": second},
        links=[Link(endpoints=ends("lb:e2", "s2:w"))],
        points={"before": "lb:w", "one": "s:w", "two": "s2:w"},
    )
    plan = plan_capture(playbook(Flow(name="app", clients=("c",), to="lb", protocol="tcp", ports=(80, 80))), topology)
    assert [path.points for path in plan.paths] == [("before", "one"), ("before", "two")]
    filters = {name: item.filter for name, item in by_name(plan).items()}
    assert "host 192.168.0.1 and host 10.5.5.5" in filters["before"]
    assert "10.5.5.6" not in filters["before"]
    assert "192.168.0.1" not in filters["one"]
    assert "host 10.5.5.6" in filters["one"]


def test_equal_ways_are_all_kept_and_points_on_one_of_them_accuse_nobody():
    """A packet that took the other way is absent here without having vanished."""
    other = Node(name="r2", role="router", ssh=SSH)
    topology = network(
        "c > a > r1 > b > s",
        nodes={"r2": other},
        links=[Link(endpoints=ends("a:e2", "r2:w")), Link(endpoints=ends("r2:e", "b:w2"))],
        points={"near": "c:e", "one": "r1:w", "two": "r2:w", "far": "s:w"},
    )
    plan = plan_capture(playbook(), topology)
    assert [path.points for path in plan.paths] == [("near", "one", "far"), ("near", "two", "far")]
    assert len({path.name for path in plan.paths}) == 2
    assert {name: item.complete for name, item in by_name(plan).items()} == {
        "near": True,
        "one": False,
        "two": False,
        "far": True,
    }
    assert "path c to s: 2 ways of equal length; all are kept" in plan.notes


def test_end_hosts_do_not_forward():
    """A client with two interfaces is no short cut between two networks."""
    short = Node(name="pc", role="client", addresses=("192.168.0.7",), ssh=SSH)
    topology = network(
        "c > r > s",
        nodes={"pc": short},
        links=[Link(endpoints=ends("c:x", "pc:w")), Link(endpoints=ends("pc:e", "s:x"))],
        points={"in": "r:w"},
    )
    assert plan_capture(playbook(), topology).paths[0].points == ("in",)


def test_vrfs_of_one_node_are_not_linked():
    """Traffic of one VRF does not enter another inside the router."""
    split = Node(name="r", role="router", ssh=SSH, interfaces={"e": Port(vrf="red"), "w": Port(vrf="blue")})
    plan = plan_capture(playbook(), network("c > r > s", nodes={"r": split}, points={"near": "c:e", "far": "s:w"}))
    assert plan.paths == ()
    assert any("no links lead from c to s" in note for note in plan.notes)


def test_a_path_given_by_hand_wins_over_the_links():
    """Policy routing cannot be derived from links."""
    by_hand = Path(name="policy", client="c", server="s", points=("in", "aside", "far"))
    topology = network(
        "c > r > s",
        nodes={"dpi": Node(name="dpi", role="firewall", ssh=SSH)},
        points={"in": "r:w", "aside": "dpi:x", "far": "s:w"},
        paths=[by_hand],
    )
    plan = plan_capture(playbook(), topology)
    assert [(path.name, path.points) for path in plan.paths] == [("policy", ("in", "aside", "far"))]
    assert plan.segments[0].contains == ("everything between r:w and dpi:x: the inventory does not link them",)


def test_where_the_way_back_differs_only_common_points_are_compared():
    """An answer never passes a point of the way there alone, so that point must not decide about answers."""
    there = Path(name="ring", client="c", server="s", points=("near", "in", "far"), reverse=("near", "far"))
    topology = network("c > r > s", points={"near": "c:e", "in": "r:w", "far": "s:w"}, paths=[there])
    plan = plan_capture(playbook(), topology)
    assert plan.paths[0].points == ("near", "far")
    assert any("the way back differs" in note for note in plan.notes)


def test_limits_and_required_points_reach_the_plan():
    """Tcpdump ends by itself a while after the window, whatever happens to us."""
    topology = network("c > r > s", points={"near": "c:e", "far": "s:w"})
    plan = plan_capture(playbook(required=("far",), snaplen=96), topology)
    planned = by_name(plan)
    assert [planned["near"].required, planned["far"].required] == [False, True]
    assert planned["near"].max_seconds == 10 + 2 + 120
    assert planned["near"].lease_seconds == 20
    assert planned["near"].snaplen == 96
    assert planned["near"].ssh is SSH


def test_what_is_not_carried_out_is_said():
    """A wish that is silently ignored is found out on the night of the fault."""
    wishes = playbook(
        ring=Ring(keep_ns=SECOND_NS, file_bytes=1),
        triggers=(Trigger(when="mark"), Trigger(when="reset", settings={"flow": "app"})),
        archive=Archive(to="/e"),
        filter="tcp",
    )
    wishes = replace(wishes, window=replace(wishes.window, start="2026-11-22T08:00Z"))
    notes = plan_capture(wishes, network("c > s", points={"near": "c:e", "far": "s:w"})).notes
    for word in ("ring:", "window.start:", "trigger reset:", "archive:", "filter:"):
        assert sum(note.startswith(word) for note in notes) == 1, word
    assert not any(note.startswith("trigger mark") for note in notes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sees": "control-only"}, "it sees control-only"),
        ({"at": ends("r:w", "r:e"), "mode": "active-standby"}, "only r:w of its 2 interfaces is captured"),
        ({"via": ends("c:m", "c:n"), "kind": "tap-pair"}, "only c:m of its 2 interfaces is captured"),
        ({"via": ends("c:m"), "kind": "span"}, "a span mirror may drop copies"),
    ],
    ids=["control-only", "ha-pair", "tap-pair", "span"],
)
def test_a_point_that_may_miss_packets_accuses_nobody(changes, reason):
    """Its silence is no evidence, and the plan says why."""
    spot = replace(point("spot", "r:w"), **changes)
    plan = plan_capture(playbook(), network("c > r > s", points={"near": "c:e", "spot": spot}))
    assert not by_name(plan)["spot"].complete
    assert by_name(plan)["near"].complete
    assert any(note.startswith("point spot:") and reason in note for note in plan.notes)


def test_an_encrypted_link_shows_outer_packets_only():
    """Inner addresses never match there; the tunnel does."""
    topology = network("c > r > s", points={"near": "c:e", "out": "r:e"})
    topology = replace(topology, links=(topology.links[0], replace(topology.links[1], encrypted="ipsec")))
    planned = by_name(plan_capture(playbook(), topology))
    assert "udp port 4500" in planned["out"].filter
    assert not planned["out"].complete
    assert "udp port 4500" not in planned["near"].filter


def test_a_point_that_captures_some_flows_of_a_path_accuses_nobody():
    """Packets of the flow that was left out here did not vanish."""
    flows = (
        Flow(name="app", clients=("c",), to="s", protocol="tcp", ports=(80, 80)),
        Flow(name="voice", clients=("c",), to="s", protocol="udp", ports=(5000, 5010)),
    )
    topology = network("c > r > s", points={"near": "c:e", "in": "r:w", "far": "s:w"})
    planned = by_name(plan_capture(playbook(*flows, point_flows={"in": ("app",)}), topology))
    assert planned["in"].flows == ("app",)
    assert "udp" not in planned["in"].filter
    assert [planned[name].complete for name in ("near", "in", "far")] == [True, False, True]


def test_a_flow_to_anywhere_has_a_filter_but_no_path():
    """Context is looked at, not compared: nobody knows where it goes."""
    context = Flow(name="context", clients=("c",), keep="signals")
    plan = plan_capture(playbook(context), network("c > r > s", points={"in": "r:w", "far": "s:w"}))
    assert plan.paths == ()
    assert {item.flows for item in plan.points} == {("context",)}
    assert all("tcp[13] & 7 != 0" in item.filter for item in plan.points)


def test_a_supplied_point_is_on_the_path_but_not_captured():
    """Its file comes later; until then the stretch over it has a label, too."""
    carrier = replace(point("carrier", "r:w"), supply="file")
    topology = network("c > r > s", points={"near": "c:e", "carrier": carrier, "far": "s:w"})
    plan = plan_capture(playbook(), topology)
    assert [item.point for item in plan.points] == ["near", "far"]
    assert plan.paths[0].points == ("near", "carrier", "far")
    assert {(segment.near, segment.far) for segment in plan.segments} == {
        ("near", "carrier"),
        ("carrier", "far"),
        ("near", "far"),
    }


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"supply": "file"}, {}, "none of its points is captured by us"),
        ({"via": ends("c:m"), "kind": "erspan"}, {}, "no filter can be derived for an ERSPAN mirror"),
        ({"select": {"vni": 7}}, {}, "no filter can be derived for select.vni"),
        ({}, {"min_points": 2}, "min_points is 2, but only 1 are captured by us"),
    ],
    ids=["only-files", "erspan", "vni", "min-points"],
)
def test_what_would_give_wrong_results_is_refused(changes, settings, message):
    """A run that captures nothing looks like a network that loses everything."""
    topology = network("c > r > s", points={"spot": replace(point("spot", "r:w"), **changes)})
    with pytest.raises(PlaybookError, match=message) as failure:
        plan_capture(playbook(**settings), topology)
    assert failure.value.hint


def test_captures_that_exist_already_need_no_host_and_no_filter():
    """Files of a third party are analysed with the paths of the inventory, whoever captured them."""
    spots = {
        "carrier": replace(point("carrier", "r:w"), supply="file"),
        "mirror": replace(point("mirror", "r:e"), via=ends("c:m"), kind="erspan"),
    }
    plan = plan_capture(playbook(min_points=2), network("c > r > s", points=spots), offline=True)
    assert plan.paths[0].points == ("carrier", "mirror")


def test_one_point_and_no_links_is_a_usable_plan():
    """With the server alone there is no path, but there is a capture."""
    topology = Topology(
        name="t",
        nodes={
            "c": Node(name="c", role="client", addresses=("192.168.0.1",)),
            "s": Node(name="s", role="server", addresses=("10.0.0.2",), ssh=SSH),
        },
        links=(),
        points={"server": point("server", "s:eth0")},
    )
    plan = plan_capture(playbook(), topology)
    assert "host 192.168.0.1 and host 10.0.0.2 and tcp port 80" in plan.points[0].filter
    assert any(note.startswith("flow app: no links lead") for note in plan.notes)


@given(length=st.integers(2, 7), order=st.randoms(use_true_random=False), flipped=st.lists(st.booleans(), min_size=8))
def test_the_order_of_points_does_not_depend_on_how_the_inventory_is_written(length, order, flipped):
    """Links may be written from either end and points in any order."""
    names = [f"n{number}" for number in range(length)]
    topology = network(" > ".join(names), points={})
    spots = [end for link in topology.links for end in link.endpoints]
    shuffled = order.sample(spots, len(spots))
    links = tuple(
        replace(link, endpoints=link.endpoints[::-1]) if flip else link
        for link, flip in zip(topology.links, flipped, strict=False)
    )
    points = {f"{end.node}-{end.name}": Point(name=f"{end.node}-{end.name}", at=(end,)) for end in shuffled}
    flow = Flow(name="f", clients=(names[0],), to=names[-1], protocol="udp", ports=(9, 9))
    plan = plan_capture(playbook(flow), replace(topology, links=links, points=points))
    assert plan.paths[0].points == tuple(f"{end.node}-{end.name}" for end in spots)
