"""How long work tells its caller where it is; the caller decides whether anybody sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Takes one line about the work at hand, and how much of it is done where that is known."""

    def __call__(self, message: str, *, done: int | None = None, total: int | None = None) -> None:
        """Report `message`; done of total, in steps."""


def silent(message: str, *, done: int | None = None, total: int | None = None) -> None:
    """Report nothing."""


def logged(progress: Progress, path: Path) -> Progress:
    """Return a progress that also appends each message, with the time in UTC, to the file `path`."""
    from edgebench.storage import storage_errors

    def tell(message: str, *, done: int | None = None, total: int | None = None) -> None:
        with storage_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {message}\n")
        progress(message, done=done, total=total)

    return tell
