"""The channels of a tensor: where they lie in it, and what is watched of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgebench.calibration.attention_masks import Step
from edgebench.calibration.histogram import Distribution, Extremes, Histograms
from edgebench.calibration.picking import VALUES, stride

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNEL_BINS = 1024
"""Of a channel's histogram: a channel is watched at fewer values than a tensor is."""
_LEAST = 16
"""Values of each channel that are watched per sample, where it has so many, however many channels are."""
_AXES = {
    **dict.fromkeys(("CONV", "CONVTRANSPOSE", "BATCHNORMALIZATION", "INSTANCENORMALIZATION"), 1),
    **dict.fromkeys(("MAXPOOL", "AVERAGEPOOL", "GLOBALAVERAGEPOOL", "GLOBALMAXPOOL"), 1),
    **dict.fromkeys(("GEMM", "MATMUL", "LAYERNORMALIZATION"), -1),
    **dict.fromkeys(("CONV2D", "DEPTHWISECONV2D", "FULLYCONNECTED", "MAXPOOL2D", "AVERAGEPOOL2D"), -1),
}
"""Which axis of what these operators read and give is that of the channels, in ONNX and in TFLite."""
_PRODUCTS = ("MATMUL", "BATCHMATMUL")
_MIXING = (*_PRODUCTS, "RESHAPE", "TRANSPOSE", "GATHER", "GATHERND", "DEPTHTOSPACE", "SPACETODEPTH", "EINSUM")
"""Operators after which an axis means something else."""


@dataclass(frozen=True, slots=True)
class Channels:
    """A tensor of one sample as channels of places. axis: of the channels; count, places: how many.

    first: the channels lie one after the other, as in [1, C, H, W]; otherwise the places do.
    """

    axis: int
    count: int
    places: int
    first: bool

    @property
    def step(self) -> int:
        """Every how many places one is watched."""
        return stride(self.places, max(_LEAST, VALUES // self.count))

    @property
    def taken(self) -> int:
        """How many values of a channel are watched per sample."""
        return math.ceil(self.places / self.step)

    def rows(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return one sample of the tensor as [channels, places]."""
        return value.reshape(self.count, -1) if self.first else value.reshape(-1, self.count).T


Tensor = TypeVar("Tensor", bound=Hashable)
"""How a format names a tensor."""

Choose = Callable[[Mapping[str, Channels]], Mapping[str, Channels]]
"""Takes the channels of a graph's tensors and returns those that are to be watched."""


def no_channels(found: Mapping[str, Channels]) -> Mapping[str, Channels]:
    """Return none: tensors are watched as wholes only."""
    del found
    return {}


def channels_of(shape: Sequence[int], axis: int) -> Channels | None:
    """Return a tensor's channels along an axis; None where it has one only, or axes on both sides of it."""
    if not -len(shape) <= axis < len(shape) or shape[axis] < 2:  # noqa: PLR2004 - one channel is the tensor
        return None
    axis %= len(shape)
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    if min(before, after) != 1:
        return None
    return Channels(axis, shape[axis], max(before, after), first=before == 1)


def all_channels(
    steps: Iterable[Step], shapes: Mapping[Tensor, Sequence[int]], constants: Iterable[Tensor]
) -> dict[Tensor, Channels]:
    """Return the channels of those tensors of a graph, of any format, that have some.

    shapes: of the tensors that are asked about, for one sample. constants: the graph's own tensors. A
    layer tells the axis of what it reads and gives; what stands between layers passes it on.
    """
    steps, own = list(steps), set(constants)
    axes: dict[Hashable, int] = {}
    for step in steps:
        known = next((axis for kind, axis in _AXES.items() if step.is_of((kind,))), None)
        if known is not None and (not step.is_of(_PRODUCTS) or step.taken[1] in own):
            for tensor in (step.taken[0], step.given[0]):
                axes.setdefault(tensor, known)
        else:
            _pass_on(step, axes, shapes, step.taken, step.given)
    for step in reversed(steps):
        _pass_on(step, axes, shapes, step.given, step.taken)
    found = {tensor: channels_of(shape, axes[tensor]) for tensor, shape in shapes.items() if tensor in axes}
    return {tensor: channels for tensor, channels in found.items() if channels is not None}


def _pass_on(
    step: Step,
    axes: dict[Hashable, int],
    shapes: Mapping[Any, Sequence[int]],
    known: Sequence[Hashable],
    asked: Sequence[Hashable],
) -> None:
    """Give tensors of an operator the axis that others of it, of as many axes, have."""
    if step.is_of(_MIXING):
        return
    ranks = {len(shapes[tensor]): axes[tensor] for tensor in known if tensor in axes and tensor in shapes}
    for tensor in asked:
        if tensor in shapes and len(shapes[tensor]) in ranks:
            axes.setdefault(tensor, ranks[len(shapes[tensor])])


class ChannelHistograms:
    """Streaming statistics of the channels of some tensors. folds: as of Histograms, for the extremes."""

    def __init__(self, tensors: Mapping[str, Channels], *, bins: int, folds: int = 1) -> None:
        """Start with nothing watched."""
        self.tensors = tensors
        counts = [channels.count for channels in tensors.values()]
        ends = list(accumulate(counts))
        self._rows = {
            name: slice(end - count, end) for name, end, count in zip(tensors, ends, counts, strict=True)
        }
        sizes = [c.taken for c in tensors.values() for _ in range(c.count)]
        self._values = sum(sizes)
        self._histograms = Histograms(sizes, bins=bins)
        self._extremes = Extremes(len(sizes), folds)
        self._samples, self._folds = 0, folds

    def add(self, values: NDArray[np.float32]) -> str | None:
        """Watch one sample: each channel's values, then the lowest of each, then the highest of each.

        Return a tensor that held NaN or infinity; None where all are finite.
        """
        taken, ends = values[: self._values], values[self._values :]
        low, high = np.split(ends, 2)
        wrong = self._histograms.add(taken, (low, high))
        if wrong is not None:
            return next(name for name, rows in self._rows.items() if wrong < rows.stop)
        self._extremes.add(low, high, self._samples % self._folds)
        self._samples += 1
        return None

    def distributions(self, name: str) -> Iterator[Distribution]:
        """Yield what was watched of one channel of a tensor after the other, over all samples."""
        rows = self._rows[name]
        for row in range(rows.start, rows.stop):
            yield self._histograms.distribution(row)

    def spreads(self, name: str) -> NDArray[np.float64] | None:
        """Return how far each channel's extremes move as one fold after the other is left out.

        float64[channels], as a share of what it spans over all samples. None until each fold has two.
        """
        if self._folds == 1 or self._samples < 2 * self._folds:
            return None
        rows = self._rows[name]
        parts = [self._extremes.found(rows, without=fold) for fold in range(self._folds)]
        moved = np.max([np.ptp(np.stack(ends), axis=0) for ends in zip(*parts, strict=True)], axis=0)
        low, high = self._extremes.found(rows)
        width = np.where(high > low, high - low, 1.0)
        spreads: NDArray[np.float64] = moved / width
        return spreads
