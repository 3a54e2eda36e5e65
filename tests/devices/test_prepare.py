"""A machine is prepared for its measurement, and is as it was afterwards, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from devices.conftest import Bench, LinkedBench
from devices.sys_trees import policies, tool, write
from processes import processes_of, wait_until

from edgebench.devices.device import Device
from edgebench.devices.local import LocalDevice
from edgebench.devices.prepare import journal_of, made_ready, prepared, recovered
from edgebench.devices.remote import RemoteTransport
from edgebench.devices.remote_device import RemoteDevice
from edgebench.errors import DeviceError
from edgebench.progress import silent

CLUSTERS = {0: "0 1 2 3", 4: "4 5"}
GOVERNED = (
    "prepared: governor of cores 0,1,2,3 performance (was schedutil)",
    "prepared: governor of cores 4,5 performance (was schedutil)",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's journal out of the user's cache."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def _device(bench: Bench) -> Device:
    transport = bench.transport
    if isinstance(transport, RemoteTransport):
        return RemoteDevice(transport, folder=bench.folder)
    assert isinstance(transport, LocalDevice)
    return transport


def _values(paths: list[Path]) -> list[str]:
    return [path.read_text().strip() for path in paths]


def test_governors_are_set_and_put_back(bench: Bench) -> None:
    """On every transport: each cluster's governor is performance inside, and its former one afterwards."""
    device, root = _device(bench), bench.seen / "root"
    governors = policies(root, CLUSTERS, governor="schedutil")
    with prepared(device, silent, root=str(root)) as notes:
        assert notes == GOVERNED
        time.sleep(1)  # time enough for a restorer that does not wait
        assert _values(governors) == ["performance"] * 2
        assert Path(journal_of(device)).exists()
    assert _values(governors) == ["schedutil"] * 2
    assert not list(bench.seen.rglob("*restore*"))


def test_an_error_puts_everything_back(tmp_path: Path) -> None:
    """A measurement that ends by an error leaves the machine as it was."""
    governors = policies(tmp_path, CLUSTERS, governor="schedutil")
    with pytest.raises(ZeroDivisionError), prepared(LocalDevice(), silent, root=str(tmp_path)):
        _ = 1 / 0
    assert wait_until(lambda: _values(governors) == ["schedutil"] * 2)


def test_a_cut_link_puts_everything_back(linked: LinkedBench) -> None:
    """The cable pulled in the middle: the machine itself puts everything back, and nothing runs on there."""
    root = linked.seen / "root"
    governors = policies(root, CLUSTERS, governor="schedutil")
    with contextlib.suppress(DeviceError), prepared(_device(linked), silent, root=str(root)):
        linked.link.cut()
        assert wait_until(lambda: _values(governors) == ["schedutil"] * 2)
    assert wait_until(lambda: not processes_of(linked.seen)), processes_of(linked.seen)


def test_a_cut_link_between_jobs_is_told(linked: LinkedBench) -> None:
    """A machine that has put everything back is not measured as a prepared one."""
    device, root = _device(linked), linked.seen / "root"
    policies(root, CLUSTERS, governor="schedutil")
    with contextlib.suppress(DeviceError), prepared(device, silent, root=str(root)):
        linked.link.cut()
        with pytest.raises(DeviceError, match="preparing the device: the link broke off"):
            device.run(["true"], timeout_s=30)


HOST = """
import sys, time
from edgebench.devices.local import LocalDevice
from edgebench.devices.prepare import prepared
from edgebench.progress import silent
with prepared(LocalDevice(), silent, root=sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_host_puts_everything_back(tmp_path: Path) -> None:
    """Edgebench killed with -9: the machine is as it was within seconds, and no journal is left."""
    governors = policies(tmp_path, CLUSTERS, governor="schedutil")
    with subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path)], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        time.sleep(1)
        assert _values(governors) == ["performance"] * 2
        os.kill(host.pid, signal.SIGKILL)
        assert wait_until(lambda: _values(governors) == ["schedutil"] * 2)
    assert wait_until(lambda: not Path(journal_of(LocalDevice())).exists())


def test_the_next_connection_puts_back_what_was_left(bench: Bench) -> None:
    """A machine that went down with its journal on disk is put right by who holds it next, and says so."""
    device, root = _device(bench), bench.seen / "root"
    (governor,) = policies(root, {0: "0"}, governor="performance")
    name = str(governor.relative_to(root))
    journal = Path(journal_of(device))
    write(journal.parent, {journal.name: f"file\t{name}\tondemand"})
    with made_ready(device, silent, prepare=False, root=str(root)) as notes:
        assert notes == (f"{name} was put back: an earlier measurement had changed it",)
        assert _values([governor]) == ["ondemand"]
    assert not journal.exists()
    assert recovered(device, root=str(root)) == ()


def test_what_may_not_be_set_is_said(tmp_path: Path) -> None:
    """A governor that stays as it is, whatever is written, is a note, and nothing is claimed."""
    (governor,) = policies(tmp_path, {0: "0"}, governor="schedutil")
    governor.unlink()
    governor.symlink_to("/proc/sys/kernel/ostype")  # reads as Linux, and takes no writing
    with prepared(LocalDevice(), silent, root=str(tmp_path)) as notes:
        assert notes == ("not prepared: governor of cores 0 stays Linux: this user may not set it there",)


def test_what_cannot_be_put_back_stays_in_the_journal(tmp_path: Path) -> None:
    """A setting that cannot be put back is named, its former value is kept, and nothing else is changed."""
    journal = Path(journal_of(LocalDevice()))
    write(journal.parent, {journal.name: "file\tsys/gone/scaling_governor\tondemand"})
    assert recovered(LocalDevice(), root=str(tmp_path)) == ("sys/gone/scaling_governor cannot be put back",)
    held = journal.read_text()
    (governor,) = policies(tmp_path, {0: "0"}, governor="schedutil")
    with made_ready(LocalDevice(), silent, prepare=True, root=str(tmp_path)) as notes:
        assert notes[-1] == "not prepared: what an earlier measurement changed must be put back first"
        assert _values([governor]) == ["schedutil"]
    assert journal.read_text() == held


def test_a_machine_that_is_as_wanted_is_left_alone(tmp_path: Path) -> None:
    """Where the governor is performance already, or offers no such thing, nothing is written."""
    policies(tmp_path, {0: "0"}, governor="performance")
    policy = "sys/devices/system/cpu/cpufreq/policy4"
    write(tmp_path, {f"{policy}/scaling_governor": "fixed", f"{policy}/scaling_available_governors": "fixed"})
    with prepared(LocalDevice(), silent, root=str(tmp_path)) as notes:
        assert notes == ("prepared: nothing to change",)
        assert not Path(journal_of(LocalDevice())).exists()


SETTINGS = """cd "$(dirname "$0")"
case $1 in
get) cat stay;;
put) echo "$4" >stay; cp ../cache/prepared/restore journal-then;;
delete) echo null >stay;;
esac"""


@pytest.mark.parametrize("former", ["0", "null"])
def test_a_phone_stays_awake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: str) -> None:
    """Android's setting is 7 inside and its former value, or none, afterwards; the journal came first."""
    tool(tmp_path, monkeypatch, "settings", SETTINGS)
    stay = tmp_path / "tools" / "stay"
    stay.write_text(f"{former}\n")
    with prepared(LocalDevice(), silent, root=str(tmp_path)) as notes:
        assert notes == (f"prepared: stay awake while plugged in 7 (was {former})",)
        assert stay.read_text() == "7\n"
        assert "stay_on_while_plugged_in" in (tmp_path / "tools" / "journal-then").read_text()
    assert stay.read_text() == f"{former}\n"


NVPMODEL = """cd "$(dirname "$0")"
case $1 in
-q) echo "NV Power Mode: MODE_$(cat mode)"; cat mode;;
-m) [ "$2" != 3 ] && echo "$2" >mode;;
esac"""
CLOCKS = """cd "$(dirname "$0")"
case $1 in
--store) [ -e "$2" ] && exit 1; cp clocks "$2";;
--restore) cp "$2" clocks;;
*) echo highest >clocks;;
esac"""


@pytest.mark.parametrize(("asked", "inside"), [(0, "0"), (3, "2")])
def test_a_jetsons_mode_and_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, inside: str
) -> None:
    """Mode and clocks are set and put back; a mode that the machine refuses is said to stay."""
    tool(tmp_path, monkeypatch, "nvpmodel", NVPMODEL)
    tool(tmp_path, monkeypatch, "jetson_clocks", CLOCKS)
    write(tmp_path / "cache" / "prepared", {"restore.clocks": "of an earlier time"})
    mode, clocks = write(tmp_path / "tools", {"mode": 2, "clocks": "moving"}), tmp_path / "tools" / "clocks"
    with prepared(LocalDevice(), silent, power_mode=asked, root=str(tmp_path)) as notes:
        assert _values([mode / "mode", clocks]) == [inside, "highest"]
        assert ("not prepared: power mode stays 2" in notes[0]) is (inside == "2")
    assert _values([mode / "mode", clocks]) == ["2", "moving"]


ERRORS = "\necho 'NVPM ERROR: Error opening /sys/kernel/nvpmodel_emc_cap/emc_iso_cap: 13'"


def test_a_mode_is_known_with_errors_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nvpmodel prints to who is not root: the number is found among it, and put back afterwards."""
    tool(tmp_path, monkeypatch, "nvpmodel", NVPMODEL + ERRORS)
    mode = write(tmp_path / "tools", {"mode": 1}) / "mode"
    with prepared(LocalDevice(), silent, power_mode=0, root=str(tmp_path)) as notes:
        assert notes == ("prepared: power mode 0 (was 1)",)
        assert _values([mode]) == ["0"]
    assert _values([mode]) == ["1"]


def test_a_mode_that_is_not_told_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says which mode to put back it stays, which is said; the others are set."""
    tool(tmp_path, monkeypatch, "nvpmodel", NVPMODEL.replace("; cat mode;;", ERRORS + ";;"))
    mode = write(tmp_path / "tools", {"mode": 1}) / "mode"
    policies(tmp_path, CLUSTERS, governor="schedutil")
    with prepared(LocalDevice(), silent, power_mode=0, root=str(tmp_path)) as notes:
        said = "nvpmodel does not tell which one to put back"
        assert notes == (f"not prepared: the power mode stays as it is: {said}", *GOVERNED)
        assert _values([mode]) == ["1"]


def test_only_root_is_told_the_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this user may not even ask for the mode, sudo does that too."""
    tool(tmp_path, monkeypatch, "nvpmodel", '[ "$ROOT" ] || exit 1\n' + NVPMODEL)
    tool(tmp_path, monkeypatch, "sudo", '[ "$1" = -n ] || exit 1\nshift\nROOT=1 exec "$@"')
    mode = write(tmp_path / "tools", {"mode": 2}) / "mode"
    with prepared(LocalDevice(), silent, power_mode=0, root=str(tmp_path)) as notes:
        assert notes == ("prepared: power mode 0 (was 2)",)
    assert _values([mode]) == ["2"]


def test_sudo_without_a_password_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this user may not change the mode, sudo is asked, and told to ask for nothing."""
    allowed = 'case "$1$ROOT" in -q*|-m1) ;; *) exit 1;; esac\n'
    tool(tmp_path, monkeypatch, "nvpmodel", allowed + NVPMODEL)
    tool(tmp_path, monkeypatch, "sudo", '[ "$1" = -n ] || exit 1\nshift\nROOT=1 exec "$@"')
    mode = write(tmp_path / "tools", {"mode": 2}) / "mode"
    with prepared(LocalDevice(), silent, power_mode=0, root=str(tmp_path)) as notes:
        assert notes == ("prepared: power mode 0 (was 2)",)
        assert _values([mode]) == ["0"]
    assert _values([mode]) == ["2"]


def test_two_at_a_time_do_not_undo_each_other(tmp_path: Path) -> None:
    """A second measurement on this machine changes nothing, and does not take the first's for a left one."""
    governors = policies(tmp_path, CLUSTERS, governor="schedutil")
    with prepared(LocalDevice(), silent, root=str(tmp_path)):
        with made_ready(LocalDevice(), silent, prepare=True, root=str(tmp_path)) as notes:
            assert notes == ("not prepared: another measurement here holds this machine's settings",)
        assert _values(governors) == ["performance"] * 2
