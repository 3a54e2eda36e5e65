"""Mean and second moments of what each layer multiplies, gathered one calibration sample at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgebench.calibration.passes_layers import FloatArray, Layer, attribute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

POSITIONS = 64
"""Places of an image, or rows of a matrix, that are looked at per sample."""


_ROWS = 1024
"""Vectors that are kept until they are multiplied: one large product costs less than many small ones."""


@dataclass(slots=True)
class Moments:
    """Of the vectors that a layer multiplies. mean: [groups, columns]; second: [groups, columns, columns]."""

    count: int
    mean: FloatArray
    second: FloatArray

    @property
    def covariance(self) -> FloatArray:
        """The second moments about the mean."""
        return self.second - self.mean[:, :, None] * self.mean[:, None, :]


def moments(
    model: ModelProto, watched: Sequence[Layer], samples: Iterable[Sequence[Array]]
) -> dict[str, Moments]:
    """Return the moments of each layer's input vectors over the samples, by the layer's output.

    samples: arrays [1, ...] in the order of the graph's real inputs. Memory is that of one sample and
    of the layers' second moments.
    """
    session, inputs = _session(model, watched)
    sums = {layer.given: _empty(layer) for layer in watched}
    waiting: dict[str, list[NDArray[np.float32]]] = {layer.given: [] for layer in watched}
    inside = list(dict.fromkeys(layer.taken for layer in watched if layer.taken not in dict(inputs)))
    for sample in samples:
        feed = {name: a.astype(kind) for (name, kind), a in zip(inputs, sample, strict=True)}
        found = session.run(inside, feed) if inside else []  # no names would mean all outputs
        values = {**feed, **dict(zip(inside, found, strict=True))}
        for layer in watched:
            waiting[layer.given].append(vectors(layer, values[layer.taken]))
            if sum(part.shape[1] for part in waiting[layer.given]) >= _ROWS:
                _add(sums[layer.given], waiting[layer.given])
    for name, parts in waiting.items():
        _add(sums[name], parts)
    for entry in sums.values():
        entry.mean /= max(entry.count, 1)
        entry.second /= max(entry.count, 1)
    return sums


def vectors(layer: Layer, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a layer multiplies of one input, float32[groups, count, columns], evenly chosen."""
    if not layer.is_conv:
        rows = value.reshape(-1, layer.columns)
        return rows[:: _step(len(rows))][None]
    patches = _patches(layer, value)
    split = patches.reshape(layer.groups, -1, *patches.shape[1:])
    grouped = np.moveaxis(split, 2, 1)
    return np.ascontiguousarray(grouped).reshape(layer.groups, -1, layer.columns)


def _patches(layer: Layer, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return evenly chosen windows of a convolution as [channels, places, kernel...], for any rank."""
    rank = value.ndim - 2
    node = layer.node
    pads = _numbers(node, "pads", [0] * (2 * rank))
    strides = _numbers(node, "strides", [1] * rank)
    dilations = _numbers(node, "dilations", [1] * rank)
    kernel = layer.kernel
    padded = np.pad(value[0], [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    spans = tuple((size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(1, rank + 1)))
    every: tuple[Any, ...] = (slice(None), *(slice(None, None, step) for step in (*strides, *dilations)))
    windows = windows[every]
    places = windows.shape[1 : rank + 1]
    count = int(np.prod(places))
    chosen = np.unravel_index(np.arange(0, count, _step(count)), places)
    found: NDArray[np.float32] = windows[(slice(None), *chosen)]
    return found


def _numbers(node: Any, name: str, default: list[int]) -> list[int]:
    found = attribute(node, name, default)
    return list(found) if isinstance(found, list) else default


def _step(count: int) -> int:
    """Return an odd step, so that rows and columns of an image are met alike."""
    return max(1, count // POSITIONS) | 1


def _empty(layer: Layer) -> Moments:
    size = layer.columns
    return Moments(0, np.zeros((layer.groups, size)), np.zeros((layer.groups, size, size)))


def _add(entry: Moments, parts: list[NDArray[np.float32]]) -> None:
    """Take the waiting vectors into the sums, and forget them."""
    if parts:
        found = np.concatenate(parts, axis=1)
        entry.count += found.shape[1]
        entry.mean += found.sum(axis=1, dtype=np.float64)
        entry.second += found.transpose(0, 2, 1) @ found
        parts.clear()


def _session(model: ModelProto, watched: Sequence[Layer]) -> tuple[Any, list[tuple[str, Any]]]:
    import onnxruntime as ort

    tapped = ModelProto()
    tapped.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [
        (entry.name, helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type))
        for entry in model.graph.input
        if entry.name not in constants
    ]
    present = {name for name, _ in inputs} | {entry.name for entry in model.graph.output}
    for name in dict.fromkeys(layer.taken for layer in watched):
        if name not in present:
            tapped.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(tapped.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, inputs
