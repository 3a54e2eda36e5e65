"""Tables of text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgebench.benchmark.evidence import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

Raw = Mapping[str, Mapping[str, "NDArray[Any]"]]
"""The columns of each raw file, by its path in the run's folder."""

Named = Sequence[tuple[str, Measurement]]
"""Measurements with what a table calls them."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table with what stands above it. left: how many columns, from the first, hold words."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
