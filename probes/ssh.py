"""SSH to one host. The only module that knows paramiko.

Unknown and changed host keys are refused, argv lists are quoted by `transport.quote` alone, deadlines are ours (worker
threads have none), and every foreign exception becomes one of `probes.errors` in `mapped`.
"""

from __future__ import annotations

import logging
import select
import socket
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from paramiko import ber, buffered_pipe, hostkeys, packet, pkey, sftp, ssh_exception
from paramiko.auth_strategy import AuthFailure

from probes.errors import (
    HostKeyError,
    LoginError,
    ProbeError,
    TimeLimitError,
    TransferError,
    UnreachableError,
)
from probes.transport import Completed, quote, tail_argv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from probes.spec import Login

logger = logging.getLogger(__name__)
# Without a handler Python prints paramiko's own tracebacks on stderr; what matters of them is in our errors.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHUNK_BYTES = 1 << 18
_SILENCE_S = 30.0
"""A transfer in which no byte arrives for so long is given up."""
_KEEPALIVE_S = 15

_TRY_AGAIN = "Look at the host and the way to it, then try again: ssh {login}"
_KEYS = "Put the public key into ~/.ssh/authorized_keys of that user, or correct `key_file:` and `user:`."
_HOST_KEY = "Compare the fingerprint with the host's console; if it is right: ssh-keyscan -p PORT HOST >> known_hosts"
_ALGORITHMS = "Enable a current key exchange and host key type in the host's sshd_config."
_BUG = "This is a fault of the SSH library or of the host's sshd; look at the host's log."

_Rule = tuple[type[ProbeError], str, str]
RULES: dict[type[BaseException], _Rule] = {
    paramiko.SSHException: (UnreachableError, "ssh", _TRY_AGAIN),
    paramiko.BadHostKeyException: (HostKeyError, "host-key-changed", _HOST_KEY),
    hostkeys.InvalidHostKey: (HostKeyError, "known-hosts", "Correct that line of the known_hosts file."),
    paramiko.AuthenticationException: (LoginError, "login", _KEYS),
    paramiko.BadAuthenticationType: (LoginError, "login-method", _KEYS),
    paramiko.PasswordRequiredException: (LoginError, "key-locked", "Load the key into an agent: ssh-add KEY_FILE"),
    ssh_exception.PartialAuthentication: (LoginError, "login-partial", "Let this user in with a key alone."),
    ssh_exception.UnableToAuthenticate: (LoginError, "login", _KEYS),
    AuthFailure: (LoginError, "login", _KEYS),
    pkey.UnknownKeyType: (LoginError, "key-type", "Make a key of a current type: ssh-keygen -t ed25519"),
    ssh_exception.IncompatiblePeer: (UnreachableError, "ssh-algorithms", _ALGORITHMS),
    ssh_exception.MessageOrderError: (UnreachableError, "ssh-protocol", _BUG),
    paramiko.ChannelException: (UnreachableError, "too-many-sessions", "Raise MaxSessions in the host's sshd_config."),
    paramiko.ProxyCommandFailure: (UnreachableError, "proxy", _TRY_AGAIN),
    ssh_exception.NoValidConnectionsError: (UnreachableError, "unreachable", _TRY_AGAIN),
    ssh_exception.CouldNotCanonicalize: (UnreachableError, "name", "Correct the host name in the inventory."),
    paramiko.ConfigParseError: (UnreachableError, "ssh-config", _BUG),
    ber.BERException: (LoginError, "key-broken", "Make the key again: ssh-keygen -t ed25519"),
    packet.NeedRekeyException: (UnreachableError, "ssh-protocol", _BUG),
    sftp.SFTPError: (TransferError, "transfer", _TRY_AGAIN),
    buffered_pipe.PipeTimeout: (TimeLimitError, "time-limit", _TRY_AGAIN),
    socket.gaierror: (UnreachableError, "name", "Correct the host name in the inventory, or the resolver."),
    TimeoutError: (TimeLimitError, "time-limit", _TRY_AGAIN),
    ConnectionError: (UnreachableError, "unreachable", _TRY_AGAIN),
    EOFError: (UnreachableError, "connection-lost", _TRY_AGAIN),
    OSError: (UnreachableError, "unreachable", _TRY_AGAIN),
}
"""What each foreign exception means to us; a test walks paramiko and fails when one is missing."""

_SPECIAL: tuple[tuple[str, _Rule], ...] = (
    ("not found in known_hosts", (HostKeyError, "host-key-unknown", _HOST_KEY)),
    (
        "No authentication methods available",
        (LoginError, "no-key", "Name a `key_file:`, or load one: ssh-add KEY_FILE"),
    ),
    ("private key file", (LoginError, "key-broken", "Make the key again: ssh-keygen -t ed25519")),
)
"""Plain SSHExceptions that have no class of their own; their text is all there is."""


@contextmanager
def mapped(login: Login) -> Iterator[None]:
    """Turn whatever paramiko and the socket raise in this block into a ProbeError about *login*."""
    try:
        yield
    except tuple(RULES) as error:
        rule = next(RULES[cls] for cls in type(error).__mro__ if cls in RULES)
        text = str(error) or type(error).__name__
        kind, code, hint = next((special for part, special in _SPECIAL if part in text), rule)
        msg = f"{login}: {text}"
        raise kind(msg, code=code, hint=hint.format(login=login)) from error


def connect(login: Login) -> SshTransport:
    """Log in to a host, through its jump host if it has one.

    Raises:
        UnreachableError: There is no way to the host.
        HostKeyError: The host's key is unknown or has changed.
        LoginError: The host does not let the user in.
        TimeLimitError: The host did not answer in time.
    """
    jump = connect(login.jump) if login.jump else None
    client: paramiko.SSHClient | None = None
    try:
        client = _client(login)
        with mapped(login):
            # A changed or unknown key ends the key exchange, before any authentication.
            client.connect(
                login.host,
                port=login.port,
                username=login.user,
                key_filename=login.key_file,
                allow_agent=login.key_file is None,
                look_for_keys=False,
                timeout=login.connect_timeout_s,
                banner_timeout=login.connect_timeout_s,
                auth_timeout=login.connect_timeout_s,
                channel_timeout=login.connect_timeout_s,
                sock=jump.open_tunnel(login.host, login.port) if jump else _open_socket(login),
            )
    except BaseException:
        if client:
            client.close()  # a refused host key or log-in leaves a connection behind
        if jump:
            jump.close()
        raise
    logger.debug("connected host=%s jump=%s", login, login.jump)
    return SshTransport(login, client, jump)


def _client(login: Login) -> paramiko.SSHClient:
    """Return a client that knows the host keys of *login* and takes no others."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    known = Path(login.known_hosts)
    if not known.is_file():
        msg = f"{login}: there is no known_hosts file {known}"
        raise HostKeyError(msg, code="known-hosts", hint=f"ssh-keyscan -p {login.port} {login.host} >> {known}")
    if login.key_file is not None:
        _check_key_file(login, Path(login.key_file))
    with mapped(login):
        client.load_host_keys(str(known))
    return client


def _check_key_file(login: Login, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        msg = f"{login}: key file {path}: {error.strerror}"
        raise LoginError(msg, code="key-file", hint="Correct `key_file:` in the inventory.") from error
    if stat.S_IMODE(mode) & 0o077:
        msg = f"{login}: key file {path} can be read by others"
        raise LoginError(msg, code="key-file", hint=f"chmod 600 {path}")


def _open_socket(login: Login) -> socket.socket:
    try:
        sock = socket.create_connection((login.host, login.port), timeout=login.connect_timeout_s)
    except TimeoutError as error:  # a host that is not there is unreachable, not slow
        msg = f"no answer within {login.connect_timeout_s:g} s"
        raise ConnectionError(msg) from error
    # Clock exchanges are single small packets each way: none may wait for another's acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class SshTransport:
    """One connection to one host. One caller at a time."""

    def __init__(self, login: Login, client: paramiko.SSHClient, jump: SshTransport | None) -> None:
        self._login = login
        self._client = client
        self._jump = jump
        self._wire.set_keepalive(_KEEPALIVE_S)

    @property
    def place(self) -> str:
        """What messages call this host."""
        return str(self._login)

    @property
    def is_alive(self) -> bool:
        """True while the connection has not been seen to break."""
        wire = self._client.get_transport()
        return wire is not None and wire.is_active()

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0) -> Completed:
        """Run *argv* to its end, reading stdout and stderr as they come.

        Raises:
            TimeLimitError: It did not end within *timeout_s*.
            UnreachableError: The connection broke.
        """
        deadline = time.monotonic() + timeout_s
        with mapped(self._login), self._session(argv, timeout_s) as channel:
            outputs = _converse(channel, stdin, deadline, f"{argv[0]} did not end within {timeout_s:g} s")
            if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                msg = f"{argv[0]} did not end within {timeout_s:g} s"
                raise TimeoutError(msg)
            if channel.exit_status == -1 and not self.is_alive:
                msg = f"the connection broke while {argv[0]} ran"
                raise ConnectionError(msg)
            logger.debug("ran host=%s program=%s exit=%d", self._login, argv[0], channel.exit_status)
            return Completed(exit_code=channel.exit_status, stdout=outputs[0], stderr=outputs[1])

    def open_dialogue(self, argv: Sequence[str]) -> SshDialogue:
        """Start *argv* and keep it.

        Raises:
            UnreachableError: The connection broke, or the host allows no further session.
        """
        with mapped(self._login):
            channel = self._wire.open_session(timeout=_SILENCE_S)
            channel.exec_command(quote(argv).encode())
            return SshDialogue(self._login, channel)

    def read_file(self, path: str, offset: int, sink: Callable[[bytes], None]) -> int:
        """Hand the bytes of *path* from *offset* on to *sink*; return how many there were.

        Raises:
            TransferError: The file cannot be read.
            TimeLimitError: No byte arrived for 30 s.
            UnreachableError: The connection broke.
        """
        with mapped(self._login), self._session(tail_argv(path, offset), _SILENCE_S) as channel:
            total = 0
            while chunk := channel.recv(_CHUNK_BYTES):  # the channel's time limit is the longest silence
                sink(chunk)
                total += len(chunk)
            if not channel.status_event.wait(_SILENCE_S) or (channel.exit_status == -1 and not self.is_alive):
                msg = f"the connection broke after {total} bytes of {path}"
                raise ConnectionError(msg)
            if channel.exit_status == 0:
                return total
        msg = f"{self._login}: {path} cannot be read"
        raise TransferError(msg, hint=f"Look at it: ssh {self._login.user}@{self._login.host} ls -l {path}")

    def open_tunnel(self, host: str, port: int) -> paramiko.Channel:
        """Return a byte stream from this host to *host*, for a host behind this one.

        Raises:
            UnreachableError: This host cannot reach the other, or forbids forwarding.
        """
        try:
            with mapped(self._login):
                timeout_s = self._login.connect_timeout_s
                return self._wire.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout_s)
        except UnreachableError as error:
            msg = f"{error}: no way from there to {host}:{port}"
            hint = f"On the jump host: nc -vz {host} {port}; and AllowTcpForwarding yes in its sshd_config."
            raise UnreachableError(msg, hint=hint, code="jump") from error

    def close(self) -> None:
        """Hang up, the jump host too."""
        self._client.close()
        if self._jump:
            self._jump.close()

    @property
    def _wire(self) -> paramiko.Transport:
        wire = self._client.get_transport()
        if wire is None or not wire.is_active():
            msg = f"{self._login}: the connection is gone"
            raise UnreachableError(msg, code="connection-lost", hint="Connect again.")
        return wire

    @contextmanager
    def _session(self, argv: Sequence[str], timeout_s: float) -> Iterator[paramiko.Channel]:
        """Run *argv* in a session of its own; the channel is referenced here until it ends, or it would be closed."""
        line = quote(argv)
        with self._wire.open_session(timeout=min(timeout_s, _SILENCE_S)) as channel:
            channel.settimeout(timeout_s)
            channel.exec_command(line.encode())
            yield channel


def _converse(channel: paramiko.Channel, stdin: bytes, deadline: float, late: str) -> tuple[bytes, bytes]:
    """Feed *stdin* and drain both outputs to their end: one left undrained would block the command."""
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    pending = memoryview(stdin)
    out, err = bytearray(), bytearray()
    closed_input = False
    while True:
        if pending and channel.send_ready():
            pending = pending[channel.send(bytes(pending[:32_768])) :]
        if not pending and not closed_input:
            channel.shutdown_write()
            closed_input = True
        while channel.recv_ready():
            out += channel.recv(_CHUNK_BYTES)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK_BYTES)
        ended = channel.eof_received or channel.closed
        if ended and not channel.recv_ready() and not channel.recv_stderr_ready():
            return bytes(out), bytes(err)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(late)
        # A full send window has no descriptor to wait on. The one for reading stands for two buffers, each with a lock
        # of its own: emptying one while the other fills can lose the signal, so nothing sleeps long on it.
        poller.poll(min(left_s, 0.02 if pending else 0.1) * 1000 + 1)


class SshDialogue:
    """A command on the host that is spoken to line by line."""

    def __init__(self, login: Login, channel: paramiko.Channel) -> None:
        self._login = login
        self._channel = channel
        self._buffer = b""

    def send_line(self, line: str) -> None:
        """Send *line* and a newline.

        Raises:
            UnreachableError: The connection broke, or the command has ended.
        """
        with mapped(self._login):
            self._channel.sendall(line.encode() + b"\n")

    def read_line(self, timeout_s: float) -> str:
        """Return the next line without its newline.

        Raises:
            TimeLimitError: No whole line came in time.
            UnreachableError: The connection broke, or the command has ended.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            self._receive(max(0.001, deadline - time.monotonic()))
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode("utf-8", errors="replace")

    def close(self) -> None:
        """End the command."""
        self._channel.close()

    def _receive(self, timeout_s: float) -> None:
        with mapped(self._login):
            if self._channel.recv_stderr_ready():
                self._channel.recv_stderr(_CHUNK_BYTES)  # nobody wants it, but undrained it would block the command
            self._channel.settimeout(timeout_s)
            chunk = self._channel.recv(4096)
        if not chunk:
            msg = f"{self._login}: the command ended in mid-talk"
            raise UnreachableError(msg, hint="Connect again.", code="dialogue-ended")
        self._buffer += chunk
