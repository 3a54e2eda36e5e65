r"""What the shell of a remote machine is asked to run, and how its answer is told from a broken link.

A client's exit code proves nothing: adb 29 ends with 0 when the cable is pulled, ssh with 255 both for a
lost link and for a command that did so itself. Every command is therefore followed by a line that only
its own shell can have written, `EB:<nonce>:<exit code>`: without it, the link was lost. A line before it
parts its output from what a login shell's files print on the way.

The command runs in a session of its own. Beside it a watch waits for the end of standard input, which is
the end of the client, of its host or of the link, and for a deadline, in case that the link hangs without
an end; a command that is held has none. Either kills the command with all that it has started. Needs a
POSIX shell, cat and sleep; setsid, where it is there (coreutils' neighbours, toybox and busybox have it),
lets the kill reach grandchildren.
"""

from __future__ import annotations

import math
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import IO

SHA256 = (
    "if command -v openssl >/dev/null; then sha() { openssl dgst -sha256 -r; }; "
    'keep() { cat >"$1" && sha <"$1"; }; '
    'else sha() { sha256sum; }; keep() { tee "$1" | sha; }; fi; '
)
"""Shell functions that read standard input and print its SHA-256 first; `keep` leaves it in the file $1.

Where hashing is fast the file is hashed when it is there, which takes less than a pipe; else on its way.

openssl uses the processor's own instructions, coreutils and busybox do not: 1,600 MB/s and 400 MB/s on the
machine of `benchmarks/transport.py`. Android's toybox has them by libcrypto, and there is no openssl.
"""


def name_it(file: str, name: str) -> str:
    """Return shell that makes `name` a link to `file`, both such as $2; nothing where it is empty."""
    return f'[ -z "{name}" ] || {{ rm -f "{name}" && ln -s "{file}" "{name}"; }}'


_MARK = "EB"
_DEADLINE_SLACK_S = 10
_END = 256
"""Bytes that hold the last line."""
_BLOCK = 1 << 20


def new_nonce() -> str:
    """Return 16 hexadecimal digits that no output holds by chance."""
    return secrets.token_hex(8)


def watched(argv: Sequence[str], nonce: str, *, timeout_s: float | None) -> str:
    """Return one line of shell that runs a command, its standard input held open by the client.

    timeout_s: None for a command that has no deadline, and ends with that input.
    """
    return f"echo {_MARK}:{nonce}; {watched_file(argv, nonce, timeout_s=timeout_s)}"


def watched_file(argv: Sequence[str], nonce: str, *, timeout_s: float | None) -> str:
    """Return such a line without the mark at the beginning, for an output whose size is known."""
    deadline = "" if timeout_s is None else f"({_expire(timeout_s)}) & "
    watch = f"{deadline}cat; kill -9 -$c || kill -9 $c; kill -9 0"
    return _line(argv, watch=watch, watched_stdin="<&3", nonce=nonce)


def fed(argv: Sequence[str], nonce: str, *, timeout_s: float) -> str:
    """Return one line of shell that runs a command which reads standard input to its end."""
    watch = f"{_expire(timeout_s)}; kill -9 0"
    return f"echo {_MARK}:{nonce}; {_line(argv, watch=watch, watched_stdin='</dev/null', nonce=nonce)}"


def unwrap(output: bytes, nonce: str) -> tuple[bytes, int] | None:
    """Return a command's own output and exit code, or None where the link broke before its end.

    Old phones send every line with a carriage return; then the output is given without them.
    """
    _, begin, rest = output.partition(f"{_MARK}:{nonce}\n".encode())
    if not begin:
        _, begin, rest = output.partition(f"{_MARK}:{nonce}\r\n".encode())
        rest = rest.replace(b"\r\n", b"\n")
    head, mark, tail = rest.rpartition(f"\n{_MARK}:{nonce}:".encode())
    code, end, _ = tail.partition(b"\n")
    return (head, int(code)) if mark and end and code.isdigit() else None


def unwrap_file(path: Path, nonce: str, size: int) -> int | None:
    """Leave a command's own output of `size` bytes in a file; return its exit code, or None as `unwrap`.

    What the command did not print all of stays as it is.
    """
    with path.open("rb+") as stream:
        stream.seek(max(stream.seek(0, 2) - _END, 0))
        start, last = stream.tell(), stream.read()
        head, mark, tail = last.rpartition(f"\n{_MARK}:{nonce}:".encode())
        if not mark or not tail.endswith(b"\n") or not tail[:-1].isdigit():
            return None
        noise = start + len(head) - size
        if noise > 0:
            _shift(stream, noise, size)
        stream.truncate(min(start + len(head), size))
    return int(tail)


def _shift(stream: IO[bytes], noise: int, size: int) -> None:
    """Move what follows the first `noise` bytes of a file to its beginning."""
    for done in range(0, size, _BLOCK):
        stream.seek(noise + done)
        block = stream.read(min(_BLOCK, size - done))
        stream.seek(done)
        stream.write(block)


def _expire(timeout_s: float) -> str:
    """Return what kills the command after its time; without setsid nothing could end this sleep before."""
    return f'[ "$s" ] && sleep {math.ceil(timeout_s) + _DEADLINE_SLACK_S} && {{ kill -9 -$c || kill -9 $c; }}'


def _line(argv: Sequence[str], *, watch: str, watched_stdin: str, nonce: str) -> str:
    # The shell's own standard error is closed: some tell there of every job that a signal ended. The
    # watch's output is closed too, or the link would stay open as long as it lives.
    return (
        "exec 3<&0 4>&2 2>/dev/null; s=$(command -v setsid); "
        f"$s {shlex.join(argv)} <&3 2>&4 3<&- 4>&- & c=$!; export c s; "
        f"$s sh -c {shlex.quote(watch)} {watched_stdin} >/dev/null 3<&- 4>&- & w=$!; "
        "wait $c; r=$?; kill -9 -$w || kill -9 $w; kill -9 -$c; "
        f"echo; echo {_MARK}:{nonce}:$r"
    )
