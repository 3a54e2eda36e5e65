"""Jobs go on without link and host, end at their limit, and are found again by what they are."""

from __future__ import annotations

import getpass
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from devices.conftest import LinkedBench
from processes import processes_of, wait_until

from edgebench.benchmark.agent_run import AgentHost
from edgebench.benchmark.conducting import conduct
from edgebench.benchmark.programs import Program
from edgebench.devices.remote import RemoteTransport
from edgebench.devices.remote_device import RemoteDevice
from edgebench.errors import DeviceBusyError, DeviceError, DeviceTimeoutError, MeasurementError
from edgebench.progress import silent

SLOW = 'echo begun >>"$1/times"; sleep 2; echo "it $((1 + 1))"; exit 7'


def device(linked: LinkedBench) -> RemoteDevice:
    """Return the bench's machine as a device, as a process of its own would open it."""
    assert isinstance(linked.transport, RemoteTransport)
    return RemoteDevice(linked.transport, folder=linked.folder)


def slow(linked: LinkedBench, *more: str) -> list[str]:
    """Return a command that takes 2 s and counts its beginnings."""
    return ["sh", "-c", SLOW, "sh", str(linked.folder), *more]


def endless(linked: LinkedBench) -> list[str]:
    """Return a command that does not end."""
    return ["sh", "-c", 'echo begun >>"$1/times"; sleep 600', "sh", str(linked.folder)]


def begun(linked: LinkedBench) -> int:
    """Return how often it began."""
    times = linked.seen / "times"
    return len(times.read_text().splitlines()) if times.exists() else 0


def group(linked: LinkedBench) -> int:
    """Return the process group of the job that runs."""
    return int((linked.seen / "edgebench" / "lock.job.pid").read_text().split()[0])


def later(linked: LinkedBench, act: Callable[[], object]) -> None:
    """Do something as soon as a job runs."""

    def watch() -> None:
        assert wait_until(lambda: bool(begun(linked)))
        act()

    threading.Thread(target=watch).start()


def broken(linked: LinkedBench, argv: list[str]) -> PurePosixPath:
    """Run a job whose cable is pulled; return its workspace."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    later(linked, linked.link.cut)
    with pytest.raises(DeviceError, match="running sh: the link broke off"):
        there.run_job(argv, workspace, timeout_s=60)
    return workspace


def test_its_words_and_its_end_come_through(linked: LinkedBench) -> None:
    """Exit code, output and odd words of a job are as those of a command at the end of the link."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    odd = "a 'b' $(touch pwned); \"c\" ü"
    done = there.run_job(["sh", "-c", 'echo "$1"; echo word >&2; exit 9', "sh", odd], workspace, timeout_s=30)
    assert done.returncode == 9
    assert done.stdout.splitlines()[0] == odd
    assert "word" in (done.stderr if linked.apart else done.stdout)
    assert not list(linked.seen.rglob("pwned"))


def test_a_cut_link_loses_nothing(linked: LinkedBench) -> None:
    """After a cut another process is given the end of the very job that ran; asked once more it runs anew."""
    workspace = broken(linked, slow(linked))
    there = device(linked)
    with there.lease(silent):
        done = there.run_job(slow(linked), workspace, timeout_s=60)
        assert (done.returncode, done.stdout.strip(), begun(linked)) == (7, "it 2", 1)
        assert done.earlier
        assert not there.run_job(slow(linked), workspace, timeout_s=60).earlier
    assert begun(linked) == 2


def test_other_words_and_other_content_are_another_job(linked: LinkedBench) -> None:
    """What was found by its key is found only with the same words, and the same files behind them."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    local, count = linked.seen / "here", 0
    listed = linked.seen / "job.json"
    listed.write_text(json.dumps({"inputs": [str(workspace / "x ü.bin")]}))
    for content, word in (("1", "a"), ("1", "a"), ("2", "a"), ("2", "b")):
        fresh = device(linked)
        local.write_text(content)
        fresh.deploy(local, workspace / "x ü.bin")
        fresh.push(listed, workspace / "job.json")
        fresh.run_job(
            ["sh", "-c", 'echo >>"$1"', "sh", f"{linked.folder}/n", f"{workspace}/job.json", word],
            workspace,
            timeout_s=30,
        )
        count = (linked.seen / "n").read_text().count("\n")
    assert count == 3


def by_the_agent(host: AgentHost) -> object:
    """Run a job that answers."""
    return host.run({"mode": "accuracy", "runtime": "onnxruntime"}, "job", timeout_s=30)


def by_the_conductor(host: AgentHost) -> object:
    """Run a job that times."""
    return conduct(host, [{}], calls=1, max_s=1.0, seed="")


@pytest.mark.parametrize("run", [by_the_agent, by_the_conductor])
def test_another_agent_or_runtime_is_another_job(
    linked: LinkedBench, run: Callable[[AgentHost], object]
) -> None:
    """The end that a job had under other files of the agent, or other packages, is not taken."""
    workspace = device(linked).workspace(linked.seen)
    words = ("sh", "-c", 'echo >>"$0"', f"{linked.folder}/n")
    counts = []
    for sha256, version in (("old", "1"), ("old", "1"), ("new", "1"), ("new", "2")):
        program = Program(words, words, {"onnxruntime": version}, sha256)
        host = AgentHost(device(linked), workspace, linked.seen, program)
        with pytest.raises(MeasurementError, match="the agent gave no result"):
            run(host)
        counts.append((linked.seen / "n").read_text().count("\n"))
    assert counts == [1, 1, 2, 3]


def test_at_its_limit_all_of_a_job_ends(linked: LinkedBench) -> None:
    """A job that does not end in its time is killed with all that it started, host or not."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    stubborn = f"trap '' TERM HUP; sleep 600 & cd {linked.folder}; exec sleep 601"
    with pytest.raises(DeviceTimeoutError, match="did not end within 2 s"):
        there.run_job(["sh", "-c", stubborn], workspace, timeout_s=2)
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)


def test_a_job_outlives_its_link_to_its_limit_and_no_longer(linked: LinkedBench) -> None:
    """Without its host a job goes on, and ends at its limit without any."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    later(linked, linked.link.cut)
    with pytest.raises(DeviceError, match="the link broke off"):
        there.run_job(endless(linked), workspace, timeout_s=3)
    assert processes_of(linked.seen)
    assert wait_until(lambda: not processes_of(linked.seen), 15), processes_of(linked.seen)


def test_a_job_without_its_host_is_ended_on_request(linked: LinkedBench) -> None:
    """What outlived its link is killed, and whose it was is said; then nothing runs there."""
    broken(linked, endless(linked))
    assert processes_of(linked.seen)
    assert device(linked).jobs().release().startswith(f"{getpass.getuser()}@")
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)
    assert device(linked).jobs().release() == ""


def test_a_job_whose_host_is_there_is_left_alone(linked: LinkedBench) -> None:
    """Nobody ends the measurement of another who still waits for it."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    refused: list[str] = []

    def ask() -> None:
        with pytest.raises(DeviceBusyError, match=f"{getpass.getuser()}@.* measures there now") as busy:
            device(linked).jobs().release()
        refused.append(busy.value.message)

    with there.lease(silent):
        later(linked, ask)
        assert there.run_job(slow(linked), workspace, timeout_s=60).returncode == 7
    assert len(refused) == 1


def test_the_device_is_not_free_while_a_job_runs(linked: LinkedBench) -> None:
    """Whoever asks for the device waits for a job that outlived its link, and is told whose it is."""
    broken(linked, slow(linked))
    told: list[str] = []
    with device(linked).lease(lambda message, **_: told.append(message)):
        assert not processes_of(linked.seen / "edgebench" / "runs")
    assert len(told) == 1
    assert told[0].startswith(f"{linked.transport.uri}: waits for the job of ")


def test_a_job_that_vanished_is_told_and_begins_anew(linked: LinkedBench) -> None:
    """A restart of the device ends a job without a word: exit code 4, nothing of it is used, it runs anew."""
    there = device(linked)
    workspace = there.workspace(linked.seen)
    later(linked, lambda: os.killpg(group(linked), signal.SIGKILL))
    with pytest.raises(DeviceError, match="running sh: the job is gone and left no word of its end"):
        there.run_job(slow(linked), workspace, timeout_s=60)
    (linked.seen.joinpath(*workspace.relative_to(linked.folder).parts) / "job" / "status.part").write_text(
        "0"
    )
    done = device(linked).run_job(slow(linked), workspace, timeout_s=60)
    assert (done.returncode, begun(linked)) == (7, 2)


def test_the_end_of_a_run_ends_its_job(linked: LinkedBench) -> None:
    """Clearing a workspace kills its own job, and no other's."""
    workspace = broken(linked, endless(linked))
    there = device(linked)
    there.clear(there.workspace(Path("/another")))
    assert processes_of(linked.seen)
    there.clear(workspace)
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)
    assert {path.name.partition(".")[0] for path in linked.seen.rglob("*") if path.is_file()} == {
        "lock",
        "times",
    }
