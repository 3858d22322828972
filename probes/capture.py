"""One capture on one host: arm, poll, stop, fetch, remove; and sweep for what crashes left.

Every step is short and idempotent by run id and point, so that a queue may deliver it twice. Nothing on the host waits
for us: `agent.sh` ends the capture by itself when its lease, its time or the disk runs out.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from probes import agent, tcpdump
from probes.errors import AgentError, ProbeError, TransferError
from probes.spec import DEFAULT_BASE_DIR, Armed, Poll, RemoteFile, Sample, Stopped, check_base_dir, check_run_id

if TYPE_CHECKING:
    from pathlib import Path

    from probes.agent import Answer
    from probes.spec import CaptureSpec
    from probes.transport import Transport

_ARM_TIMEOUT_S = 60.0
"""The agent itself waits 15 s for "listening on"; the rest is for a slow shell."""
_STOP_TIMEOUT_S = 60.0
_HASH_BYTES_PER_S = 20_000_000
"""A slow host hashes so fast; the deadline for hashing grows with the file."""
_RECORD_HEADER_BYTES = 16


def arm(transport: Transport, spec: CaptureSpec) -> Armed:
    """Start the capture and return once tcpdump listens; an armed capture is returned as it is.

    Raises:
        ProbeError: The host cannot capture; it is left as it was.
    """
    bounds = (spec.max_seconds, spec.lease_seconds, spec.min_free_kib, spec.max_file_kib)
    arguments = [spec.privilege, *map(str, bounds), *tcpdump.build_options(spec)]
    answer = agent.upload_and_start(transport, spec, arguments, _ARM_TIMEOUT_S)
    if answer.failure:
        raise _arm_error(transport, spec, answer)
    mode, _program, version = (*answer.all("mode"), "", "", "")[:3]
    listening = tcpdump.parse_listening("\n".join(answer.all("err")))
    if listening is None:
        msg = f"{transport.place}:{spec.interface}: tcpdump did not say that it listens"
        raise AgentError(msg, hint=f"Look at err in {answer.first('directory')} on the host.")
    return Armed(
        tcpdump_version=tcpdump.parse_version(version),
        link_type=listening.link_type,
        remote_dir=answer.first("directory"),
        privilege=mode,
    )


def poll(transport: Transport, spec: CaptureSpec, *, position: int = 0) -> Poll:
    """Renew the lease; return the state and the samples after *position*.

    Raises:
        AgentError: There is no such capture on the host.
    """
    answer = agent.call(transport, spec, "poll", str(position))
    if answer.failure:
        raise agent.refusal(transport, answer, spec)
    _, _, log = answer.raw.partition(b"\nlog\n")
    # A line that is being written is left for the next poll.
    whole = log[: log.rfind(b"\n") + 1]
    lines = whole.decode("utf-8", errors="replace").split("\n")
    ended = answer.first("ended").split()
    return Poll(
        state="ended" if ended else "armed",
        end_reason=ended[0] if ended else None,
        samples=tuple(sample for line in lines if (sample := parse_sample(line))),
        position=position + len(whole),
    )


def parse_sample(line: str) -> Sample | None:
    """Return the sample that a line of the agent's log holds, or None if it is another line."""
    words = line.split(" ", 5)
    if words[0] != "sample" or len(words) < 5 or not words[1].isdecimal():  # noqa: PLR2004  # four numbers, then text
        return None
    counters = tcpdump.parse_counters(words[5] if len(words) > 5 else "")  # noqa: PLR2004
    return Sample(
        host_ns=int(words[1]),
        monotonic_ns=_number(words[2]),
        captured=counters.captured,
        received=counters.received,
        kernel_drops=counters.kernel_drops,
        free_kib=_number(words[3]),
        file_bytes=_number(words[4]),
    )


def stop(transport: Transport, spec: CaptureSpec) -> Stopped:
    """End the capture by SIGINT, wait for tcpdump's closing counters and hash its files on the host.

    Raises:
        AgentError: There is no such capture on the host.
    """
    answer = agent.call(transport, spec, "stop", timeout_s=_STOP_TIMEOUT_S)
    if answer.failure:
        raise agent.refusal(transport, answer, spec)
    size_bytes = _number(answer.first("size")) or 0
    timeout_s = _STOP_TIMEOUT_S + size_bytes / _HASH_BYTES_PER_S
    hashes = agent.call(transport, spec, "hash", timeout_s=timeout_s)
    if hashes.failure:
        raise agent.refusal(transport, hashes, spec)
    reason, _, code = answer.first("end", "lost -1").partition(" ")
    said = "\n".join(answer.all("err"))
    counters = tcpdump.parse_closing(said)
    return Stopped(
        end_reason=reason,
        exit_code=int(code) if code.isdecimal() else None,
        captured=counters.captured,
        received=counters.received,
        kernel_drops=counters.kernel_drops,
        interface_drops=counters.interface_drops,
        files=tuple(_remote_file(line) for line in hashes.all("file")),
        messages=(*tcpdump.parse_remarks(said), *_disk_remarks(answer, reason, counters.captured, size_bytes)),
    )


def fetch(transport: Transport, spec: CaptureSpec, file: RemoteFile, target: Path) -> None:
    """Copy *file* to *target*, going on where an earlier attempt stopped (``TARGET.part``), and verify it.

    Raises:
        TransferError: What arrived is not what the host hashed.
        ProbeError: The connection broke; what arrived so far is kept.
    """
    if target.exists() and _sha256(target) == file.sha256:
        return
    path = f"{_directory(transport, spec)}/{_plain_name(file.name)}"
    part = target.with_name(target.name + ".part")
    resumed = part.exists() and 0 < part.stat().st_size <= file.size_bytes
    if not resumed:
        part.unlink(missing_ok=True)
    _append(transport, path, part)
    if resumed and _sha256(part) != file.sha256:
        part.unlink()  # the earlier attempt left something else; once more from the start
        _append(transport, path, part)
    size, digest = part.stat().st_size, _sha256(part)
    if (size, digest) != (file.size_bytes, file.sha256):
        part.unlink()
        msg = (
            f"{transport.place}: {path} arrived with {size} bytes and SHA-256 {digest}, "
            f"the host had {file.size_bytes} bytes and {file.sha256}"
        )
        raise TransferError(msg, code="hash-mismatch", hint="Fetch again; the file on the host has not been removed.")
    part.replace(target)


def remove(transport: Transport, spec: CaptureSpec) -> None:
    """Delete exactly the directory of this run and point on the host; a missing one is fine.

    Raises:
        AgentError: The capture still runs.
    """
    answer = agent.call_fresh(transport, "remove", spec.base_dir, spec.name)
    if answer.failure:
        raise agent.refusal(transport, answer, spec)


def sweep(transport: Transport, *, run_id: str | None = None, base_dir: str = DEFAULT_BASE_DIR) -> tuple[str, ...]:
    """End and remove what crashes left; return the names, ``RUN@POINT``.

    Without *run_id* only captures whose lease ran out, whose agent is gone, or whose files nobody came for in a day.

    Raises:
        ProbeError: The host could not be swept.
    """
    check_base_dir(base_dir)
    if run_id is not None:
        check_run_id(run_id)
    answer = agent.call_fresh(transport, "sweep", base_dir, run_id or "", timeout_s=120.0)
    if answer.failure:
        raise agent.refusal(transport, answer)
    return tuple(dict.fromkeys(answer.all("swept")))


def _arm_error(transport: Transport, spec: CaptureSpec, answer: Answer) -> ProbeError:
    """Return why the capture did not start: tcpdump's own words where there are some."""
    code, text = answer.failure or ("unknown", "")
    place, user = transport.place, answer.first("user", "USER")
    said = "\n".join(answer.all("err"))
    if code in {"start", "rights"}:
        program = answer.first("program", text) if code == "start" else text
        exit_code = _number(text)
        if code == "start" and text == "silent":
            said += "\ntcpdump did not start to listen within 15 s"
        return tcpdump.diagnose(
            said, exit_code, place=place, interface=spec.interface, user=user, tcpdump=program or "tcpdump"
        )
    if code == "tool-missing":
        return tcpdump.diagnose("", 127, place=place, interface=spec.interface, user=user, tcpdump=text)
    return agent.refusal(transport, answer, spec)


def _disk_remarks(answer: Answer, reason: str, captured: int | None, size_bytes: int) -> tuple[str, ...]:
    """Return what the disk did to the file. tcpdump itself ends with 0 and says nothing when a disk is full."""
    lacking = captured is not None and captured * _RECORD_HEADER_BYTES > size_bytes
    if reason != "disk-full" and not answer.all("full") and not lacking:
        return ()
    remark = (
        f"the disk ran full ({answer.first('free')} KiB are free): tcpdump counted {captured} packets and the file has "
        f"{size_bytes} bytes; compare with the records in it, the last may be cut"
    )
    return (remark,)


def _remote_file(line: str) -> RemoteFile:
    name, size, digest = line.split(" ")
    return RemoteFile(name=_plain_name(name), size_bytes=int(size), sha256=digest)


def _plain_name(name: str) -> str:
    """Return *name* if it is a file name of ours: what a host says must not lead out of a directory.

    Raises:
        TransferError: It is something else.
    """
    if not name.endswith(".pcap") or "/" in name or name.startswith((".", "-")):
        msg = f"the host names a file {name!r}"
        raise TransferError(msg, code="file-name", hint="Do not trust this host: its agent was changed.")
    return name


def _directory(transport: Transport, spec: CaptureSpec) -> str:
    done = transport.run(["id", "-u"])
    uid = _number(done.text.strip())
    if uid is None:
        msg = f"{transport.place}: `id -u` said {done.text[:80]!r}"
        raise AgentError(msg, hint="Look at the log-in shell of the capture user.")
    return f"{spec.base_dir}/vanishpoint-{uid}/{spec.name}"


def _append(transport: Transport, path: str, part: Path) -> None:
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as stream:
        transport.read_file(path, stream.tell(), lambda chunk: _keep(stream, chunk))
        stream.flush()
        os.fsync(stream.fileno())


def _keep(stream: BinaryIO, chunk: bytes) -> None:
    stream.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
