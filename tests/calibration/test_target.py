"""Which arithmetic a machine has, and what each asks of a file."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from saturation_probe import products_saturate

from edgebench.calibration.target import Target, local_target, mismatch, resolved

SATURATES = ", where sums of 8-bit products saturate: its answers may be worse than there"


@pytest.mark.parametrize(
    ("machine", "flags", "target"),
    [
        ("x86_64", "fpu avx2 avx512_vnni sha_ni", Target.X86_VNNI),
        ("x86_64", "fpu avx2 avx_vnni", Target.X86_VNNI),
        ("x86_64", "fpu avx2 avx512bw avx512_vnni_not", Target.X86_AVX2),
        ("x86_64", "", Target.X86_AVX2),
        ("aarch64", "fp asimd", Target.ARM64),
        ("arm64", "", Target.ARM64),
    ],
)
def test_the_processor_tells_its_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, target: Target
) -> None:
    """VNNI stands among the flags by either name; x86 that tells nothing counts as one without."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert local_target(cpuinfo) is target


def test_a_machine_without_cpuinfo_counts_as_one_that_saturates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is known 7-bit weights are the safe choice."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert local_target(tmp_path / "none") is Target.X86_AVX2


def test_this_processor_saturates_where_its_target_says_so() -> None:
    """ONNX Runtime's own products overflow on x86-avx2, and on no other target."""
    assert products_saturate() == (local_target() is Target.X86_AVX2)


def test_only_saturating_targets_take_a_bit_from_the_weights() -> None:
    """7 bits on x86 without VNNI, 8 everywhere else."""
    bits = {target: target.weight_bits for target in Target if target is not Target.AUTO}
    assert bits == {target: 7 if target is Target.X86_AVX2 else 8 for target in bits}


def test_auto_is_this_machine() -> None:
    """`auto` resolves to what the processor tells; a named target to itself."""
    assert resolved(Target.AUTO) is local_target()
    assert Target.AUTO.arithmetic == local_target().arithmetic
    assert resolved(Target.TENSORRT) is Target.TENSORRT


@pytest.mark.parametrize(
    ("made_for", "runs_on", "words"),
    [
        (Target.ARM64, Target.ARM64, None),
        (Target.X86_AVX2, Target.X86_VNNI, "is made for x86-avx2 and runs on x86-vnni"),
        (Target.ARM64, Target.X86_AVX2, f"is made for arm64 and runs on x86-avx2{SATURATES}"),
    ],
)
def test_another_arithmetic_is_put_into_words(made_for: Target, runs_on: Target, words: str | None) -> None:
    """Only 8-bit weights on a saturating processor are said to answer worse."""
    assert mismatch(made_for, runs_on) == words
