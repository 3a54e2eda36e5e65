"""Whether a machine's processor is made by software, and how that shows.

A hypervisor's guest is not emulated: its instructions run on the host's processor. QEMU's emulated ARM
core is `max` unless told otherwise, of no maker (Main ID Register, implementer 0); programs of another
architecture under qemu-user read their host's /proc/cpuinfo, or from QEMU 8.1 on that of `max`.
"""

from __future__ import annotations

from collections.abc import Mapping

_X86_MAKERS = ("GenuineIntel", "AuthenticAMD")
_X86 = ("x86", "i386", "i486", "i586", "i686")
_EMULATED_NAMES = {
    "QEMU TCG CPU": "QEMU without a hypervisor",
    "VirtualApple": "Rosetta, on an Apple processor",
}
_ANDROID_BOARDS = ("ranchu", "goldfish")


def emulation(told: Mapping[str, str]) -> str:
    """Return by what a processor is emulated, in words; empty for one that is real.

    told: what the machine's shell told: architecture, vendor, implementer, cpu, and Android's properties.
    """
    architecture, cpu = told.get("architecture", ""), told.get("cpu", "")
    if "1" in (told.get("ro.kernel.qemu"), told.get("ro.boot.qemu")):
        return "Android's emulator: it says so itself"
    if told.get("ro.hardware") in _ANDROID_BOARDS:
        return f"Android's emulator: its board is {told['ro.hardware']}"
    if architecture and not architecture.startswith(_X86) and told.get("vendor", "").endswith(_X86_MAKERS):
        return f"an {architecture} system on a processor by {told['vendor']}"
    if architecture.startswith(("aarch64", "arm")) and _is_nobodys(told.get("implementer", "")):
        return "QEMU: the core is of no maker"
    return next((words for name, words in _EMULATED_NAMES.items() if name in cpu), "")


def _is_nobodys(implementer: str) -> bool:
    """Return whether the core's maker is 0, which no real one is."""
    try:
        return int(implementer, 16) == 0
    except ValueError:
        return False
