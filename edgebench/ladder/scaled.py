"""What is said of tensors whose channels the quantized file scales: they are not the float file's."""

from __future__ import annotations

from collections.abc import Iterable

from edgebench.calibration.passes.channels import SCALED


def scaled_notes(names: Iterable[str]) -> tuple[str, ...]:
    """Return a note with the number of such tensors among a quantized file's; none where there are none."""
    count = sum(name.endswith(SCALED) for name in names)
    return (f"tensors not compared because the int8 file scales their channels: {count}",) if count else ()
