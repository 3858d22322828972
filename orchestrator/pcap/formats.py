"""Name what is no pcap or pcapng: whoever holds such a file wants to know what it is and how to convert it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import CaptureFileError

if TYPE_CHECKING:
    from pathlib import Path

EDITCAP = "Convert it with Wireshark: editcap -F pcapng {0} {0}.pcapng"
"""editcap reads all these formats and tells them apart by itself."""

CAPTURE_FORMATS = {
    b"snoop\0\0\0": "a Solaris snoop file",
    b"btsnoop\0": "a Bluetooth HCI log (btsnoop)",
    b"RTSS": "a Microsoft Network Monitor 1 file",
    b"GMBU": "a Microsoft Network Monitor 2 file",
    b"\x01\x10\x4c\x00\x01\x05Trace": "a Novell LANalyzer file",
    b"\xaa\xaa\xaa\xaa": "an Accellent 5Views file",
    b"\0\0\x02\0\x12\x05\0\x10": "a Tektronix K12 file",
    b"+---------+---------------+----------+": "a Tektronix K12 text file",
    b"EyeSDN": "an EyeSDN file",
    b"TRSNIFF data    \x1a": "a DOS Sniffer file",
    b"XCP\0": "a NetXRay or Windows Sniffer file",
    b"VL\0\0": "a NetXRay file",
    b"\x05VNF": "a Visual Networks file",
    b"\x7fver": "an OmniPeek file",
    b"ObserverPktBufferVersion=": "a Network Instruments Observer file",
    b"iptrace ": "an AIX iptrace file",
    b"\0\0\0\x01\0\0\0\0\0\x07\xd0\0": "an HP-UX nettl file",
    b"\x54\x00\x52\x00\x00\x01": "an HP-UX nettl file",
    b"NetScaler": "a Citrix NetScaler trace",
}
"""By the bytes a file of the format begins with."""

WRAPPERS = {
    b"BZh": ("bzip2-compressed", "bunzip2 -k {}"),
    b"\xfd7zXZ\0": ("xz-compressed", "unxz -k {}"),
    b"\x04\x22\x4d\x18": ("lz4-compressed", "unlz4 -k {}"),
    b"\x1f\x9d": ("compressed by `compress`", "gunzip -k {}"),
    b"PK\x03\x04": ("a zip archive", "unzip {}"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x {}"),
    b"Rar!": ("a rar archive", "unrar x {}"),
    b"\x1f\x8b": ("gzip-compressed twice", "gunzip -k {}"),
    b"\x28\xb5\x2f\xfd": ("zstd-compressed twice", "unzstd -k {}"),
}
"""By the bytes a file begins with: what it is, and what unpacks it."""

NOT_BY_THEIR_BYTES = {
    ".erf": "an Endace ERF file",
    ".etl": "a Windows event trace",
}
"""Formats without a mark at their beginning, by the suffix of the file."""

OTHER_TOOLS = {
    ".etl": "Convert it with Microsoft's etl2pcapng: etl2pcapng {0} {0}.pcapng",
}
TAR_MARK = slice(257, 262)


def refusal(path: Path, head: bytes, defect: str | None = None) -> CaptureFileError:
    """Return the error for a file that begins with *head*: what it is, and what makes it readable.

    Args: defect of the compressed stream that *head* came from.
    """
    if defect is not None:
        return _error(path, f"cannot be unpacked, {defect}", "Fetch the file again from where it was made.")
    what, cure = _recognised(head, path.suffix.lower())
    return _error(path, what, cure)


def _recognised(head: bytes, suffix: str) -> tuple[str, str]:
    """Return (what a file is, what to do)."""
    named = next((what for mark, what in CAPTURE_FORMATS.items() if head.startswith(mark)), None)
    packed = next((how for mark, how in WRAPPERS.items() if head.startswith(mark)), None)
    if named is None and packed is None:
        named = NOT_BY_THEIR_BYTES.get(suffix)
    if named is not None:
        return f"is {named}, which is not read here", OTHER_TOOLS.get(suffix, EDITCAP)
    if packed is None and head[TAR_MARK] == b"ustar":
        packed = ("a tar archive", "tar xf {}")
    if packed is not None:
        return f"is {packed[0]}", f"Unpack it first: {packed[1]}"
    if not head:
        return "is empty", "Nothing was written into it; look at what the capturing program said."
    what = f"is neither pcap nor pcapng (it starts with {head[:4].hex()})"
    return what, "If Wireshark opens it, convert it: editcap -F pcapng {0} {0}.pcapng; else check what wrote it."


def _error(path: Path, what: str, cure: str) -> CaptureFileError:
    msg = f"{path}: {what}"
    return CaptureFileError(msg, hint=cure.format(path))
