"""The line that a remote shell is given: in every shell, with and without setsid, ended in every way."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from processes import wait_until

from edgebench.devices.shell import new_nonce, unwrap, watched

SHELLS = [["dash"], ["bash"], ["mksh"], ["busybox", "sh"]]


@pytest.fixture(params=SHELLS, ids=lambda argv: argv[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return each shell that is installed here."""
    argv: list[str] = request.param
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed: apt-get install -y {argv[0]} enables this test")
    return argv


def start(shell: list[str], line: str, path: str | None = None) -> subprocess.Popen[bytes]:
    """Start a shell on a line, its standard input held open."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = None if path is None else {"PATH": path}
    program = [shutil.which(shell[0]) or shell[0], *shell[1:], "-c", line]
    return subprocess.Popen(program, **pipes, env=environment)  # type: ignore[call-overload,no-any-return]


def sleepers(seconds: str) -> list[str]:
    """Return the processes that sleep for so long."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split() == ["sleep", seconds]]


def test_an_ordinary_end_leaves_no_watch(shell: list[str]) -> None:
    """Output and exit code come back, and neither the watch nor its deadline lives on."""
    nonce = new_nonce()
    with start(shell, watched(["sh", "-c", "echo out; exit 3"], nonce, timeout_s=7123)) as process:
        output = process.stdout.read() if process.stdout else b""
    assert unwrap(output, nonce) == (b"out\n", 3)
    assert wait_until(lambda: not sleepers("7133"))


@pytest.mark.parametrize("timeout_s", [7123, None])
def test_the_end_of_input_kills_what_runs(shell: list[str], timeout_s: float | None) -> None:
    """Where standard input ends, the command ends, with what it has started, within a second.

    Also where it is held without a deadline.
    """
    nonce = new_nonce()
    script = "trap '' HUP TERM INT; sleep 7201 & sleep 7201; wait"
    with start(shell, watched(["sh", "-c", script], nonce, timeout_s=timeout_s)) as process:
        assert wait_until(lambda: len(sleepers("7201")) == 2)
        assert process.stdin is not None
        process.stdin.close()
        assert wait_until(lambda: not sleepers("7201"), 1)
    assert wait_until(lambda: not sleepers("7133"))


def test_without_setsid_it_still_answers(shell: list[str], tmp_path: Path) -> None:
    """A machine without setsid runs commands all the same, and nothing of theirs is left."""
    for name in ("sh", "cat", "sleep", "echo"):
        (tmp_path / name).symlink_to(shutil.which(name) or "/bin/false")
    nonce, begin = new_nonce(), time.monotonic()
    line = watched(["echo", "a  b"], nonce, timeout_s=7123)
    with start(shell, line, str(tmp_path)) as process:
        output = process.stdout.read() if process.stdout else b""
    assert unwrap(output, nonce) == (b"a  b\n", 0)
    assert time.monotonic() - begin < 10
    assert sleepers("7133") == []


@pytest.mark.parametrize(
    "output",
    [b"", b"EB:n\nout", b"EB:n\nout\nEB:n:", b"EB:n\nout\nEB:n:0", b"EB:n\nout\nEB:m:0\n", b"out\nEB:n:x\n"],
)
def test_a_torn_answer_is_none(output: bytes) -> None:
    """An answer that was cut anywhere, or is another command's, is not taken for one."""
    assert unwrap(output, "n") is None
