"""The SHA-256 of a file while another process still writes it, so that it is known when the file is whole."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_PAUSE_S = 0.002
"""Between two looks at the file."""

_BLOCK = 1 << 20

_HELD_BACK = 1 << 12
"""Bytes at the end that are left for last: what a link writes behind a file is cut off again."""


class Following:
    """Hashes `path` as it grows, in a thread of its own, while the block lasts."""

    def __init__(self, path: Path) -> None:
        self._path, self._hash, self._done = path, hashlib.sha256(), 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def digest(self) -> str:
        """Return the hash of the file as it grew to what it is now. Raises OSError.

        It is that of no file where bytes changed that had been read already.
        """
        self._end()
        self._take(0)
        return self._hash.hexdigest()

    def _follow(self) -> None:
        while not self._ended.wait(_PAUSE_S):
            with contextlib.suppress(OSError):  # not there yet
                self._take(_HELD_BACK)

    def _take(self, held_back: int) -> None:
        """Hash what the file has grown by, but for the last bytes."""
        with self._path.open("rb") as stream:
            left = stream.seek(0, 2) - held_back - self._done
            stream.seek(self._done)
            while left > 0 and (block := stream.read(min(_BLOCK, left))):
                self._hash.update(block)
                self._done += len(block)
                left -= len(block)

    def _end(self) -> None:
        self._ended.set()
        self._thread.join()
