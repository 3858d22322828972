"""Playbooks: everything the design shows is accepted and converted, everything wrong is named at once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.config.playbook import load_both, load_playbook
from orchestrator.config.schemas import json_schema
from orchestrator.errors import InputError, InventoryError, PlaybookError
from orchestrator.model.playbook import Archive, Authority, Expectation, Flow, Limits, Ring, Trigger, Window

ROOT = Path(__file__).parents[3]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yaml"))
SECOND_NS = 10**9

INVENTORY = """\
schema: 1
name: office
defaults: {ssh: {user: u}}
nodes:
  client-1: {role: client, addresses: [192.168.0.1], ssh: {host: c1}}
  client-2: {role: client, addresses: [192.168.0.2], ssh: {host: c2}}
  sw: {role: switch, ssh: {host: sw}}
  app: {role: server, addresses: [10.0.0.1], ssh: {host: app}}
  pbx: {role: server, addresses: [10.0.0.2], ssh: {host: pbx}}
links:
  - {endpoints: ["client-1:e", "sw:1"]}
  - {endpoints: ["client-2:e", "sw:2"]}
  - {endpoints: ["sw:3", "app:e"], name: cc-hq}
  - {endpoints: ["sw:4", "pbx:e"]}
points:
  access: {at: "sw:1"}
  far: {at: "sw:3"}
  app: {at: "app:e"}
"""

EVERYTHING = """\
schema: 1
name: call-centre-rst
about: Agents lose the application; resets at the server.
inventory: inventory.yaml
flows:
  app:      {from: [client-1, client-2], to: app, protocol: tcp, port: 8080}
  context:  {from: [client-1, client-2], keep: signals}
  voice:    {from: clients, to: pbx, protocol: udp, port: 10000-20000, keep: headers}
authority: {ticket: CHG-8841, approved_by: "the owner", valid: 2026-11-22T08:00Z/PT4H, data_class: headers}
capture:
  points: all
  at: {access: {flows: [app, context]}}
  required: [access]
  min_points: 3
  snaplen: 160
  buffer: 64 MiB
  window: {duration: 10m, start: now, post_roll: 2s}
  ring: {keep: 30m, file: 64 MiB}
  limits: {disk_free: 1 GiB, file_total: 4 GiB}
triggers:
  - {when: reset, flow: app, ignore: after-fin, at_least: 3 in 1s, cool_down: 5m, max_events: 20, keep_after: 10s}
  - {when: mark, keep_after: 10s}
  - {when: log, node: app, file: /var/log/app.log, match: "session lost"}
expect:
  - {loss: {segment: cc-hq, below: 0.1 %}}
  - {resets: {born_in: network, at_most: 0}}
  - {delay: {segment: cc-hq, p95_below: 40 ms}}
archive: {to: evidence/, sign: keys/evidence_ed25519}
"""

SHORT = """\
schema: 1
name: t
inventory: inventory.yaml
flows: {app: {from: clients, to: app, protocol: tcp, port: 8080}}
capture: {window: {duration: 10s}}
"""


def write(directory: Path, playbook: str, inventory: str = INVENTORY) -> Path:
    (directory / "inventory.yaml").write_text(inventory, encoding="utf-8")
    path = directory / "p.yaml"
    path.write_text(playbook, encoding="utf-8")
    return path


def errors_of(directory: Path, playbook: str, overrides=None, *, error=PlaybookError) -> list[str]:
    with pytest.raises(error) as failure:
        load_playbook(write(directory, playbook), overrides or {})
    return [line.removeprefix(f"{directory}/") for line in str(failure.value).splitlines()]


def test_everything_that_can_be_said_is_understood(tmp_path):
    """The playbook of the design, against a network that has its names."""
    playbook = load_playbook(write(tmp_path, EVERYTHING), {})
    clients = ("client-1", "client-2")
    assert playbook.flows == (
        Flow(name="app", clients=clients, to="app", protocol="tcp", ports=(8080, 8080)),
        Flow(name="context", clients=clients, keep="signals"),
        Flow(name="voice", clients=clients, to="pbx", protocol="udp", ports=(10000, 20000)),
    )
    begin_ns = 1_795_334_400 * SECOND_NS
    assert playbook.authority == Authority(
        ticket="CHG-8841",
        approved_by="the owner",
        valid_from_ns=begin_ns,
        valid_until_ns=begin_ns + 4 * 3600 * SECOND_NS,
        data_class="headers",
    )
    assert playbook.inventory == str(tmp_path / "inventory.yaml")
    assert (playbook.points, playbook.point_flows) == ((), {"access": ("app", "context")})
    assert (playbook.required, playbook.min_points) == (("access",), 3)
    assert playbook.window == Window(duration_ns=600 * SECOND_NS)
    assert playbook.ring == Ring(keep_ns=1800 * SECOND_NS, file_bytes=64 << 20)
    assert playbook.limits == Limits()
    assert playbook.triggers[0].settings["at_least"] == "3 in 1s"
    assert playbook.triggers[1] == Trigger(when="mark", settings={"keep_after": "10s"})
    assert playbook.expect[1] == Expectation(
        kind="resets", settings={"born_in": "network", "at_most": 0}, limits={"at_most": 0.0}
    )
    assert playbook.archive == Archive(to=str(tmp_path / "evidence"), sign=str(tmp_path / "keys/evidence_ed25519"))


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_example_playbooks_are_valid(path):
    """Whatever we ship runs in the lab."""
    playbook, topology = load_both(path, {})
    assert set(playbook.points) <= set(topology.points)


def test_min_points_are_two_or_all_if_fewer(tmp_path):
    """One point is a usable run where there is only one."""
    assert load_playbook(write(tmp_path, SHORT), {}).min_points == 2
    assert load_playbook(write(tmp_path, SHORT), {"points": "[app]"}).min_points == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "flows: {app: {from: client-3, to: ap, protocol: tcp}}\ncapture: {window: {duration: 10s}}",
            [
                "p.yaml:4:21: flows.app.from: no node 'client-3' (did you mean 'client-2'?)",
                "p.yaml:4:35: flows.app.to: no node 'ap' (did you mean 'app'?)",
            ],
            id="unknown-nodes",
        ),
        pytest.param(
            "flows: {app: {from: clients, to: app, port: 80}, b: {from: clients, protocol: udp, port: 70000}}\n"
            "capture: {window: {duration: 10}, points: [acces], required: [far], min_points: 2}",
            [
                "p.yaml:4:45: flows.app.port: name the protocol: tcp, udp or sctp",
                "p.yaml:4:90: flows.b.port: 70000 is out of range: ports go from 1 to 65535",
                "p.yaml:5:30: capture.window.duration: 10 has no unit: write a duration such as 10m, 2s or 8 ms",
                "p.yaml:5:44: capture.points: no point 'acces' (did you mean 'access'?)",
                "p.yaml:5:63: capture.required: point 'far' is not among capture.points",
                "p.yaml:5:81: capture.min_points: 2 points are needed, but only 1 are captured",
            ],
            id="ports-points-and-counts",
        ),
        pytest.param(
            "flows: {app: {from: clients, to: app, protocol: tpc, keep: full}}\n"
            "authority: {valid: 2026-11-22/PT4H, data_class: headers}\n"
            "capture: {window: {duration: 10s, post_roll: 1s}, at: {access: {flows: [apps]}}}\n"
            "triggers: [{when: reset}, {when: mrak}]\n"
            "expect: [{loss: {segment: cc-hg, below: 1 %}}, {delay: {p95_below: 4}}, {}]",
            [
                (
                    "p.yaml:4:49: flows.app.protocol: 'tpc' is not 'tcp', 'udp', 'icmp', 'sctp', 'esp', 'ah' or 'gre'"
                    " (did you mean 'tcp'?)"
                ),
                "p.yaml:4:60: flows.app.keep: keeps full, but authority.data_class allows headers at most",
                "p.yaml:5:20: authority.valid: '2026-11-22' is not a time with its zone such as 2026-11-22T08:00Z",
                "p.yaml:6:46: capture.window.post_roll: at least 2s are needed, or what is still buffered is lost",
                "p.yaml:6:73: capture.at.access.flows: no flow 'apps' (did you mean 'app'?)",
                "p.yaml:7:12: triggers[0]: a trigger on reset needs 'flow'",
                "p.yaml:7:34: triggers[1].when: 'mrak' is not 'mark', 'reset' or 'log' (did you mean 'mark'?)",
                "p.yaml:8:27: expect[0].loss.segment: no segment 'cc-hg' (did you mean 'cc-hq'?)",
                "p.yaml:8:68: expect[1].delay.p95_below: 4 has no unit: write a duration such as 10m, 2s or 8 ms",
                "p.yaml:8:73: expect[2]: write one of loss, resets, delay, precursor or connection an entry",
            ],
            id="choices-authority-triggers-and-expectations",
        ),
        pytest.param(
            "flow: {}\ncapture: {window: {duration: 10s, start: noon}, filter: '-w x'}",
            [
                "p.yaml:1:1: flows: missing key",
                "p.yaml:4:1: flow: unknown key (did you mean 'flows'?)",
                (
                    "p.yaml:5:42: capture.window.start: 'noon' is neither `now` nor a time with its zone"
                    " such as 2026-11-22T08:00Z"
                ),
                (
                    "p.yaml:5:57: capture.filter: a filter is one line of printable characters"
                    " that does not begin with '-'"
                ),
            ],
            id="missing-flows-start-and-filter",
        ),
    ],
)
def test_every_mistake_is_named_at_once(tmp_path, line, expected):
    """Each row is a broken playbook and all of its messages, in the order of the file."""
    assert errors_of(tmp_path, f"schema: 1\nname: t\ninventory: inventory.yaml\n{line}\n") == expected


def test_a_wrong_inventory_is_told_beside_a_wrong_playbook(tmp_path):
    """Both files are mended in one go."""
    path = write(tmp_path, SHORT.replace("8080", "80800"), INVENTORY.replace("sw:4", "ws:4"))
    with pytest.raises(InventoryError) as failure:
        load_playbook(path, {})
    assert [line.removeprefix(f"{tmp_path}/") for line in str(failure.value).splitlines()] == [
        "inventory.yaml:14:18: links[3].endpoints: no node 'ws'",
        "p.yaml:4:60: flows.app.port: 80800 is out of range: ports go from 1 to 65535",
    ]


def test_a_missing_inventory_is_named_with_its_place(tmp_path):
    """The path in the playbook is wrong, so that is the line to mend."""
    expected = [f"p.yaml:3:12: inventory: no file '{tmp_path}/lab.yaml'"]
    assert errors_of(tmp_path, SHORT.replace("inventory.yaml", "lab.yaml")) == expected


def test_overrides_reach_any_key(tmp_path):
    """Keys of capture need no prefix: `--set window.duration=5s` is what people type."""
    path = write(tmp_path, SHORT)
    overrides = {"window.duration": "5s", "capture.snaplen": "96", "points": "[app, far]", "about": "a test"}
    playbook = load_playbook(path, overrides)
    assert playbook.window.duration_ns == 5 * SECOND_NS
    assert (playbook.snaplen, playbook.points, playbook.about) == (96, ("app", "far"), "a test")


def test_wrong_overrides_name_themselves(tmp_path):
    """What the command line brought in has no line in the file."""
    overrides = {"window.duration": "5", "snaplen": "no", "widnow.duration": "5s", "name.x": "1"}
    assert errors_of(tmp_path, SHORT, overrides) == [
        "--set: capture.snaplen: no is read as false by some YAML readers: write false, or quote it as 'no'",
        "--set: capture.window.duration: 5 has no unit: write a duration such as 10m, 2s or 8 ms",
        "--set: name.x: name holds no keys",
        "--set: widnow.duration: unknown key (did you mean 'window'?)",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(alphabet="ab:{}[]&*!|>-'\"\n #%@,?", max_size=60), key=st.text(max_size=12), value=st.text(max_size=12)
)
def test_arbitrary_text_and_overrides_never_raise_anything_else(tmp_path, text, key, value):
    """A file or a flag may hold anything at all: the end is a playbook or an input error."""
    for playbook, overrides in ((text, {}), (SHORT, {key: value})):
        with suppress(InputError):
            load_playbook(write(tmp_path, playbook), overrides)


@pytest.mark.parametrize(
    ("kind", "file"), [("inventory", "inventory/schema.json"), ("playbook", "playbooks/schema.json")]
)
def test_the_schemas_for_editors_are_fresh(kind, file):
    """Run `vanishpoint schema inventory --write` (or playbook) after changing a model."""
    assert json.loads((ROOT / file).read_text(encoding="utf-8")) == json_schema(kind)


@pytest.mark.parametrize("path", [*PLAYBOOKS, ROOT / "inventory/lab.yaml"], ids=lambda path: path.stem)
def test_examples_name_their_schema(path):
    """Editors complete and check what carries this line."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"
    assert (path.parent / "schema.json").is_file()
