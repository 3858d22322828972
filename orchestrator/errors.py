"""Everything that ends a command.

VanishpointError
├── InputError          exit 2   a file, flag or name given by the user is wrong
│   ├── InventoryError
│   ├── PlaybookError
│   └── CaptureFileError         a file that cannot be read as a capture at all
├── CaptureFailedError  exit 3   too few points could capture
└── EvidenceError       exit 4   a file is not what it was

Every error says what is wrong and where (the message), and what to do next (the hint).
"""

from __future__ import annotations

from typing import ClassVar


class VanishpointError(Exception):
    """An end of a command that its user can understand and act on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(VanishpointError):
    """What the user gave cannot be used."""

    exit_code = 2


class InventoryError(InputError):
    """The inventory does not describe a usable network."""


class PlaybookError(InputError):
    """The playbook cannot be carried out."""


class CaptureFileError(InputError):
    """The file is not a capture that can be read."""


class CaptureFailedError(VanishpointError):
    """Too few points could capture for the run to mean anything."""

    exit_code = 3


class EvidenceError(VanishpointError):
    """A file differs from what was recorded about it."""

    exit_code = 4
