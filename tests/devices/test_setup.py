"""Packages for a device's own Python: wheels from here, unpacked there, found by a launcher."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from devices.ssh_server import SshServer

from edgebench import api
from edgebench.devices.registry import open_device
from edgebench.devices.remote_device import RemoteDevice
from edgebench.devices.setup import Interpreter, ask_interpreter, set_up
from edgebench.errors import ConfigError, DeviceError


@pytest.fixture
def device(over_ssh: SshServer, tmp_path: Path) -> RemoteDevice:
    """Return a machine whose folder has a blank in its name."""
    (tmp_path / "its files").mkdir()
    opened = open_device(f"{over_ssh.uri}?cache={tmp_path}/its%20files")
    assert isinstance(opened, RemoteDevice)
    return opened


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Return a folder with the wheel of one small package, half of it in the wheel's data folder."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "import tiny_data\nVALUE = 40 + tiny_data.TWO\n")
        wheel.writestr("tiny-1.0.data/purelib/tiny_data.py", "TWO = 2\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return folder


def test_a_package_is_there_afterwards(device: RemoteDevice, wheels: Path, tmp_path: Path) -> None:
    """The device's Python imports what was set up; doing it again, and another process, change nothing."""
    assert device.python == "python3"
    for _ in range(2):
        there = RemoteDevice(device.transport, folder=device.folder)
        assert set_up(there, wheels=wheels, packages=("tiny",)) == ("tiny-1.0-py3-none-any.whl",)
    said = there.run(
        [there.python, "-c", "import sys, tiny; print(tiny.VALUE, sys.argv[1])", "a b"], timeout_s=60
    )
    assert said.stdout == "42 a b\n", said
    assert not list((tmp_path / "its files").rglob("*.part"))


def test_a_package_without_a_wheel_is_told(device: RemoteDevice, wheels: Path) -> None:
    """The first package is needed: without a wheel that fits, exit code 4 and what to do offline."""
    with pytest.raises(DeviceError, match="no wheel of absent for Python") as refused:
        set_up(device, wheels=wheels, packages=("absent", "tiny"))
    assert "--wheels" in str(refused.value.hint)


def test_the_others_may_lack(device: RemoteDevice, wheels: Path) -> None:
    """A further package without a wheel is left out, and that is said."""
    told: list[str] = []
    there = set_up(
        device, wheels=wheels, packages=("tiny", "absent"), progress=lambda message, **_: told.append(message)
    )
    assert there == ("tiny-1.0-py3-none-any.whl",)
    assert any(message.startswith("absent is left out") for message in told)


def test_no_python_is_told(over_ssh: SshServer, tmp_path: Path) -> None:
    """A device without Python is told so, with the remedy."""
    device = open_device(f"{over_ssh.uri}?cache={tmp_path}&python=python3.99")
    assert isinstance(device, RemoteDevice)
    with pytest.raises(DeviceError, match=r"python3\.99 does not run") as refused:
        ask_interpreter(device)
    assert "apt-get install python3" in str(refused.value.hint)


def test_this_machine_needs_no_setup(tmp_path: Path) -> None:
    """`local:cpu` is refused, and so is a folder of wheels that is not there."""
    with pytest.raises(ConfigError, match="local:cpu needs no setup"):
        api.device_setup("local:cpu", wheels=tmp_path)


def test_the_tags_are_those_of_its_c_library() -> None:
    """Wheels for glibc 2.31 and older fit a device that has 2.31; none for newer ones does."""
    tags = Interpreter(sys.executable, "3.8", "aarch64", 31).platforms
    assert tags[0] == "manylinux_2_31_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(tags)
