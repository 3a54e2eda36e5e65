"""The hash of a file that another process still writes."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

from edgebench.devices.following import Following


def sha256(content: bytes) -> str:
    """Return the hash of bytes."""
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_hashed_while_it_grows(tmp_path: Path) -> None:
    """Written in pieces by somebody else, its hash is that of the whole."""
    path, pieces = tmp_path / "arriving", [bytes([n]) * 700_001 for n in range(9)]

    def write() -> None:
        with path.open("wb") as stream:
            for piece in pieces:
                stream.write(piece)
                time.sleep(0.005)

    with Following(path) as found:
        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        assert found.digest() == sha256(b"".join(pieces))


def test_what_is_cut_off_at_the_end_is_not_hashed(tmp_path: Path) -> None:
    """A line that a link writes behind the file, and takes away again, leaves no trace."""
    path = tmp_path / "arriving"
    path.write_bytes(b"x" * 3_000_000 + b"\nEB:0123:0\n")
    with Following(path) as found:
        time.sleep(0.05)
        with path.open("rb+") as stream:
            stream.truncate(3_000_000)
        assert found.digest() == sha256(b"x" * 3_000_000)


def test_a_file_that_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    """A client that removes the file and makes it anew is followed, too; a small one needs no thread."""
    path = tmp_path / "arriving"
    path.touch()
    with Following(path) as found:
        time.sleep(0.02)
        path.unlink()
        path.write_bytes(b"abc")
        assert found.digest() == sha256(b"abc")
