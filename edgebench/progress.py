"""How long work tells its caller where it is; the caller decides whether anybody sees it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Takes one line about the work at hand, and how much of it is done where that is known."""

    def __call__(self, message: str, *, done: int | None = None, total: int | None = None) -> None:
        """Report `message`; done of total, in steps."""


def silent(message: str, *, done: int | None = None, total: int | None = None) -> None:
    """Report nothing."""
