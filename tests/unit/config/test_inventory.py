"""Inventories: everything the design shows is accepted, everything wrong is named at once with its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.config.inventory import load_inventory
from orchestrator.errors import InputError, InventoryError
from orchestrator.model.topology import Interface, Port, Ssh, Translation

LAB = Path(__file__).parents[3] / "inventory" / "lab.yaml"

EVERYTHING = """\
schema: 1
name: call-centre
defaults:
  ssh: {user: capture, key_file: keys/capture_ed25519, known_hosts: keys/known_hosts, privilege: auto}
nodes:
  client-1:  {role: client, addresses: [192.168.0.1], ssh: {host: 172.31.0.11}}
  access-sw: {role: switch, ssh: {host: 172.31.0.21}}
  line-a:    {role: router, ssh: {host: 172.31.0.31}, site: call-centre}
  line-b:    {role: router, ssh: {host: 172.31.0.32, jump: line-a, port: 2222}, site: headquarters}
  core-sw:   {role: switch, vrf: blue, interfaces: {uplink: {addresses: [10.1.1.2], vrf: red}, p1: {}}}
  sniffer:   {role: host, ssh: {host: 172.31.0.90}}
  fw-a:      {role: firewall, ssh: {host: 172.31.0.41}, shares: {10.1.1.1: vrrp-7}, addresses: [10.1.1.1],
              translations: [{kind: snat, inside: 192.168.0.0/24, outside: 10.9.9.9}]}
  fw-b:      {role: firewall, ssh: {host: 172.31.0.42}, shares: {10.1.1.1: vrrp-7}, addresses: [10.1.1.1]}
  lb:        {role: load-balancer, addresses: [10.10.10.80], pool: [app], snat: 10.10.10.81, ssh: {host: 172.31.0.60}}
  pop:       {role: provider}
  app:       {role: server, addresses: [10.10.10.2], ssh: {host: 172.31.0.51}}
links:
  - {endpoints: ["client-1:eth0", "access-sw:p1"]}
  - {endpoints: ["access-sw:up", "line-a:lan"]}
  - {endpoints: ["line-a:wan", "pop:1"], kind: dedicated-line, name: cc-hq, circuit: "HQ-0042", rate: 20 Mbit/s,
     mtu: 1500, one_way_delay: 8 ms, committed: 20 Mbit/s, encrypted: ipsec}
  - {endpoints: ["pop:2", "line-b:wan"]}
  - {endpoints: ["line-b:lan", "core-sw:p1"]}
  - {endpoints: ["core-sw:uplink", "fw-a:outside"]}
  - {endpoints: ["fw-a:inside", "lb:eth0"]}
  - {endpoints: ["fw-b:inside", "lb:eth1"]}
  - {endpoints: ["lb:eth2", "app:eth0"]}
points:
  access:    {at: "access-sw:p1"}
  line-near: {at: "line-a:wan"}
  line-far:  {at: "line-b:wan"}
  fw-in:     {at: ["fw-a:inside", "fw-b:inside"], mode: active-standby}
  fw-out:    {at: "fw-a:outside", sees: control-only}
  gateway:   {at: "core-sw:uplink", via: ["sniffer:eth2", "sniffer:eth3"], kind: tap-pair}
  lb-out:    {at: "lb:eth0", select: {vlan: 20}}
  carrier:   {at: "pop:1", supply: file}
paths:
  out: {from: client-1, to: app, forward: [access, line-near, line-far], reverse: [line-far, access]}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "x.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def errors_of(directory: Path, text: str) -> list[str]:
    path = write(directory, text)
    with pytest.raises(InventoryError) as failure:
        load_inventory(path)
    return [line.removeprefix(f"{directory}/") for line in str(failure.value).splitlines()]


def test_everything_that_can_be_said_is_understood(tmp_path):
    """The inventory of the design, completed to a consistent network."""
    topology = load_inventory(write(tmp_path, EVERYTHING))
    assert topology.nodes["line-b"].ssh == Ssh(
        host="172.31.0.32",
        user="capture",
        port=2222,
        key_file=str(tmp_path / "keys/capture_ed25519"),
        known_hosts=str(tmp_path / "keys/known_hosts"),
        privilege="auto",
        jump=topology.nodes["line-a"].ssh,
    )
    assert topology.nodes["core-sw"].interfaces["uplink"] == Port(addresses=("10.1.1.2",), vrf="red")
    assert topology.nodes["fw-a"].translations == (
        Translation(kind="snat", inside="192.168.0.0/24", outside="10.9.9.9"),
    )
    assert (topology.nodes["lb"].pool, topology.nodes["lb"].snat) == (("app",), "10.10.10.81")
    line = topology.links[2]
    assert (line.rate_bps, line.committed_bps, line.mtu, line.one_way_delay_ns, line.encrypted) == (
        20_000_000,
        20_000_000,
        1500,
        8_000_000,
        "ipsec",
    )
    assert topology.points["fw-in"].at == (Interface("fw-a", "inside"), Interface("fw-b", "inside"))
    assert topology.points["gateway"].via == (Interface("sniffer", "eth2"), Interface("sniffer", "eth3"))
    assert topology.points["lb-out"].select == {"vlan": 20}
    assert topology.points["carrier"].supply == "file"
    # Inside, both directions are told from client to server.
    assert topology.paths[0].reverse == ("access", "line-far")


def test_the_lab_inventory_is_valid():
    """The example that everybody starts from; its keys lie outside the inventory directory."""
    topology = load_inventory(LAB)
    assert len(topology.points) == 12
    ssh = topology.nodes["client-1"].ssh
    assert ssh is not None
    assert ssh.known_hosts == str(LAB.parents[1] / ".lab" / "known_hosts")


HEAD = "schema: 1\nname: t\ndefaults: {ssh: {user: u}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            HEAD + "nodes:\n  core: {role: switch, interfaces: {eth0: {}}}\n  a: {role: client}\n"
            'links:\n  - endpoints: ["a:eth0", "core:eth9"]\n',
            ["x.yaml:8:27: links[0].endpoints: no interface 'core:eth9' (did you mean 'core:eth0'?)"],
            id="interface-that-is-not-declared",
        ),
        pytest.param(
            HEAD + 'nodes:\n  core: {}\n  a: {}\nlinks:\n  - {endpoints: ["a:eth0", "croe:eth9"]}\n',
            ["x.yaml:8:28: links[0].endpoints: no node 'croe' (did you mean 'core'?)"],
            id="dangling-endpoint",
        ),
        pytest.param(
            HEAD + 'nodes:\n  a: {}\n  b: {}\n  c: {}\nlinks:\n  - {endpoints: ["a:1", "b:1"]}\n'
            '  - {endpoints: ["a:1", "c:1"]}\n',
            ["x.yaml:10:18: links[1].endpoints: interface 'a:1' has a link already (links[0])"],
            id="one-interface-two-links",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {addresses: [10.0.0.1]}\n  b: {adresses: [10.0.0.2], addresses: [10.0.0.1]}\n",
            [
                "x.yaml:6:7: nodes.b.adresses: unknown key (did you mean 'addresses'?)",
                (
                    "x.yaml:6:41: nodes.b.addresses[0]: address 10.0.0.1 belongs to node 'a' already:"
                    " declare `shares: {10.0.0.1: NAME}` on both if they share it"
                ),
            ],
            id="address-of-two-nodes-beside-an-unknown-key",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {}\n  b: {ssh: {host: b}}\nlinks:\n"
            '  - {endpoints: ["a:1", "b:1"]}\npoints:\n  here: {at: "a:1"}\n  there: {at: "b:2"}\n',
            [
                (
                    "x.yaml:10:14: points.here.at: nobody can reach 'a:1', node 'a' has no ssh:"
                    " give it ssh, or declare `supply: file`"
                ),
                "x.yaml:11:15: points.there.at: no interface 'b:2' (did you mean 'b:1'?)",
            ],
            id="point-out-of-reach-and-point-nowhere",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {ssh: {host: a}}\n  b: {ssh: {host: b}}\n"
            'points:\n  p: {at: "a:1"}\n  q: {at: "b:1"}\n',
            [
                (
                    "x.yaml:8:11: points.p.at: 'p' lies on no path: nothing is linked to 'a:1':"
                    " add its link, or name it in an entry of paths"
                ),
                (
                    "x.yaml:9:11: points.q.at: 'q' lies on no path: nothing is linked to 'b:1':"
                    " add its link, or name it in an entry of paths"
                ),
            ],
            id="points-without-a-path",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {ssh: {host: a, port: 70000, privilege: rot}}\n  b: {role: no}\n",
            [
                "x.yaml:5:28: nodes.a.ssh.port: this must be less than or equal to 65535",
                (
                    "x.yaml:5:46: nodes.a.ssh.privilege: 'rot' is not 'auto', 'capabilities', 'root' or 'wrapper'"
                    " (did you mean 'root'?)"
                ),
                "x.yaml:6:13: nodes.b.role: no is read as false by some YAML readers: write false, or quote it as 'no'",
            ],
            id="out-of-range-choice-and-trap",
        ),
        pytest.param(
            "schema: 2\nnames: t\nnodes:\n  a: {ssh: {}}\n",
            [
                "x.yaml:1:1: name: missing key",
                "x.yaml:1:9: schema: 2 is not 1",
                "x.yaml:2:1: names: unknown key (did you mean 'name'?)",
                "x.yaml:4:7: nodes.a.ssh.host: missing key",
            ],
            id="missing-keys",
        ),
        pytest.param(
            "schema: 1\nname: t\nnodes:\n  a: {ssh: {host: a, jump: c}}\n  b: {}\n",
            [
                "x.yaml:4:12: nodes.a.ssh: no user: give one here or under defaults.ssh",
                "x.yaml:4:28: nodes.a.ssh.jump: no node 'c'",
            ],
            id="no-user-and-no-such-jump-host",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {ssh: {host: a, jump: b}}\n  b: {ssh: {host: b, jump: a}}\n",
            [
                "x.yaml:5:28: nodes.a.ssh.jump: node 'a' would be reached through itself",
                "x.yaml:6:28: nodes.b.ssh.jump: node 'b' would be reached through itself",
            ],
            id="jump-hosts-in-a-circle",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {addresses: [10.0.0.256], ssh: {host: a, key_file: 'env:KEY'}}\n"
            'points:\n  p: {at: "a:1", kind: tap-pair, via: ["a:2"]}\npaths:\n  x: {from: a, to: z, points: [q]}\n',
            [
                "x.yaml:5:19: nodes.a.addresses[0]: '10.0.0.256' is not an IP address",
                "x.yaml:5:57: nodes.a.ssh.key_file: 'env:KEY' is a reference; give the path of a file",
                "x.yaml:7:39: points.p.via: a tap-pair has 2 interfaces, one a direction; 1 given",
                "x.yaml:9:20: paths.x.to: no node 'z'",
                "x.yaml:9:32: paths.x.points: no point 'q'",
            ],
            id="addresses-keys-taps-and-paths",
        ),
        pytest.param(
            HEAD + "nodes:\n  a: {translations: [{kind: snat, inside: 10.0.0.1/24, outside: '1.2.3.4:80'}]}\n"
            "links:\n  - {endpoints: [a], rate: 20}\n",
            [
                "x.yaml:5:43: nodes.a.translations[0].inside: '10.0.0.1/24' has host bits set",
                "x.yaml:7:18: links[0].endpoints[0]: 'a' is not an interface: write node:interface",
                "x.yaml:7:28: links[0].rate: 20 has no unit: write a rate such as 20 Mbit/s",
            ],
            id="translations-and-rates",
        ),
        pytest.param("", ["x.yaml:1:1: the file is empty"], id="empty"),
        pytest.param("- a\n", ["x.yaml:1:1: the top of the file must be a mapping"], id="a-list"),
    ],
)
def test_every_mistake_is_named_at_once(tmp_path, text, expected):
    """Each row is a broken inventory and all of its messages, in the order of the file."""
    assert errors_of(tmp_path, text) == expected


def test_one_node_with_one_point_and_no_link_is_a_valid_inventory(tmp_path):
    """Where only the server can be captured there is no path to describe."""
    text = HEAD + 'nodes:\n  app: {role: server, ssh: {host: app}}\npoints:\n  app: {at: "app:eth0"}\n'
    assert list(load_inventory(write(tmp_path, text)).points) == ["app"]


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("schema", "name", "defaults", "nodes", "links", "points", "paths")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text() | st.text(alphabet="ab:{}[]&*!|>-'\"\n #%@,?", max_size=60))
def test_arbitrary_text_never_raises_anything_else(tmp_path, text):
    """A file may hold anything at all: the end is an inventory or an input error."""
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(InputError):
        load_inventory(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    value=st.dictionaries(st.sampled_from(KEYS), YAML_VALUES)
    | st.builds(
        lambda name, node, point, link: {
            "schema": 1,
            "name": "x",
            "nodes": {name: node},
            "links": [link],
            "points": {"p": point},
        },
        st.text(max_size=6),
        st.dictionaries(st.sampled_from(("role", "addresses", "ssh", "shares", "pool", "interfaces")), YAML_VALUES),
        st.dictionaries(st.sampled_from(("at", "via", "kind", "select")), YAML_VALUES),
        st.dictionaries(st.sampled_from(("endpoints", "rate", "name")), YAML_VALUES),
    )
)
def test_arbitrary_values_in_known_places_never_raise_anything_else(tmp_path, value):
    """The right keys with the wrong content reach deeper than random text does."""
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    with suppress(InputError):
        load_inventory(path)
