"""The layers that hurt most, and which of their channels take the integers of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from edgebench.calibration.channel_notes import wide_channels
from edgebench.calibration.channels import Channels, Tensor
from edgebench.calibration.histogram import Extremes
from edgebench.ladder.record import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORST = 8
"""Layers that are shown."""


def worst_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that hurt most, in execution order."""
    ordered = sorted(layers, key=lambda layer: (_own(layer), -layer.added))[:WORST]
    return [layer for layer in layers if layer in ordered]


def _own(layer: Layer) -> float:
    return layer.accumulated_db if layer.alone_db is None else layer.alone_db


class Widths(Generic[Tensor]):
    """The extremes of the channels of an fp32 file's tensors over the samples."""

    def __init__(self, channels: Mapping[Tensor, Channels]) -> None:
        """Start with nothing seen. channels: of the tensors that have some, by what the file calls them."""
        self._channels = channels
        self._extremes = {tensor: Extremes(own.count) for tensor, own in channels.items()}

    def add(self, tensor: Tensor, value: NDArray[Any]) -> None:
        """Take one sample's value of a tensor in; of one without channels nothing is kept."""
        if tensor in self._channels:
            rows = self._channels[tensor].rows(value)
            self._extremes[tensor].add(rows.min(axis=1), rows.max(axis=1))

    def notes(self, layers: Mapping[Tensor, Layer]) -> tuple[str, ...]:
        """Return in words what is wide of the worst of the layers, which are given by their tensors."""
        worst, found = worst_layers(list(layers.values())), []
        for tensor, layer in layers.items():
            if tensor in self._extremes and layer in worst:
                low, high = self._extremes[tensor].found()
                wide = wide_channels(low, high) if np.isfinite([low, high]).all() else None
                found += [wide.words(layer.tensor)] if wide is not None else []
        return tuple(found)
