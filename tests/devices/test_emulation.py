"""Processors made by software are found out, and virtual machines are not taken for them."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edgebench.devices.emulation import emulation
from edgebench.devices.facts import as_facts
from edgebench.devices.local import LocalDevice

EMULATED = {
    "Android's emulator": {"architecture": "x86_64", "ro.kernel.qemu": "1"},
    "Android's emulator, since Android 11": {"architecture": "aarch64", "ro.boot.qemu": "1"},
    "its board": {"architecture": "aarch64", "ro.hardware": "ranchu", "implementer": "0x41"},
    "qemu-user, the host's cpuinfo": {"architecture": "aarch64", "vendor": "GenuineIntel"},
    "qemu-user of RISC-V": {"architecture": "riscv64", "vendor": "AuthenticAMD"},
    "qemu-user 8.1, its own cpuinfo": {"architecture": "aarch64", "implementer": "0x0"},
    "qemu's core in a whole machine": {"architecture": "armv7l", "implementer": "0x00"},
    "qemu without a hypervisor": {"architecture": "x86_64", "cpu": "QEMU TCG CPU version 2.5+"},
    "Rosetta": {"architecture": "x86_64", "cpu": "VirtualApple @ 2.50GHz processor"},
}
REAL = {
    "a server in a virtual machine": {
        "architecture": "x86_64",
        "vendor": "AuthenticAMD",
        "cpu": "AMD EPYC",
        "flags": "avx2 hypervisor",
    },
    "a Pi": {"architecture": "aarch64", "implementer": "0x41", "board": "Raspberry Pi 5 Model B Rev 1.0"},
    "a phone": {
        "architecture": "aarch64",
        "implementer": "0x51",
        "ro.kernel.qemu": "0",
        "ro.hardware": "qcom",
    },
    "a Chromebook's Android": {"architecture": "x86_64", "vendor": "GenuineIntel", "ro.hardware": "bertha"},
    "a machine that tells nothing": {},
}


@pytest.mark.parametrize("told", EMULATED.values(), ids=list(EMULATED))
def test_what_is_emulated_is_marked(told: dict[str, str]) -> None:
    """An emulated processor is marked in the facts, with how it shows."""
    facts = as_facts(told, "ssh://there")
    assert facts.emulated
    assert facts.extra["emulated_by"] == emulation(told)


@pytest.mark.parametrize("told", REAL.values(), ids=list(REAL))
def test_what_is_real_is_not(told: dict[str, str]) -> None:
    """Real processors, also behind a hypervisor, are not called emulated."""
    facts = as_facts(told, "ssh://there")
    assert not facts.emulated
    assert "emulated_by" not in facts.extra


def test_this_machine_is_what_it_is() -> None:
    """The facts of this machine say emulated exactly where its own /proc/cpuinfo is a foreign one's."""
    x86 = any(maker in Path("/proc/cpuinfo").read_text() for maker in ("GenuineIntel", "AuthenticAMD"))
    assert LocalDevice().facts().emulated is (x86 and platform.machine() not in {"x86_64", "i686"})
