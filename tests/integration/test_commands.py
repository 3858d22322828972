"""The commands on captures that somebody handed over: analyse, merge, add, report, status, and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from orchestrator.cli.main import main
from tests.support.wire import ACK, RST, Packet, write_pcap

START = 1_700_000_000 * 10**9
BEHIND_NS = 3_600 * 10**9
"""The server's clock: an hour behind."""


@pytest.fixture
def captures(tmp_path):
    """Three points; the 7th of 40 packets to the server vanishes behind the second, answers all arrive."""
    files = {"client": [], "gateway": [], "server": []}
    for number in range(40):
        at = START + number * 5_000_000
        there = Packet("192.0.2.1", "198.51.100.2", 40000, 80, ip_id=1 + number, seq=10 * number, ack=10 * number,
                       tsval=number, payload=bytes([number]) * 10)  # fmt: skip
        back = Packet("198.51.100.2", "192.0.2.1", 80, 40000, ip_id=900 + number, seq=10 * number, ack=1,
                      tsval=500 + number, flags=ACK, payload=bytes([99 - number]) * 10)  # fmt: skip
        files["client"] += [(at, there.bytes()), (at + 4_000_000, back.hop(2).bytes())]
        files["gateway"] += [(at + 1_000_000, there.hop().bytes()), (at + 3_000_000, back.hop().bytes())]
        if number != 7:
            files["server"].append((at + 2_000_000 - BEHIND_NS, there.hop(2).bytes()))
        files["server"].append((at + 2_100_000 - BEHIND_NS, back.bytes()))
    return {name: write_pcap(tmp_path / f"{name}.pcap", records) for name, records in files.items()}


def points(captures, *names):
    return [a for n in names for a in ("--point", f"{n}={captures[n]}")]


@pytest.fixture
def case(captures, tmp_path, capsys):
    """A run made from the three files."""
    folder = tmp_path / "case"
    assert main(["analyse", *points(captures, "client", "gateway", "server"), "--out", str(folder)]) == 0
    capsys.readouterr()
    return folder


def test_analyse_finds_the_one_that_vanished(case):
    """One packet, on the right segment, an hour of clock difference notwithstanding."""
    result = json.loads((case / "result.json").read_text())

    assert [(v["last_seen"], v["first_missing"], v["frames"]) for v in result["vanished"]] == [
        ("gateway", "server", {"gateway": [15]})
    ]
    server = result["points"][2]["clock"]
    assert abs(server["offset_ns"] + BEHIND_NS) < server["uncertainty_ns"] <= 2_000_000
    assert json.loads((case / "vanished.jsonl").read_text()) == result["vanished"][0]


def test_analyse_again_says_the_same(case, capsys):
    """The result without its time stamp, run id and tool is a function of the captures."""
    before = json.loads((case / "result.json").read_text())
    assert main(["analyse", str(case), "--json"]) == 0

    after = json.loads(capsys.readouterr().out)
    for key in ("generated_at", "run_id", "tool"):
        before.pop(key), after.pop(key)

    assert after == before


def test_merge_of_a_run_and_of_files_hold_the_same_packets(case, captures, tmp_path, capsys):
    """Interfaces are named after the points."""
    assert main(["merge", str(case)]) == 0
    target = tmp_path / "m.pcapng"
    assert main(["merge", *points(captures, "client", "gateway", "server"), "-o", str(target)]) == 0
    capsys.readouterr()

    argv = ["tshark", "-n", "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "ip.id", "-r"]
    said = [
        subprocess.run([*argv, str(f)], check=True, capture_output=True, text=True).stdout
        for f in (case / "merged.pcapng", target)
    ]

    assert said[0] == said[1]
    rows = [line.split("\t") for line in said[0].splitlines()]
    assert len(rows) == 239
    assert {r[0] for r in rows} == {"client", "gateway", "server"}


def test_add_takes_a_capture_with_its_hash_and_history(captures, tmp_path, capsys):
    """What a third party hands over is copied, hashed, written into the journal, and used."""
    folder = tmp_path / "case"
    assert main(["analyse", *points(captures, "client", "gateway"), "--out", str(folder)]) == 0
    added = ["add", str(folder), "--point", f"server={captures['server']}", "--from", "the carrier"]
    assert main(added) == 0
    assert main(["analyse", str(folder)]) == 0
    capsys.readouterr()

    result = json.loads((folder / "result.json").read_text())
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    copy = folder / "raw" / "server" / "server.pcap"
    assert copy.read_bytes() == captures["server"].read_bytes()
    assert journal[-1]["supplied_by"] == "the carrier"
    assert result["points"][2]["files"][0]["sha256"] in journal[-1]["files"].values()
    assert [v["first_missing"] for v in result["vanished"]] == ["server"]
    assert main(added) == 2  # twice is a mistake
    assert "Traceback" not in capsys.readouterr().err


def test_a_capture_that_changed_is_not_trusted(case, captures, capsys):
    """Exit 4, naming the file."""
    os.truncate(captures["server"], 500)

    assert main(["analyse", str(case)]) == 4
    assert "server.pcap" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyse"],
        ["analyse", "nowhere"],
        ["analyse", "--point", "a=/nonexistent.pcap", "--out", "{tmp}/x"],
        ["analyse", "--point", "../a={client}", "--out", "{tmp}/x"],
        ["analyse", "--point", "a={client}", "--reference", "b", "--out", "{tmp}/x"],
        ["merge", "--point", "a={client}"],
        ["report", "nowhere"],
        ["stop", "nowhere"],
        ["status", "nowhere"],
        ["run", "/nonexistent.yaml"],
    ],
)
def test_wrong_input_is_two_and_a_hint(captures, tmp_path, capsys, arguments):
    """Never a traceback, always what to do next."""
    told = [a.format(tmp=tmp_path, client=captures["client"]) for a in arguments]

    assert main(told) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.splitlines()) >= 2


def test_a_file_that_is_no_capture_is_said(tmp_path, capsys):
    """Exit 2 with the name of the file."""
    text = tmp_path / "notes.txt"
    text.write_text("no capture\n" * 100)

    assert main(["analyse", "--point", f"a={text}", "--out", str(tmp_path / "x")]) == 2
    assert "notes.txt" in capsys.readouterr().err


def test_a_wrong_order_is_named_and_auto_takes_the_right_one(captures, tmp_path, capsys):
    """Exit 2 names the order; --order auto goes on with it."""
    wrong = points(captures, "client", "server", "gateway")

    assert main(["analyse", *wrong, "--out", str(tmp_path / "x")]) == 2
    assert "client, gateway, server" in capsys.readouterr().err
    assert main(["analyse", *wrong, "--out", str(tmp_path / "y"), "--order", "auto"]) == 0
    result = json.loads((tmp_path / "y" / "result.json").read_text())
    assert [p["name"] for p in result["points"]] == ["client", "gateway", "server"]


def test_one_point_says_the_side_of_a_reset(tmp_path, capsys):
    """A single capture accuses no segment."""
    records = []
    for number in range(20):
        there = Packet(
            "192.0.2.1", "198.51.100.2", 40000, 80, ip_id=1 + number, ttl=62, seq=10 * number, payload=b"0123456789"
        )
        records.append((START + number * 5_000_000, there.bytes()))
    gone = Packet("192.0.2.1", "198.51.100.2", 40000, 80, ip_id=21, ttl=62, seq=200, flags=RST | ACK, tsval=5)
    records.append((START + 200_000_000, gone.bytes()))
    path = write_pcap(tmp_path / "gateway.pcap", records)

    assert main(["analyse", "--point", f"gateway={path}", "--out", str(tmp_path / "x")]) == 0

    result = json.loads((tmp_path / "x" / "result.json").read_text())
    assert result["headline"]["network"] == "cannot-tell"
    assert result["vanished"] == []
    assert [(r["origin"], r["born"]) for r in result["resets"]] == [("endpoint", {"after": None, "before": "gateway"})]
    assert "not measured" in capsys.readouterr().out


def test_runs_are_looked_for_where_the_environment_says(case, monkeypatch, capsys):
    """As `run` and `worker` do."""
    monkeypatch.setenv("VANISHPOINT_RUNS", str(case.parent))

    assert main(["report", case.name]) == 0
    assert "IS IT THE NETWORK?" in capsys.readouterr().out


def run_cold(cache, *arguments):
    """Run the command line with machine code in *cache* alone; return (stdout, stderr)."""
    called = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli.main", *arguments], capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )  # fmt: skip
    return called.stdout, called.stderr


def test_compiling_is_announced_once(captures, tmp_path):
    """The first analysis says why it takes long, on stderr, so that its JSON stays JSON; the second has no need to."""
    asked = ["analyse", "--json", *points(captures, "client", "gateway", "server"), "--out"]

    cold_out, cold_said = run_cold(tmp_path / "cache", *asked, str(tmp_path / "first"))
    _, warm_said = run_cold(tmp_path / "cache", *asked, str(tmp_path / "second"))

    assert cold_said.count("compiling") == 1
    assert json.loads(cold_out)["schema"] == 1
    assert "compiling" not in warm_said


def test_what_is_compiled_beforehand_is_not_compiled_again(captures, tmp_path):
    """After warmup nothing is announced, and no command adds machine code."""
    cache = tmp_path / "cache"
    out, said = run_cold(cache, "warmup")
    before = set(cache.rglob("*.nbc"))
    _, later = run_cold(cache, "analyse", *points(captures, "client", "server"), "--out", str(tmp_path / "case"))

    assert out.startswith("ready after ")
    assert said.count("compiling") == 1
    assert "compiling" not in later
    assert set(cache.rglob("*.nbc")) == before


KERNELS_LEFT = """
import importlib, pkgutil
import orchestrator, orchestrator.warmup
from numba.core.dispatcher import Dispatcher
for found in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
orchestrator.warmup.main()
for name, module in sorted(__import__("sys").modules.items()):
    if name.startswith("orchestrator.") and not name.endswith("_kernels"):
        for kernel in vars(module).values():
            if isinstance(kernel, Dispatcher) and not kernel.signatures:
                print(kernel.py_func.__module__, kernel.py_func.__name__)
"""


def test_warmup_runs_every_kernel():
    """None is left to be compiled when the first capture with fragments, tunnels or reordering comes."""
    called = subprocess.run([sys.executable, "-c", KERNELS_LEFT], capture_output=True, text=True, check=True)

    assert called.stdout == ""
