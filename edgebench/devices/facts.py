"""What a machine is, as its own shell tells it: one script, read into the record of facts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgebench.devices.emulation import emulation
from edgebench.errors import DeviceError
from edgebench.storage import sha256_bytes

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts

TEMPORARY = '"${TMPDIR:-/data/local/tmp}"'
"""For a phone's shell: the one folder where its user may keep and run files."""

ASK = """exec 2>/dev/null
cpu() { grep -m1 -E "^($1)[[:space:]]*:" /proc/cpuinfo | cut -d: -f2-; }
echo "kernel=$(uname -s) $(uname -r)"
echo "architecture=$(uname -m)"
echo "host=$(uname -n)"
echo "cores=$(nproc || grep -c ^processor /proc/cpuinfo)"
while read -r key value unit; do [ "$key" = MemTotal: ] && echo "memory_kib=$value"; done </proc/meminfo
echo "board=$(cat /proc/device-tree/model)"
echo "cpu=$(cpu 'model name')"
echo "vendor=$(cpu vendor_id)"
echo "implementer=$(cpu 'CPU implementer')"
echo "flags=$(cpu 'flags|Features')"
echo "governor=$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
echo "machine=$(cat /etc/machine-id)"
echo "os=$(grep ^PRETTY_NAME= /etc/os-release)"
echo "tegra=$(head -n 1 /etc/nv_tegra_release)"
echo "home=${XDG_CACHE_HOME:-$HOME/.cache}"
if command -v getprop >/dev/null; then for name in ro.product.manufacturer ro.product.model ro.soc.model \\
  ro.product.cpu.abi ro.build.version.release ro.serialno ro.kernel.qemu ro.boot.qemu ro.hardware
do echo "$name=$(getprop $name)"; done; echo "phone_folder="TEMPORARY; fi
echo told=all
""".replace("TEMPORARY", TEMPORARY)
"""POSIX shell. One `key=value` a line; what the machine does not tell stays empty."""

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
_JETPACK = {"35": "5", "36": "6", "38": "7", "39": "7"}
"""Release of Jetson Linux → JetPack, by NVIDIA's archive of releases."""


def parse_answer(text: str, uri: str) -> dict[str, str]:
    """Return what the script told, without what stayed empty. Raises DeviceError where it was cut off."""
    pairs = (line.partition("=") for line in text.replace("\0", "").splitlines())
    told = {key: value.strip() for key, _, value in pairs if value.strip()}
    if "told" not in told:
        raise DeviceError(f"{uri}: its shell does not answer as a POSIX shell does")
    return told


def as_facts(told: Mapping[str, str], uri: str) -> DeviceFacts:
    """Return what the script told as the record that evidence carries."""
    from edgebench.benchmark.evidence import DeviceFacts

    architecture = told.get("architecture", "unknown")
    phone = " ".join(told[key] for key in ("ro.product.manufacturer", "ro.product.model") if key in told)
    parts = ("board", "ro.soc.model", "cpu")
    processor = next((told[key] for key in parts if key in told), architecture)
    cores, memory = _number(told, "cores"), _number(told, "memory_kib") << 10
    identity = told.get("machine") or told.get("ro.serialno") or told.get("host", "")
    return DeviceFacts(
        uri=uri,
        name=phone or told.get("host", "unknown"),
        processor=processor,
        cores=cores,
        memory_bytes=memory,
        system=told.get("kernel", "unknown"),
        emulated=bool(emulation(told)),
        extra={**_extra(told), "fingerprint": fingerprint(identity, processor, architecture, cores, memory)},
    )


def _number(told: Mapping[str, str], key: str) -> int:
    """Return a count that the machine told, 0 where it did not."""
    value = told.get(key, "")
    return int(value) if value.isdigit() else 0


def fingerprint(identity: str, *parts: object) -> str:
    """Return 16 hexadecimal digits that are a machine's own, whatever name it is reached by.

    identity: a machine's number, such as /etc/machine-id; it cannot be told from the fingerprint.
    """
    return sha256_bytes(json.dumps(["edgebench device", identity, *map(str, parts)]).encode())[:16]


def instructions(words: Iterable[str]) -> str:
    """Return those of a processor's features that bear on quantized networks, in one order."""
    there = set(words)
    return " ".join(name for name in _INSTRUCTIONS if name in there)


def _extra(told: Mapping[str, str]) -> dict[str, str]:
    flags = told.get("flags", "").split()
    release = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", told.get("tegra", ""))
    extra = {
        "architecture": told.get("architecture", ""),
        "instructions": instructions(flags),
        "virtual": "yes: other guests may take time" if "hypervisor" in flags else "",
        "governor": told.get("governor", ""),
        "os": told.get("os", "").partition("=")[2].strip("\"'"),
        "android": told.get("ro.build.version.release", ""),
        "abi": told.get("ro.product.cpu.abi", ""),
        "emulated_by": emulation(told),
    }
    if release:
        extra["jetson_linux"] = f"{release[1]}.{release[2]}"
        extra["jetpack"] = _JETPACK.get(release[1], "")
    return {key: value for key, value in extra.items() if value}
