"""What a target's integer arithmetic does, and so what a quantized file for it has to be."""

from __future__ import annotations

import enum
import platform
from dataclasses import dataclass
from pathlib import Path


class Target(enum.StrEnum):
    """The arithmetic that a quantized artifact is made for."""

    AUTO = "auto"
    """This machine's: `resolved` says which."""
    X86_AVX2 = "x86-avx2"
    """Adds two 8×8-bit products in 16 bits and saturates: weights get 7 bits."""
    X86_VNNI = "x86-vnni"
    ARM64 = "arm64"
    TENSORRT = "tensorrt"

    @property
    def arithmetic(self) -> Arithmetic:
        """What 8-bit ONNX files for it are like."""
        return _ARITHMETIC[resolved(self)]

    @property
    def weight_bits(self) -> int:
        """How many bits of a weight never saturate with 8-bit activations."""
        return self.arithmetic.weight_bits


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the kernels for a quantized ONNX file take.

    weight_bits: how many bits of a weight never saturate with these activations. activation_bits: 8 or
    16. signed: activations are signed integers. symmetric: their zero points are 0. layers_only: only
    what layers and residual sums take is quantized; outputs and biases stay float.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    signed: bool = False
    symmetric: bool = False
    layers_only: bool = False


_ARITHMETIC = {
    Target.X86_AVX2: Arithmetic(weight_bits=7),
    Target.X86_VNNI: Arithmetic(),
    # ONNX Runtime's ARM64 kernels take int8 with int8 as they are, and flip signs for uint8 with int8.
    Target.ARM64: Arithmetic(signed=True),
    Target.TENSORRT: Arithmetic(signed=True, symmetric=True, layers_only=True),
}


def resolved(target: Target) -> Target:
    """Return the target itself, and for AUTO this machine's."""
    return local_target() if target is Target.AUTO else target


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


def mismatch(made_for: Target, runs_on: Target) -> str | None:
    """Return, in words, that a file for one target runs on another; None where they are one."""
    if made_for is runs_on:
        return None
    words = f"is made for {made_for} and runs on {runs_on}"
    if made_for.weight_bits > runs_on.weight_bits:
        words += ", where sums of 8-bit products saturate: its answers may be worse than there"
    return words
