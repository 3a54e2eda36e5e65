"""Watch a graph's tensors while it runs on samples, one sample at a time.

One at a time makes the result the same bit for bit however the samples come, and needs no more memory
than one inference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.calibration.channels import (
    CHANNEL_BINS,
    ChannelHistograms,
    Channels,
    Choose,
    all_channels,
    no_channels,
)
from edgebench.calibration.histogram import BINS, Distribution, Histograms
from edgebench.errors import DataError, ModelError
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Samples = Iterable[list[Array]]


@dataclass(frozen=True, slots=True)
class Watchable:
    """A graph opened so that its tensors can be watched.

    names, sizes: of the tensors that are, and how many values each gives per sample. values: of all of
    them for one sample. run: from a sample, an array [1, ...] per input, to float32[sum(sizes)].
    same_as: tensors that are not watched because another one has their distribution. copies_bytes: how much
    memory the copies of the model take that opening it makes. channels: of the tensors that are watched by
    channel too; what `run` gives ends then as `ChannelHistograms` takes it.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    values: int
    run: Callable[[list[Array]], NDArray[np.float32]]
    same_as: Mapping[str, str] = field(default_factory=dict)
    copies_bytes: int = 0
    channels: Mapping[str, Channels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the tensors of a graph were, by name; each distribution is made when it is asked for.

    by_channel: of the tensors that were watched by channel; None where none was.
    """

    names: tuple[str, ...]
    histograms: Histograms
    same_as: Mapping[str, str]
    by_channel: ChannelHistograms | None = None

    def whole(self, name: str) -> Distribution:
        """Return a tensor's distribution over all samples."""
        return self.histograms.distribution(self.names.index(name))

    def subsets(self, name: str) -> Iterator[Distribution]:
        """Yield a tensor's distribution with one fold of the samples left out, and the next; none of one."""
        if self.histograms.folds > 1:
            index = self.names.index(name)
            for fold in range(self.histograms.folds):
                yield self.histograms.distribution(index, without=fold)

    def distributions(self) -> Mapping[str, Distribution]:
        """Return the distribution of every tensor over all samples."""
        found = dict(zip(self.names, self.histograms.distributions(), strict=True))
        return found | {name: found[other] for name, other in self.same_as.items()}


def watch(
    graph: Watchable,
    samples: Samples,
    *,
    bins: int = BINS,
    channel_bins: int = CHANNEL_BINS,
    folds: int = 1,
    numbers: Sequence[int] = (),
    progress: Progress = silent,
) -> Watched:
    """Return what the graph's tensors are on the samples.

    numbers: what the samples are called in messages; their place where there are none. Raises DataError
    naming tensor and sample where a value is NaN or infinite.
    """
    histograms, length = Histograms(graph.sizes, bins=bins, folds=folds), sum(graph.sizes)
    channels = ChannelHistograms(graph.channels, bins=channel_bins, folds=folds) if graph.channels else None
    for index, sample in enumerate(samples):
        values = graph.run(sample)
        row = histograms.add(values[:length])
        wrong = graph.names[row] if row is not None else None
        if channels is not None and wrong is None:
            wrong = channels.add(values[length:])
        if wrong is not None:
            number = numbers[index] if numbers else index
            raise DataError(
                f"the tensor {wrong} is NaN or infinite on calibration sample {number}",
                hint="look at that sample and its preprocessing; the model may overflow on it",
            )
        progress("calibrate", done=index + 1)
    return Watched(graph.names, histograms, graph.same_as, channels)


def watch_onnx(
    model: Path, samples: Samples, *, exact: bool = False, progress: Progress = silent
) -> Mapping[str, Distribution]:
    """Return the distribution of every float tensor of an ONNX file, by name.

    samples: lists of arrays [1, ...] in the order of the graph's inputs. Of a large tensor some thousand
    values a sample are watched; exact, and of a transformer: its extremes too, for two more passes over
    it. The input of a fused activation has the distribution of what the activation gives. Raises DataError
    where there are no samples, or naming tensor and sample where a value is NaN or infinite.
    """
    first, samples = _first(samples)
    return watch(open_onnx(model, first, exact=exact), samples, progress=progress).distributions()


def watch_tflite(
    model: Path, samples: Samples, *, exact: bool = False, progress: Progress = silent
) -> Mapping[str, Distribution]:
    """Return the distribution of every float tensor of a TFLite file, by name. As `watch_onnx`."""
    _, samples = _first(samples)
    return watch(open_tflite(model, exact=exact), samples, progress=progress).distributions()


def open_onnx(model: Path, sample: list[Array], *, exact: bool, choose: Choose = no_channels) -> Watchable:
    """Return an ONNX file ready to be watched. sample: one, whose shapes the others have.

    choose: of all tensors' channels those that are watched.
    """
    import onnx

    from edgebench.calibration import attention, attention_masks, onnx_tap

    network = onnx.load(model)
    feed = _feeds(network)
    found = onnx_tap.watched(network, {name: array.shape for name, array in feed(sample).items()})
    masks = attention_masks.masks(attention.steps(network))  # they may be infinite, and stay float
    found = {name: shape for name, shape in found.items() if name not in masks}
    shapes = {name: shape for name, shape in found.items() if shape is not None}
    if len(shapes) < len(found):
        counting = onnx_tap.with_lengths(network, list(found)).SerializeToString()
        counted = _session(counting).run(None, feed(sample))[0]
        shapes = dict(zip(found, ((int(n),) for n in counted), strict=True))
    shapes = {name: shape for name, shape in shapes.items() if math.prod(shape)}
    if not shapes:
        raise ModelError("the graph computes nothing in float32: there is nothing to quantize")
    constants = [tensor.name for tensor in network.graph.initializer]
    channels = choose(all_channels(attention.steps(network), shapes, constants))
    # A transformer's rare large values are what its products cannot do without.
    exact = exact or attention.attends(network)
    tap = onnx_tap.insert(network, shapes, exact=exact, channels=channels)
    content = tap.model.SerializeToString()
    session = _session(content)

    def run(sample: list[Array]) -> NDArray[np.float32]:
        (values,) = session.run(None, feed(sample))
        return values  # type: ignore[no-any-return]  # onnxruntime is untyped

    fused = onnx_tap.fused_activations(network).items()
    same_as = {before: after for before, after in fused if after in shapes}
    values = sum(math.prod(shape) for shape in shapes.values())
    return Watchable(tap.names, tap.sizes, values, run, same_as, 3 * len(content), channels)


def open_tflite(model: Path, *, exact: bool, choose: Choose = no_channels) -> Watchable:
    """Return a TFLite file ready to be watched. As `open_onnx`."""
    from edgebench.calibration import tflite_tap

    tap = tflite_tap.open_tap(model, exact=exact, choose=choose)
    return Watchable(
        tap.names,
        tap.sizes,
        tap.values,
        tap.run,
        copies_bytes=model.stat().st_size,
        channels=tap.channels,
    )


def _first(samples: Samples) -> tuple[list[Array], Samples]:
    """Return the first sample, and all of them again."""
    iterator = iter(samples)
    try:
        first = next(iterator)
    except StopIteration as err:
        raise DataError("there are no calibration samples") from err
    return first, itertools.chain([first], iterator)


def _feeds(network: Any) -> Any:
    import onnx

    weights = {tensor.name for tensor in network.graph.initializer}
    takes = [
        (entry.name, onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type))
        for entry in network.graph.input
        if entry.name not in weights
    ]

    def feed(sample: list[Array]) -> dict[str, Array]:
        return {name: array.astype(dtype) for (name, dtype), array in zip(takes, sample, strict=True)}

    return feed


def _session(content: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False  # one plan for all tensors costs as much as two samples
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        raise ModelError(f"ONNX Runtime cannot watch the graph: {' '.join(str(err).split())[:300]}") from err
