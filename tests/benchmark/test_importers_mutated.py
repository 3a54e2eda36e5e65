"""Logs spoilt at random places: read or refused in one line, never a traceback."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from edgebench.benchmark.importers import IMPORTERS, read_log
from edgebench.benchmark.importers.log import Told
from edgebench.errors import InputError
from tests.benchmark.tool_logs import (
    LITERT_2,
    STATISTICS,
    classic,
    google,
    litert_json,
    perf_test_print,
    perf_test_rows,
    repetition,
    trtexec,
)

TEXTS = {
    "trtexec": trtexec([30.0, 31.0, 29.0], early=True),
    "rows": perf_test_rows([0.01, 0.02, 0.03]) + STATISTICS,
    "print": perf_test_print([0.01, 0.02], verbose=True),
    "summary": perf_test_print([0.01, 0.02], verbose=False),
    "classic": classic(prefix="INFO: "),
    "litert": LITERT_2,
    "json": litert_json(),
    "google": google([repetition("B", i, 1.0 + i) for i in range(3)]),
}
NUMBER = re.compile(rb"-?\d+\.?\d*(?:e[+-]?\d+)?")
IN_PLACE = (
    b"nan", b"-1", b"1e400", b"null", b'""', b"[]", b"{}", b"true", b"\xff", b"9" * 23, b"\n", b"]", b"-0",
)  # fmt: skip


def spoilt(text: bytes, rng: random.Random) -> bytes:
    """Return the text cut off, with a number replaced, with a piece lost, or with one repeated."""
    at = rng.randrange(len(text))
    kind = rng.choice(["cut", "number", "number", "replaced", "lost", "repeated"])
    if kind == "cut":
        return text[:at] or b"["
    if kind == "number":
        start, end = rng.choice([match.span() for match in NUMBER.finditer(text)] or [(0, 0)])
        return text[:start] + rng.choice(IN_PLACE) + text[end:]
    if kind == "replaced":
        return text[:at] + rng.choice(IN_PLACE) + text[at + rng.randint(0, 12) :]
    if kind == "lost":
        return text[:at] + text[at + rng.randint(1, 40) :] or b"["
    return text[:at] + text[max(0, at - 60) :]


@pytest.mark.parametrize("name", TEXTS)
def test_a_spoilt_log_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    """Sixty logs of each kind, each spoilt twice: every time that is taken over is a time."""
    rng = random.Random(name)  # noqa: S311 - not a secret
    path = tmp_path / "log"
    refusals: list[str] = []
    for _ in range(60):
        path.write_bytes(spoilt(spoilt(TEXTS[name].encode(), rng), rng))
        for form in (None, *IMPORTERS):
            try:
                logs = read_log(path, Told(runtime="litert"), form=form)
            except InputError as err:
                refusals.append(err.message)
                continue
            for log in logs:
                assert (log.latency_ns > 0).all()
                assert log.latency_ns.size or log.warmup_ns.size or (log.summary and log.summary.calls > 0)
    assert refusals
    assert [message for message in refusals if "\n" in message] == []
