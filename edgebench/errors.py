"""What can go wrong, as one tree; every branch carries the exit code of the command line.

EdgebenchError
├── InputError              2  the user's model, data, file or option does not fit
│   ├── ConfigError         2  a pipeline, gate or device file, or an option
│   ├── ModelError          2  a model file that cannot be read or run
│   ├── DataError           2  a data set that is absent, empty or does not fit the model
│   └── MissingExtraError   2  a framework that is not installed
├── ExportError             2  a conversion that failed, or whose outputs are wrong
├── MeasurementError        3  a measurement that cannot be used
├── StorageError            4  disk full, not writable, taken by another run
└── DeviceError             4  a device that is absent, refused or broke off
    ├── DeviceBusyError     4  another measurement that did not end in the time to wait
    ├── DeviceFileError     4  a file there that cannot be read
    └── DeviceTimeoutError  4  a command there that did not end in its time
"""

from __future__ import annotations

from typing import ClassVar


class EdgebenchError(Exception):
    """Something the user can act on: one line of what happened, and a hint of what to do."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own where there is one."""
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class InputError(EdgebenchError):
    """The user's model, data, file or option does not fit."""


class ConfigError(InputError):
    """A pipeline, gate or device file, or an option, is wrong."""


class ModelError(InputError):
    """A model file cannot be read or run."""


class DataError(InputError):
    """A data set is absent, empty or does not fit the model."""


class MissingExtraError(InputError):
    """A framework that the request needs is not installed."""


class ExportError(EdgebenchError):
    """A conversion failed, or its outputs differ from the source's."""


class MeasurementError(EdgebenchError):
    """A measurement cannot be used."""

    exit_code = 3


class StorageError(EdgebenchError):
    """The disk is full, a folder is not writable, or another run holds it."""

    exit_code = 4


class DeviceError(EdgebenchError):
    """A device is absent, refused the work, or broke off."""

    exit_code = 4


class DeviceBusyError(DeviceError):
    """A device is measured on by another, for longer than was to be waited; nothing is wrong with it."""


class DeviceFileError(DeviceError):
    """A file on a device is absent or cannot be read; the link is good."""


class DeviceTimeoutError(DeviceError):
    """A command on a device did not end in its time and was killed; the link is good."""
