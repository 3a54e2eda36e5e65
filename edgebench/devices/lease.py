"""One measurement at a time on a machine: a lock of its kernel's, a queue before it, and words for who waits.

The lock is held by a command at the end of the link, so it is free again when this process ends, however
that is, or the link. Who waits is told whose turn it is, and how long it has lasted.
"""

from __future__ import annotations

import getpass
import os
import platform
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from edgebench.errors import DeviceBusyError
from edgebench.progress import Progress

_WORDS = {
    "waiting": "{}, who measures there",
    "finishing": "the job of {}, which outlived its link",
}

REMIND_S = 30.0
"""How often one who waits is told so."""

# A descriptor of the subshell's: toybox's flock takes no other form, and mksh passes no other one on.
LEASE = (
    'umask 077; mkdir -p "${1%/*}"; ( command -v flock >/dev/null || { echo held; cat >/dev/null; exit; }; '
    'flock -n 9 || { echo "waiting $(cat "$1.owner")"; flock 9; }; '
    '( flock -n 9 || { echo "finishing $(cat "$1.job.owner")"; flock 9; } ) 9>>"$1.job"; '
    'echo "$2" >"$1.owner"; echo held; cat >/dev/null ) 9>>"$1"'
)
"""POSIX shell: $1 the lock, $2 who asks. It says for whom it waits, then `held`, until its input ends.

`waiting NAME`: one that measures. `finishing NAME`: one whose job outlived its link, and runs still.
"""


def owner() -> str:
    """Return who measures, for those who wait."""
    now = f"{datetime.now(UTC):%H:%M} UTC"
    return f"{getpass.getuser()}@{platform.node()} (process {os.getpid()}, since {now})"


def await_turn(lines: Iterable[str], uri: str, progress: Progress, wait_s: float | None) -> None:
    """Read what the lease's command says until the machine is ours.

    lines: an empty one while it says nothing. wait_s: None for as long as it takes. Raises
    DeviceBusyError, naming the holder, where the time is over.
    """
    holder, begun, told_at = "", 0.0, 0.0
    for line in lines:
        word, _, named = line.partition(" ")
        if word == "held":
            return
        now = time.monotonic()
        if word in _WORDS:
            holder, begun, told_at = _WORDS[word].format(named or "another"), begun or now, now
            progress(f"{uri}: waits for {holder}")
        if not holder:
            continue
        if wait_s is not None and now - begun >= wait_s:
            raise DeviceBusyError(
                f"{uri}: waiting for the device: it is not free after {_span(wait_s)}, for {holder}",
                hint="--wait says how long to wait, as in --wait 30m; without it a run waits for its turn",
            )
        if now - told_at >= REMIND_S:
            told_at = now
            progress(f"{uri}: waits for {holder}: {_span(now - begun)} so far")


def _span(seconds: float) -> str:
    """Return a span of time in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 two minutes
