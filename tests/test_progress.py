"""Progress that is kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebench.errors import StorageError
from edgebench.progress import logged, silent


def test_each_message_is_kept_with_its_time(tmp_path: Path) -> None:
    """The log has a line per message, the caller's progress gets them too, and a second run adds to it."""
    told: list[tuple[str, int | None, int | None]] = []

    def tell(message: str, *, done: int | None = None, total: int | None = None) -> None:
        told.append((message, done, total))

    path = tmp_path / "log.txt"
    logged(tell, path)("größe", done=1, total=2)
    logged(silent, path)("again")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in lines] == ["größe", "again"]
    assert told == [("größe", 1, 2)]


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Below a plain file there is no log: one error with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"log\.txt"):
        logged(silent, tmp_path / "file" / "log.txt")("x")
