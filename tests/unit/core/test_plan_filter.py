"""A filter is judged by what real tcpdump takes with it, not by how it reads."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings, strategies as st
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from orchestrator.core.plan_addresses import Destination
from orchestrator.core.plan_filter import Clause, build_filter

C, S, OTHER, ROUTER = "192.168.0.1", "10.10.10.2", "192.168.0.9", "172.16.0.1"
C6, S6 = "2001:db8::1", "2001:db8:1::2"
TCPDUMP = shutil.which("tcpdump")
needs_tcpdump = pytest.mark.skipif(TCPDUMP is None, reason="tcpdump is missing: no filter is tried against it")

APP = Clause(clients=(C,), servers=(Destination(S, (7001, 7002)),), protocol="tcp")
CALL = Clause(clients=(C,), servers=(Destination(S, (5001, 5001)),), protocol="udp")
CONTEXT = Clause(clients=(C,), keep="signals")
APP6 = Clause(clients=(C6,), servers=(Destination(S6, (443, 443)),), protocol="tcp")
CLIENT_HELLO = bytes.fromhex("160301002001") + bytes(40)
APPLICATION_DATA = bytes.fromhex("170303002000") + bytes(40)


def tcp(src, dst, sport, dport, *, flags="A", payload=b""):
    return IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags) / Raw(payload)


def error_about(packet, to, kind=3, code=1):
    quoted = IPerror(bytes(packet)[:28])
    return IP(src=ROUTER, dst=to) / ICMP(type=kind, code=code) / quoted


def taken(tmp_path, expression, packets):
    """Return the names of *packets* that tcpdump takes from a file with *expression*."""
    taken_names = []
    for name, packet in packets.items():
        source, target = tmp_path / "in.pcap", tmp_path / "out.pcap"
        wrpcap(str(source), [Ether() / packet if not packet.haslayer(Ether) else packet])
        argv = [TCPDUMP, "-r", source, "-w", target, "--", expression]
        subprocess.run(argv, check=True, capture_output=True, timeout=20)
        if target.stat().st_size > 24:  # a pcap file header alone has 24 bytes
            taken_names.append(name)
    return set(taken_names)


FLOW_PACKETS = {
    "there": tcp(C, S, 40000, 7001),
    "back": tcp(S, C, 7002, 40000),
    "call": IP(src=C, dst=S) / UDP(sport=4000, dport=5001) / Raw(bytes(100)),
    "later-fragment": IP(src=C, dst=S, proto=17, frag=185, flags=0) / Raw(bytes(100)),
    "unreachable": error_about(IP(src=C, dst=S) / UDP(sport=4000, dport=5001), C),
    "fragmentation-needed": error_about(tcp(S, C, 7001, 40000), S, code=4),
    "time-exceeded": error_about(tcp(C, S, 40000, 7001), C, kind=11, code=0),
    "arp": ARP(psrc=C, pdst="192.168.0.254"),
}
FOREIGN_PACKETS = {
    "other-port": tcp(C, S, 40000, 9999),
    "other-client": tcp(OTHER, S, 40000, 7001),
    "other-fragment": IP(src=OTHER, dst=S, proto=17, frag=185, flags=0) / Raw(bytes(100)),
    "error-to-another": error_about(tcp(OTHER, S, 40000, 7001), OTHER),
    "ping": IP(src=C, dst=S) / ICMP(type=8),
}


@needs_tcpdump
@pytest.mark.parametrize("tags", [0, 1], ids=["plain", "vlan"])
def test_a_flow_is_taken_whole_and_nothing_else(tmp_path, tags):
    """A bare `host A and tcp port P` loses tagged frames, errors and later fragments; this one must not."""
    packets = {
        name: Ether() / Dot1Q(vlan=20) / packet if tags else packet
        for name, packet in {**FLOW_PACKETS, **FOREIGN_PACKETS}.items()
    }
    assert taken(tmp_path, build_filter([APP, CALL]), packets) == set(FLOW_PACKETS)


@needs_tcpdump
def test_double_tags_are_taken_where_the_link_has_them(tmp_path):
    """QinQ moves the offsets twice."""
    packets = {name: Ether() / Dot1Q(vlan=20) / Dot1Q(vlan=7) / packet for name, packet in FLOW_PACKETS.items()}
    packets["foreign"] = Ether() / Dot1Q(vlan=20) / Dot1Q(vlan=7) / FOREIGN_PACKETS["other-port"]
    packets |= {f"{name}, plain": packet for name, packet in FLOW_PACKETS.items()}
    wanted = set(FLOW_PACKETS) | {f"{name}, plain" for name in FLOW_PACKETS}
    assert taken(tmp_path, build_filter([APP, CALL], form="qinq"), packets) == wanted


@needs_tcpdump
@pytest.mark.parametrize("tags", [0, 1], ids=["plain", "vlan"])
def test_signals_are_what_precedes_a_fault(tmp_path, tags):
    """SYN, FIN, RST, ICMP, DNS and TLS hello of a client, to anywhere; the data stays where it is."""
    anywhere = "203.0.113.7"
    signals = {
        "syn": tcp(C, anywhere, 40000, 443, flags="S"),
        "syn-ack": tcp(anywhere, C, 443, 40000, flags="SA"),
        "fin": tcp(C, anywhere, 40000, 443, flags="FA"),
        "rst": tcp(anywhere, C, 443, 40000, flags="R"),
        "ping": IP(src=C, dst=anywhere) / ICMP(type=8),
        "dns": IP(src=C, dst="192.168.0.254") / UDP(sport=5353, dport=53) / DNS(qd=DNSQR(qname="app.example")),
        "hello": tcp(C, anywhere, 40000, 443, flags="PA", payload=CLIENT_HELLO),
    }
    quiet = {
        "bare-ack": tcp(C, anywhere, 40000, 443, flags="A"),
        "data": tcp(C, anywhere, 40000, 443, flags="PA", payload=APPLICATION_DATA),
        "short-data": tcp(C, anywhere, 40000, 443, flags="PA", payload=b"\x16"),
        "datagram": IP(src=C, dst=anywhere) / UDP(sport=4000, dport=4001) / Raw(bytes(20)),
        "syn-of-another": tcp(OTHER, anywhere, 40000, 443, flags="S"),
    }
    packets = {**signals, **quiet}
    if tags:
        packets = {name: Ether() / Dot1Q(vlan=20) / packet for name, packet in packets.items()}
    assert taken(tmp_path, build_filter([CONTEXT]), packets) == set(signals)


@needs_tcpdump
def test_a_packet_too_short_for_one_flow_still_matches_another(tmp_path):
    """A load beyond the packet's end rejects it for good, so the order of flows must not matter."""
    packets = {"call": IP(src=C, dst=S) / UDP(sport=4000, dport=5001), "ack": tcp(C, S, 40000, 7001)}
    assert taken(tmp_path, build_filter([CONTEXT, APP, CALL]), packets) == {"call", "ack"}


@needs_tcpdump
def test_ipv6_has_its_own_errors_fragments_and_neighbours(tmp_path):
    """`icmp` and `ip[6:2]` mean IPv4 alone."""
    packets = {
        "flow": IPv6(src=C6, dst=S6) / TCP(sport=40000, dport=443),
        "later-fragment": IPv6(src=C6, dst=S6) / IPv6ExtHdrFragment(offset=100, nh=6) / Raw(bytes(50)),
        "too-big": IPv6(src="2001:db8::fe", dst=C6) / ICMPv6PacketTooBig() / Raw(bytes(48)),
        "foreign": IPv6(src="2001:db8::9", dst=S6) / TCP(sport=40000, dport=443),
    }
    assert taken(tmp_path, build_filter([APP6]), packets) == {"flow", "later-fragment", "too-big"}


@needs_tcpdump
def test_our_own_ssh_is_left_out_where_it_could_be_seen(tmp_path):
    """A capture of everything between two hosts would otherwise contain the connection that controls it."""
    everything = Clause(clients=(C,))
    packets = {
        "ssh": tcp("192.168.0.254", C, 50000, 22),
        "ssh-elsewhere": tcp(C, S, 50000, 22),
        "web": tcp(C, S, 50000, 80),
    }
    assert taken(tmp_path, build_filter([everything], management=[C]), packets) == {"web"}
    assert taken(tmp_path, build_filter([everything]), packets) == {"ssh", "ssh-elsewhere", "web"}


@needs_tcpdump
def test_one_vlan_of_a_trunk(tmp_path):
    """`select: {vlan: 20}` means that VLAN and no other."""
    packets = {
        "twenty": Ether() / Dot1Q(vlan=20) / FLOW_PACKETS["there"],
        "thirty": Ether() / Dot1Q(vlan=30) / FLOW_PACKETS["there"],
        "untagged": FLOW_PACKETS["there"],
    }
    assert taken(tmp_path, build_filter([APP], only_vlan=20), packets) == {"twenty"}


@needs_tcpdump
def test_many_clients_become_the_networks_that_hold_exactly_them(tmp_path):
    """A filter of three hundred hosts has more instructions than a kernel takes."""
    clients = tuple(f"10.1.{number // 250}.{number % 250 + 1}" for number in range(300))
    expression = build_filter([Clause(clients=clients, servers=(Destination(S, (80, 80)),), protocol="tcp")])
    assert len(expression) < 3000
    packets = {client: tcp(client, S, 40000, 80) for client in (clients[0], clients[249], clients[250], clients[299])}
    foreign = {host: tcp(host, S, 40000, 80) for host in ("10.1.0.0", "10.1.0.251", "10.1.1.51")}
    assert taken(tmp_path, expression, {**packets, **foreign}) == set(packets)


def test_the_error_quotes_what_it_is_about():
    """The packets of these tests are what they are called."""
    assert FLOW_PACKETS["unreachable"].haslayer(UDPerror)


HOSTS = st.sampled_from([C, S, OTHER, C6, S6, "192.168.0.0/24", "2001:db8::/32"])
PORTS = st.none() | st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda pair: (min(pair), max(pair)))
PROTOCOLS = st.sampled_from([None, "tcp", "udp", "icmp", "sctp", "esp", "ah", "gre"])


@st.composite
def clauses(draw):
    protocol = draw(PROTOCOLS)
    ports = draw(PORTS) if protocol in {"tcp", "udp", "sctp"} else None
    servers = draw(st.lists(HOSTS, max_size=3, unique=True))
    return Clause(
        clients=tuple(draw(st.lists(HOSTS, min_size=1, max_size=3, unique=True))),
        servers=tuple(Destination(host, ports) for host in servers),
        protocol=protocol,
        ports=ports,
        keep=draw(st.sampled_from(["signals", "headers", "full"])),
    )


FILTERS = st.builds(
    build_filter,
    st.lists(clauses(), min_size=1, max_size=3),
    form=st.sampled_from(["vlan", "qinq", "mpls", "pppoe"]),
    only_vlan=st.none() | st.integers(1, 4094),
    management=st.lists(st.sampled_from([C, S6]), max_size=2, unique=True),
    tunnels=st.sampled_from([(), ("ip proto 50", "udp port 4500")]),
)


@given(FILTERS)
def test_a_filter_holds_harmless_characters_only(expression):
    """A filter travels through a shell script on a host; nothing in it may mean anything to a shell in quotes."""
    assert re.fullmatch(r"[a-z0-9 .:/()\[\]&!=<>+-]+", expression)


@needs_tcpdump
@settings(max_examples=60, deadline=None)
@given(FILTERS)
def test_every_filter_compiles(expression):
    """Whatever a playbook asks for, tcpdump understands it."""
    argv = [TCPDUMP, "-y", "EN10MB", "-d", "--", expression]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{done.stderr}\n{expression}"
