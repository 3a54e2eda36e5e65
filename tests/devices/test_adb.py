"""What adb alone has: which phone is meant, phones that are not ready, full disks, network phones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from devices.adb_phone import Attached, Phone, adb, adb_server, attached
from processes import wait_until

from edgebench.devices import remote
from edgebench.devices.adb import AdbTransport
from edgebench.devices.registry import open_device
from edgebench.devices.remote_device import RemoteDevice
from edgebench.errors import DeviceError


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of an adb server with no phone."""
    with adb_server(tmp_path_factory.mktemp("adb")) as own:
        yield own


@pytest.fixture
def alone(
    empty_server: dict[str, str],
    over_adb: dict[str, str],  # noqa: ARG001 clears what else names a phone
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Return that environment, which is this process's now."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", empty_server["ANDROID_ADB_SERVER_PORT"])
    return empty_server


def opened(uri: str) -> AdbTransport:
    """Return the transport of a phone's name."""
    device = open_device(uri)
    assert isinstance(device, RemoteDevice)
    assert isinstance(device.transport, AdbTransport)
    return device.transport


def says(transport: AdbTransport) -> str:
    """Return what a phone echoes."""
    return transport.run(["echo", "here"], timeout_s=30).stdout


def test_two_phones_and_the_named_one_is_used(phone: Attached, old_phone: Attached) -> None:
    """Two phones attached: each name reaches its own, and only that."""
    for one, other in ((phone, old_phone), (old_phone, phone)):
        before = len(other.phone.opened)
        assert says(opened(f"adb://{one.serial}")) == "here\n"
        assert len(other.phone.opened) == before


def test_two_phones_and_no_name_is_refused(phone: Attached, old_phone: Attached) -> None:
    """Two phones attached and none named: exit code 4, both listed, and how to name one."""
    with pytest.raises(DeviceError, match="adb: 2 phones are attached") as refused:
        open_device("adb://")
    assert refused.value.exit_code == 4
    assert all(f"{one.serial} (device)" in refused.value.message for one in (phone, old_phone))
    assert "ANDROID_SERIAL" in str(refused.value.hint)


def test_android_serial_names_the_phone(
    phone: Attached, old_phone: Attached, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ANDROID_SERIAL is honoured where the name leaves the serial out, and yields to one that does not."""
    monkeypatch.setenv("ANDROID_SERIAL", old_phone.serial)
    assert (opened("adb://").serial, opened("adb:").uri) == (old_phone.serial, f"adb://{old_phone.serial}")
    assert opened(f"adb://{phone.serial}").serial == phone.serial


@pytest.mark.usefixtures("alone")
def test_no_phone_is_told() -> None:
    """No phone attached: exit code 4 and what to look at."""
    with pytest.raises(DeviceError, match="adb: no phone is attached") as refused:
        open_device("adb://")
    assert refused.value.exit_code == 4
    assert "USB debugging" in str(refused.value.hint)


def test_the_only_phone_needs_no_name(alone: dict[str, str], tmp_path: Path) -> None:
    """One phone attached: it is used, and its serial stands in the device's name."""
    with attached(Phone(tmp_path), alone) as only:
        assert says(opened("adb://")) == "here\n"
        assert opened("adb://").uri == f"adb://{only.serial}"


@pytest.mark.usefixtures("alone")
def test_an_absent_serial_is_told() -> None:
    """A serial that is not attached: exit code 4 with the serial."""
    with pytest.raises(DeviceError, match="adb://R58M123ABC: connecting: no such phone is attached"):
        says(opened("adb://R58M123ABC"))


def test_a_phone_that_has_not_allowed_this_computer(alone: dict[str, str], tmp_path: Path) -> None:
    """An unauthorized phone: exit code 4 and what to do on its screen."""
    with attached(Phone(tmp_path, allowed=False), alone) as strange:
        with pytest.raises(DeviceError, match="the phone has not allowed this computer") as refused:
            says(opened(f"adb://{strange.serial}"))
        assert "unlock it" in str(refused.value.hint)


def test_a_phone_that_went_offline(
    alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A phone whose cable is out for good: exit code 4, after the time in which it might come back."""
    with attached(Phone(tmp_path), alone) as gone:
        transport = opened("adb://")
        gone.link.close()
        monkeypatch.setattr(remote, "AWAY_S", 2.0)
        assert wait_until(lambda: "\tdevice" not in adb(["devices"], alone))
        with pytest.raises(DeviceError, match=r"the phone is offline|no such phone is attached"):
            says(transport)


def test_a_phone_on_the_network_is_called_back(alone: dict[str, str], tmp_path: Path) -> None:
    """A phone with an address for a serial is connected to where adb has forgotten it."""
    with attached(Phone(tmp_path), alone) as known:
        adb(["disconnect", known.serial], alone)
        assert says(opened(f"adb://{known.serial}")) == "here\n"


@pytest.mark.parametrize("room", [0, 100_000])
def test_a_full_disk_is_told(phone: Attached, tmp_path: Path, room: int) -> None:
    """A phone whose disk fills up while a file is sent: exit code 4, and no file is left there."""
    (tmp_path / "model").write_bytes(bytes(1_000_000))
    (tmp_path / "there").mkdir()
    phone.phone.room = room
    try:
        with pytest.raises(DeviceError, match="sending model: the device's disk is full") as full:
            opened(f"adb://{phone.serial}").push(
                tmp_path / "model", PurePosixPath(tmp_path / "there" / "model")
            )
    finally:
        phone.phone.room = None
    assert full.value.exit_code == 4
    assert list((tmp_path / "there").iterdir()) == []


def test_no_adb_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without adb the message says how to install it."""
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="adb is not on PATH") as absent:
        open_device("adb://SERIAL")
    assert "platform-tools" in str(absent.value.hint)


def test_adb_of_the_android_sdk_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$ANDROID_HOME's adb goes before that of PATH."""
    tools = tmp_path / "platform-tools"
    tools.mkdir()
    (tools / "adb").write_text("#!/bin/sh\n")
    (tools / "adb").chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert opened("adb://SERIAL").adb == str(tools / "adb")


HANGS = """case $* in
devices|connect*) sleep 60;;
*) echo "error: device '$2' not found" >&2; exit 1;;
esac"""


@pytest.mark.parametrize(
    ("uri", "step"),
    [("adb://", "adb devices"), ("adb://127.0.0.1:9", r"adb connect 127\.0\.0\.1:9")],
)
def test_a_server_that_hangs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, step: str
) -> None:
    """Where adb's server does not answer the call and its own limit are named, whatever step waits for it."""
    sdk = tmp_path / "sdk" / "platform-tools"
    sdk.mkdir(parents=True)
    (sdk / "adb").write_text(f"#!/bin/sh\n{HANGS}\n")
    (sdk / "adb").chmod(0o755)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.setattr("edgebench.devices.adb.SHORT_S", 1.0)
    with pytest.raises(DeviceError, match=f"^{step} did not end within 1 s") as refused:
        says(opened(uri))
    assert "adb kill-server" in str(refused.value.hint)
