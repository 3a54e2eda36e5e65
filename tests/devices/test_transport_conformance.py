"""What every transport keeps, over each of them: words, exit codes, streams, files, ends."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from devices.conftest import Bench, LinkedBench
from processes import processes_of, wait_until

from edgebench.errors import DeviceError, DeviceFileError, DeviceTimeoutError

LIMIT_S = 30.0
HOSTILE = [
    "two  blanks",
    "'single' and \"double\"",
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "| touch pwned & touch pwned",
    "first\nsecond",
    "\ttab and \\ backslash \\n",
    "größe 模型 🙂",
    "",
    "*",
    "~",
    "-n",
    "#",
    "!!",
    "%s %d",
    "$HOME",
    "> pwned",
]


def say(bench: Bench, script: str, *words: str, timeout_s: float = LIMIT_S) -> str:
    """Return what a shell script prints there, which must end well."""
    done = bench.transport.run(["sh", "-c", script, "sh", *words], timeout_s=timeout_s)
    assert done.returncode == 0, done
    return done.stdout


def test_words_arrive_as_they_were_given(bench: Bench) -> None:
    """Blanks, quotes, `;`, `$()`, newlines, unicode and empty words reach the command unchanged."""
    script = 'cd "$1"; shift; for word; do printf "%s\\0" "$word"; done'
    assert say(bench, script, str(bench.folder), *HOSTILE).split("\0") == [*HOSTILE, ""]
    assert list(bench.seen.iterdir()) == []


@pytest.mark.parametrize("code", [0, 1, 2, 7, 126, 127, 200, 255])
def test_exit_codes_come_back(bench: Bench, code: int) -> None:
    """The command's own exit code comes back, also those that ssh and adb use for themselves."""
    assert bench.transport.run(["sh", "-c", f"exit {code}"], timeout_s=LIMIT_S).returncode == code


@pytest.mark.parametrize("number", [6, 9, 11, 15])
def test_signals_are_told_as_shells_do(bench: Bench, number: int) -> None:
    """A command that signal n ends comes back with 128 + n."""
    done = bench.transport.run(["sh", "-c", f"kill -{number} $$"], timeout_s=LIMIT_S)
    assert done.returncode == 128 + number


def test_an_absent_command_ends_with_127(bench: Bench) -> None:
    """A command that is not there is an answer, not a broken link."""
    assert bench.transport.run(["edgebench-no-such-command"], timeout_s=LIMIT_S).returncode == 127


def test_streams_are_kept_apart(bench: Bench) -> None:
    """What goes to stderr is not in stdout, where the transport can tell them apart."""
    done = bench.transport.run(["sh", "-c", "echo out; echo err >&2"], timeout_s=LIMIT_S)
    assert (done.stdout, done.stderr) == (("out\n", "err\n") if bench.apart else ("out\nerr\n", ""))


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "EB:0:0\n"])
def test_output_is_exact_to_its_end(bench: Bench, ending: str) -> None:
    """No newline is added or lost, and what looks like a transport's last line is output."""
    assert say(bench, 'printf "%s" "$1"', f"text{ending}") == f"text{ending}"


def test_large_output_is_whole(bench: Bench) -> None:
    """Two million bytes come back, every one."""
    assert say(bench, "head -c 2000000 /dev/zero | tr '\\0' x") == "x" * 2_000_000


def test_input_is_given_and_ended(bench: Bench) -> None:
    """A command reads the bytes it is given, zeros and all, and then their end."""
    content = b"\0first\nsecond\xff" * 20_000
    done = bench.transport.run(["sh", "-c", "cksum; echo done"], timeout_s=LIMIT_S, stdin=content)
    (bench.seen / "copy").write_bytes(content)
    assert done.stdout == say(bench, 'cksum <"$1"; echo done', str(bench.folder / "copy"))


def test_files_go_and_come_back(bench: Bench, tmp_path: Path) -> None:
    """Three million random bytes come back the same; their folder is made on the way."""
    content = np.random.default_rng(0).bytes(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    remote = bench.folder / "new folder" / "a $(touch pwned); 'model' ü.bin"
    bench.transport.push(tmp_path / "sent", remote)
    bench.transport.pull(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert [path.name for path in bench.seen.rglob("*")] == ["new folder", remote.name]


def test_an_empty_file_is_a_file(bench: Bench, tmp_path: Path) -> None:
    """A file without content goes and comes back."""
    (tmp_path / "empty").touch()
    bench.transport.push(tmp_path / "empty", bench.folder / "empty")
    bench.transport.pull(bench.folder / "empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_file_is_replaced_whole(bench: Bench, tmp_path: Path) -> None:
    """A file that is sent again takes the place of the first."""
    for content in (b"first, the longer one", b"second"):
        (tmp_path / "sent").write_bytes(content)
        bench.transport.push(tmp_path / "sent", bench.folder / "file")
    assert (bench.seen / "file").read_bytes() == b"second"
    assert [path.name for path in bench.seen.iterdir()] == ["file"]


def test_an_absent_file_is_named(bench: Bench, tmp_path: Path) -> None:
    """A file that is not there is named, and nothing is left here in its place."""
    with pytest.raises(DeviceFileError, match="nothing-here"):
        bench.transport.pull(bench.folder / "nothing-here", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_that_cannot_be_written_is_named(bench: Bench, tmp_path: Path) -> None:
    """Where a file stands in the place of a folder, sending says so with exit code 4."""
    (bench.seen / "file").touch()
    (tmp_path / "sent").write_bytes(b"x")
    with pytest.raises(Exception, match="file") as refused:
        bench.transport.push(tmp_path / "sent", bench.folder / "file" / "inside")
    assert refused.value.exit_code == 4


def test_a_time_out_ends_what_runs_there(bench: Bench) -> None:
    """After its time a command is killed, with what it has started and although it ignores signals."""
    script = "trap '' HUP TERM INT; cd \"$1\"; sleep 600 & sleep 601; wait"
    begin = time.monotonic()
    with pytest.raises(DeviceTimeoutError, match=r"sh did not end within 1 s"):
        say(bench, script, str(bench.folder), timeout_s=1)
    assert time.monotonic() - begin < 10
    assert wait_until(lambda: not processes_of(bench.seen)), processes_of(bench.seen)


def test_what_a_command_leaves_ends_with_it(bench: Bench) -> None:
    """A process left in the background neither holds the call up nor lives on."""
    begin = time.monotonic()
    assert say(bench, 'cd "$1"; sleep 600 & echo done', str(bench.folder)) == "done\n"
    assert time.monotonic() - begin < 10
    assert wait_until(lambda: not processes_of(bench.seen)), processes_of(bench.seen)


def test_standard_input_stays_open(bench: Bench) -> None:
    """A command that waits for the end of its standard input waits as long as it runs."""
    script = '{ cat; touch "$1/ended"; } <&3 & sleep 0.3; ls "$1"'
    assert say(bench, f"exec 3<&0; {script}", str(bench.folder)) == ""


def test_a_cut_link_is_told_and_leaves_no_orphan(linked: LinkedBench) -> None:
    """A cable pulled under a command is a DeviceError with device and step; the command is killed."""
    threading.Timer(1, linked.link.cut).start()
    with pytest.raises(DeviceError, match="running sh: the link broke off") as lost:
        say(linked, 'cd "$1"; echo begun; sleep 600; echo ended', str(linked.folder))
    assert lost.value.message.startswith(linked.transport.uri)
    assert lost.value.exit_code == 4
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)
    assert say(linked, "echo again") == "again\n"


@pytest.mark.parametrize("count", [10_000, 300_000, 2_500_000])
def test_a_cut_while_sending_leaves_no_file(linked: LinkedBench, tmp_path: Path, count: int) -> None:
    """A cable pulled while a file is sent: an error, nothing under its name, and the next try is whole."""
    content = np.random.default_rng(1).bytes(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    linked.link.cut_after(count)
    with pytest.raises(DeviceError, match="sending sent"):
        linked.transport.push(tmp_path / "sent", linked.folder / "file")
    assert wait_until(lambda: not list(linked.seen.iterdir())), list(linked.seen.iterdir())
    linked.transport.push(tmp_path / "sent", linked.folder / "file")
    assert (linked.seen / "file").read_bytes() == content


@pytest.mark.parametrize("count", [10_000, 300_000, 2_500_000])
def test_a_cut_while_fetching_leaves_no_file(linked: LinkedBench, tmp_path: Path, count: int) -> None:
    """A cable pulled while a file is fetched: an error, nothing under its name, and the next try is whole."""
    content = np.random.default_rng(2).bytes(3_000_000)
    (linked.seen / "file").write_bytes(content)
    linked.link.cut_after(count)
    with pytest.raises(DeviceError, match="fetching file"):
        linked.transport.pull(linked.folder / "file", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]
    linked.transport.pull(linked.folder / "file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
