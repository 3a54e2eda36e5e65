"""One measurement at a time on a device, whoever asks."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
from devices.conftest import LinkedBench
from devices.ssh_server import SshServer
from processes import processes_of, running_in, wait_until

from edgebench.devices.registry import open_device
from edgebench.devices.remote import RemoteTransport
from edgebench.devices.remote_device import RemoteDevice
from edgebench.errors import DeviceBusyError, DeviceError
from edgebench.progress import silent


def device(linked: LinkedBench) -> RemoteDevice:
    """Return the bench's machine as a device, as another process would open it."""
    assert isinstance(linked.transport, RemoteTransport)
    return RemoteDevice(linked.transport, folder=linked.folder)


@contextmanager
def waiting(linked: LinkedBench) -> Iterator[tuple[list[str], threading.Event]]:
    """Yield what someone is told who asks for the device, and whether they have it."""
    told: list[str] = []
    has_it, done = threading.Event(), threading.Event()

    def ask() -> None:
        with device(linked).lease(lambda message, **_: told.append(message)):
            has_it.set()
            done.wait(30)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield told, has_it
    finally:
        done.set()
        thread.join(30)


def test_the_second_waits_for_the_first(linked: LinkedBench) -> None:
    """A second measurement waits and says for whom; it has the device when the first has ended."""
    with ExitStack() as first:
        first.enter_context(device(linked).lease(silent))
        with waiting(linked) as (told, has_it):
            assert wait_until(lambda: bool(told))
            assert told[0].startswith(f"{linked.transport.uri}: waits for {getpass.getuser()}@")
            assert not has_it.is_set()
            first.close()
            assert has_it.wait(20)
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)


def test_a_time_to_wait_is_kept_to(linked: LinkedBench) -> None:
    """Who may wait two seconds is told for whom, and ends with exit code 4."""
    told: list[str] = []
    with device(linked).lease(silent):
        with (
            pytest.raises(DeviceBusyError, match=f"{getpass.getuser()}@.*since .*who measures there") as late,
            device(linked).lease(lambda message, **_: told.append(message), wait_s=2),
        ):
            pytest.fail("it cannot be held")
        assert late.value.exit_code == 4
        assert len(told) == 1


def test_the_device_is_free_after_the_first(linked: LinkedBench) -> None:
    """One measurement after the other has the device, and nobody is waited for."""
    for _ in range(2):
        with waiting(linked) as (told, has_it):
            assert has_it.wait(20)
            assert told == []


def test_a_lost_link_frees_the_device(linked: LinkedBench) -> None:
    """A host whose cable is pulled holds nothing: the device is another's within seconds."""
    with device(linked).lease(silent):
        linked.link.cut()
        with waiting(linked) as (_, has_it):
            assert has_it.wait(30)


def test_a_lease_that_was_lost_ends_the_measurement(linked: LinkedBench) -> None:
    """After a short cut between two jobs neither a command nor a job is taken for one that has the device."""
    there = device(linked)
    with there.lease(silent):
        workspace = there.workspace(linked.seen)
        assert there.run_job(["true"], workspace, timeout_s=30).returncode == 0
        linked.link.cut()
        for measure in (there.run, partial(there.run_job, workspace=workspace)):
            with pytest.raises(DeviceError, match="holding the device: the link broke off") as lost:
                measure(["true"], timeout_s=30)
            assert lost.value.message.startswith(f"{linked.transport.uri}: ")
    assert there.run(["true"], timeout_s=30).returncode == 0


def test_a_lease_that_is_lost_in_a_job_ends_the_measurement(linked: LinkedBench) -> None:
    """A job that ended while the lease was lost is not the measurement of one who had the device."""
    there = device(linked)
    with there.lease(silent):
        workspace = there.workspace(linked.seen)
        running = running_in(linked.seen).items()
        holding = [str(pid) for pid, line in running if line.startswith("sh -c umask")]
        assert holding
        job = ["sh", "-c", 'kill -9 "$@"; sleep 1', "sh", *holding]
        with pytest.raises(DeviceError, match="holding the device"):
            there.run_job(job, workspace, timeout_s=30)


def test_a_device_that_does_not_answer_is_not_held(over_ssh: SshServer) -> None:
    """A machine that cannot be reached is a DeviceError before anything is measured."""
    gone = open_device(f"{over_ssh.uri.rpartition(':')[0]}:1?cache=/tmp")
    with pytest.raises(DeviceError, match="it refuses connections"), gone.lease(silent):
        pytest.fail("it cannot be held")
