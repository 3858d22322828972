"""Everything a host can do wrong, each with its cure.

ProbeError
├── SpecError           what is asked for is not well formed; no host was touched
├── UnreachableError    no connection, or it broke
├── HostKeyError        the host is not proved to be who it should be
├── LoginError          the host does not let this user in
├── RightsError         logged in, but not allowed to capture
├── ToolMissingError    a program that is needed is not on the host
├── InterfaceError      the interface does not exist or is down
├── FilterError         the host's tcpdump does not accept the filter
├── DiskError           not enough room, or the directory cannot be written
├── AgentError          the capture on the host is not in the state it should be
├── TransferError       what arrived is not what the host hashed
└── TimeLimitError      the host did not answer in time

``code`` is stable and meant for programs; the message says what and where; ``hint`` is something to type or to change.
"""

from __future__ import annotations

from typing import ClassVar


class ProbeError(Exception):
    """One host did not do what it was asked."""

    default_code: ClassVar[str] = "probe"

    def __init__(self, message: str, *, hint: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.hint = hint


class SpecError(ProbeError):
    """A name, interface, filter or number that must not reach a host."""

    default_code = "bad-spec"


class UnreachableError(ProbeError):
    """There is no connection to the host, or there is none any more."""

    default_code = "unreachable"


class HostKeyError(ProbeError):
    """The host key is unknown or has changed; nothing was sent to the host."""

    default_code = "host-key"


class LoginError(ProbeError):
    """The host refuses this user with these keys."""

    default_code = "login"


class RightsError(ProbeError):
    """The user may log in but not capture."""

    default_code = "rights"


class ToolMissingError(ProbeError):
    """A program that capturing needs is not installed."""

    default_code = "tool-missing"


class InterfaceError(ProbeError):
    """The interface cannot be captured on."""

    default_code = "interface"


class FilterError(ProbeError):
    """The capture filter does not compile for this interface."""

    default_code = "filter"


class DiskError(ProbeError):
    """The host has no room for the capture."""

    default_code = "disk"


class AgentError(ProbeError):
    """The capture on the host is gone, ended or confused."""

    default_code = "agent"


class TransferError(ProbeError):
    """The file that arrived is not the file that was captured."""

    default_code = "transfer"


class TimeLimitError(ProbeError):
    """A command on the host outlived its deadline."""

    default_code = "time-limit"
