"""DNS and alerts of TLS in captures of other people, beside what tshark says of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from orchestrator.core.wording import domain_name
from orchestrator.model.messages import QUESTION, RCODE, RESPONSE
from orchestrator.pcap.index import index_points
from orchestrator.pcap.messages import read_messages
from tests.support.corpus import DATA, needs_corpus, needs_tshark, tshark
from tests.support.offline import analyse_files

pytestmark = [pytest.mark.data, needs_corpus]
CHRISSANDERS = DATA / "multipoint" / "chrissanders"
WITH_NAMES = (
    "corpus/gopacket/pcap/test_dns.pcap", "corpus/pcap-parser/assets/wireshark_samples-test.pcapng",
    "corpus/tcpdump/dns-badcookie.pcap", "corpus/tcpdump/dns-badvers.pcap", "corpus/tcpdump/dns-uri.pcap",
    "corpus/tcpdump/dns_tcp.pcap", "corpus/tcpdump/dns_udp.pcap", "corpus/tcpdump/dnssec.pcap",
    "corpus/tcpdump/edns-opts.pcap", "corpus/tcpdump/nflog.pcap", "rst/recon-dpi/111.pcap",
    "rst/recon-dpi/recon_x.pcap", "multipoint/chrissanders/dns_recursivequery_server.pcapng",
)  # fmt: skip
ALERT = re.compile("1503[0-9a-f]{2}00020[12]")
WITH_ALERTS = ("twimg1.pcap", "twimg2.pcap", "work.pcap", "test1.pcap")


def names(found):
    begins = np.cumsum(found.dns["length"].astype(int)) - found.dns["length"]
    return [
        domain_name(found.names[b : b + n].tobytes())
        for b, n in zip(begins.tolist(), found.dns["length"].tolist(), strict=True)
    ]


@needs_tshark
@pytest.mark.parametrize("name", WITH_NAMES)
def test_messages_are_those_that_tshark_finds(name):
    """Frame, number, question or answer, name, type and return code."""
    fields = ("frame.number", "dns.id", "dns.flags.response", "dns.qry.name", "dns.qry.type", "dns.flags.rcode")
    asked = [option for field in fields for option in ("-e", field)]
    _, rows = tshark(DATA / name, "-Y", "dns && (udp.port==53 || tcp.port==53) && !icmp", *asked)
    found = read_messages(index_points([[DATA / name]]))
    read = found.dns["state"] == QUESTION
    told = [
        [str(m["row"] + 1), f"{m['ident']:#06x}", str(int(m["flags"] & RESPONSE > 0)), n, str(m["qtype"]),
         str(m["flags"] & RCODE) if m["flags"] & RESPONSE else ""]
        for m, n in zip(found.dns, names(found), strict=True) if m["state"] == QUESTION
    ]  # fmt: skip

    assert read.any()
    assert told == [[*r[:2], str(int(r[2] in {"1", "True"})), r[3].replace("<Root>", "."), *r[4:]] for r in rows]


@needs_tshark
@pytest.mark.parametrize("name", WITH_ALERTS)
def test_alerts_are_those_that_tshark_finds(name):
    """Frame, level and description of what begins a segment; tshark knows less of those on a port of HTTP."""
    path = DATA / "rst" / "recon-dpi" / name
    fields = ("frame.number", "tls.alert_message.level", "tls.alert_message.desc", "tcp.payload")
    _, rows = tshark(path, "-Y", "tcp.payload", *[option for field in fields for option in ("-e", field)])
    clear = read_messages(index_points([[path]])).alerts
    clear = clear[clear["level"] > 0]
    told = [[str(a["row"] + 1), str(a["level"]), str(a["description"])] for a in clear]
    bytes_say = [[r[0], str(int(r[3][10:12], 16)), str(int(r[3][12:14], 16))] for r in rows if ALERT.match(r[3])]

    assert told
    assert told == bytes_say
    assert all(r[:3] in told for r in rows if r[2] and r[3].startswith("15"))


def test_a_host_that_is_stranded(tmp_path):
    """The name server cannot answer, and its clock is an hour and a half ahead: the network is not what failed."""
    points = {"client": CHRISSANDERS / "stranded_clientside.pcapng", "dns": CHRISSANDERS / "stranded_branchdns.pcapng"}
    result = analyse_files(tmp_path, points)
    [asked] = result.names.dns

    assert (asked.qname, asked.qtype, asked.outcome, asked.asked) == ("appserver", "A", "servfail", 1)
    assert asked.seen == ("client", "dns")
    [failure] = [f for f in result.findings if f.kind == "dns-failure"]
    assert "1 question of 1 came to nothing (1 client): 1 server failure. Asked for: appserver A." in failure.statement


def test_a_server_that_asks_another_one(tmp_path):
    """The client's question and the server's own are two, both answered."""
    points = {n: CHRISSANDERS / f"dns_recursivequery_{n}.pcapng" for n in ("client", "server")}
    found = analyse_files(tmp_path, points).names.dns

    assert [(t.qname, t.outcome, t.rcode) for t in found] == [("www.nostarch.com", "answered", "NOERROR")] * 2
    assert found[0].took_ns > found[1].took_ns > 0
    assert found[0].flow.dst == found[1].flow.src
