from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.offline import analyse_files
from tests.support.wire import ACK, RST, SYN, Packet, write_pcap

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def captured(name: str) -> Path:
    found = sorted(DATA.rglob(name)) if DATA.is_dir() else []
    if not found:
        pytest.skip("needs the reference captures")
    return found[0]


@pytest.mark.parametrize(
    ("name", "foreign", "own"), [("rst-inject-rae.pcap", 1, 2), ("*debug-s13.pcap", 2, 1), ("bug-2769*.pcap", 4, 1)]
)
def test_a_reset_with_a_foreign_ttl_was_made_on_the_way(tmp_path, name, foreign, own):
    """One point: its TTL alone tells, so that stays supported and no place is named."""
    resets = analyse_files(tmp_path, {"gate": captured(name)}).resets
    strange = [r for r in resets if any("where its claimed" in e for e in r.evidence)]
    assert (len(strange), len(resets) - len(strange)) == (foreign, own)
    assert {r.origin for r in strange} == {"network"}
    assert all(r.born_after is None and r.confidence < 0.9 for r in strange)
    assert all("single point: told by its TTL alone" in r.evidence and r.would_decide for r in strange)
    assert "network" not in {r.origin for r in resets if r not in strange}


def test_closes_of_a_client_are_no_fault_of_the_network(tmp_path):
    resets = analyse_files(tmp_path, {"gate": captured("disorder.pcap")}).resets
    assert {r.origin for r in resets} == {"endpoint"}


@pytest.mark.parametrize(("ttl", "cause"), [(64, "closed-port"), (61, "connection-refused")])
def test_a_refusal_from_beyond_routers_is_no_closed_port(tmp_path, ttl, cause):
    syn = Packet("10.0.0.1", "10.0.1.2", 40000, 80, flags=SYN, seq=99, ip_id=7, ttl=63)
    rst = Packet("10.0.1.2", "10.0.0.1", 80, 40000, flags=RST | ACK, ack=100, window=0, ttl=ttl)
    file = write_pcap(tmp_path / "a.pcap", [(10**18, syn.bytes()), (10**18 + 10**6, rst.bytes())])
    assert {r.cause for r in analyse_files(tmp_path, {"a": file}).resets} == {cause}
    assert analyse_files(tmp_path / "2", {"a": file}).resets[0].would_decide
