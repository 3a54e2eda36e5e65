"""What a processor's 8-bit arithmetic does, and so how many bits a weight may have on it."""

from __future__ import annotations

import enum
import platform
from pathlib import Path


class Target(enum.StrEnum):
    """The arithmetic that a quantized artifact is made for."""

    X86_AVX2 = "x86-avx2"
    """Adds two 8×8-bit products in 16 bits and saturates: weights get 7 bits."""
    X86_VNNI = "x86-vnni"
    ARM64 = "arm64"

    @property
    def weight_bits(self) -> int:
        """How many bits of a weight never saturate with 8-bit activations."""
        return 7 if self is Target.X86_AVX2 else 8


def local_target(cpuinfo: Path = Path("/proc/cpuinfo")) -> Target:
    """Return the arithmetic of this machine; x86 that does not tell counts as one without VNNI."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Target.ARM64
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        text = ""
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    vnni = {"avx512_vnni", "avx_vnni"} & set(flags)
    return Target.X86_VNNI if vnni else Target.X86_AVX2
