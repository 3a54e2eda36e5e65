"""The criteria of a measurement, written down before it begins and kept with what was measured.

They are gates in words, which nothing here understands: their text is hashed, in a canonical form, so that
whoever judges can tell whether they are the same still.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgebench.errors import InputError
from edgebench.storage import read_json, sha256_bytes, write_json

CRITERIA = "criteria.json"
_MEASURED = ("samples", "outputs", "devices")


@dataclass(frozen=True, slots=True)
class Criteria:
    """Gates as they stood before the first timing. gates: canonical. sha256: of them as canonical JSON."""

    gates: tuple[str, ...]
    sha256: str
    declared_utc: str


def canonical(gates: Iterable[str]) -> tuple[str, ...]:
    """Return gates in words sorted, each once: their order is no part of what they ask."""
    return tuple(sorted(set(gates)))


def criteria_sha256(gates: Iterable[str]) -> str:
    """Return the SHA-256 of gates in words, as a JSON list in canonical order without spaces, UTF-8."""
    text = json.dumps(canonical(gates), ensure_ascii=False, separators=(",", ":"))
    return sha256_bytes(text.encode())


def declare(folder: Path, gates: Iterable[str]) -> Criteria | None:
    """Write the criteria into a run's folder before its measurement, and return those in force there.

    Where something was measured already, as in a run that was killed, those that it was measured under stay
    in force; None where it was measured under none, since what comes after a measurement is not declared
    before it. Raises InputError where they were edited since, StorageError where they cannot be written.
    """
    path = folder / CRITERIA
    words = canonical(gates)
    if any(any((folder / place).glob("*")) for place in _MEASURED):
        return _known(path) if path.exists() else None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = Criteria(words, criteria_sha256(words), now)
    write_json(path, found)
    return found


def _known(path: Path) -> Criteria:
    found = read_json(path, Criteria)
    if criteria_sha256(found.gates) != found.sha256:
        raise InputError(
            f"{path}: was edited after it was written: the gates' SHA-256 is "
            f"{criteria_sha256(found.gates)[:16]}…, and it says {found.sha256[:16]}…",
            hint="measure anew in another folder with -o",
        )
    return found
