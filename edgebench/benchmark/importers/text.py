"""Text logs of any length: searched where they lie, without being read into memory."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Pattern = re.Pattern[bytes]

_END = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a log, by its first byte and the one behind its last."""

    content: mmap.mmap
    start: int
    end: int

    def holds(self, words: bytes) -> bool:
        """Return whether the words stand in it; far faster than a pattern."""
        return self.content.find(words, self.start, self.end) >= 0

    def ends_of_log(self) -> tuple[Part, Part]:
        """Return its first and its last 64 KiB, where tools tell of the whole."""
        first, last = min(self.start + _END, self.end), max(self.end - _END, self.start)
        return self.until(first), self.since(last)

    def all(self, pattern: Pattern) -> Iterator[re.Match[bytes]]:
        """Yield every match of a pattern, in order."""
        return pattern.finditer(self.content, self.start, self.end)

    def first(self, pattern: Pattern) -> re.Match[bytes] | None:
        """Return the first match of a pattern, or None."""
        return pattern.search(self.content, self.start, self.end)

    def words(self, pattern: Pattern) -> str | None:
        """Return the first match's first group as text, or None."""
        found = self.first(pattern)
        return found[1].decode(errors="replace").strip() if found else None

    def line_before(self, position: int) -> bytes:
        """Return what stands in a line before `position`."""
        return self.content[self.content.rfind(b"\n", self.start, position) + 1 : position]

    def until(self, end: int) -> Part:
        """Return the stretch up to `end`."""
        return Part(self.content, self.start, end)

    def since(self, start: int) -> Part:
        """Return the stretch from `start` on."""
        return Part(self.content, start, self.end)


def open_text(path: Path) -> Part:
    """Return the whole of a log that is not empty; the file is let go with the last match of it."""
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Part(content, 0, len(content))
