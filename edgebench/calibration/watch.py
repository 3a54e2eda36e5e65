"""Watch a graph's tensors while it runs on samples, one sample at a time.

One at a time makes the result the same bit for bit however the samples come, and needs no more memory
than one inference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.calibration.histogram import Distribution, Histograms
from edgebench.errors import DataError, ModelError
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Samples = Iterable[list[Array]]


def watch_onnx(
    model: Path, samples: Samples, *, exact: bool = False, progress: Progress = silent
) -> Mapping[str, Distribution]:
    """Return the distribution of every float tensor of an ONNX file, by name.

    samples: lists of arrays [1, ...] in the order of the graph's inputs. Of a large tensor some thousand
    values a sample are watched; exact: its extremes too, at the cost of two more passes over it. The
    input of a fused activation has the distribution of what the activation gives. Raises DataError where
    there are no samples, or naming tensor and sample where a value is NaN or infinite.
    """
    import onnx

    from edgebench.calibration import onnx_tap

    network = onnx.load(model)
    feed = _feeds(network)
    first, samples = _first(samples)
    found = onnx_tap.watched(network, {name: array.shape for name, array in feed(first).items()})
    lengths = {name: length for name, length in found.items() if length is not None}
    if len(lengths) < len(found):
        counted = _session(onnx_tap.with_lengths(network, list(found))).run(None, feed(first))[0]
        lengths = dict(zip(found, (int(n) for n in counted), strict=True))
    tap = onnx_tap.insert(network, {n: length for n, length in lengths.items() if length}, exact=exact)
    session = _session(tap.model)
    histograms = Histograms(tap.sizes)
    for index, sample in enumerate(samples):
        (values,) = session.run(None, feed(sample))
        _check(histograms.add(values), tap.names, index)
        progress("calibrate", done=index + 1)
    distributions = dict(zip(tap.names, histograms.distributions(), strict=True))
    for before, after in onnx_tap.fused_activations(network).items():
        if after in distributions:
            distributions[before] = distributions[after]
    return distributions


def watch_tflite(
    model: Path, samples: Samples, *, exact: bool = False, progress: Progress = silent
) -> Mapping[str, Distribution]:
    """Return the distribution of every float tensor of a TFLite file, by name. As `watch_onnx`."""
    from edgebench.calibration import tflite_tap

    tap = tflite_tap.open_tap(model, exact=exact)
    histograms = Histograms(tap.sizes)
    _, samples = _first(samples)
    for index, sample in enumerate(samples):
        _check(histograms.add(tap.run(sample)), tap.names, index)
        progress("calibrate", done=index + 1)
    return dict(zip(tap.names, histograms.distributions(), strict=True))


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


def _session(model: Any) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        raise ModelError(f"ONNX Runtime cannot watch the graph: {' '.join(str(err).split())[:300]}") from err


def _check(wrong: int | None, names: tuple[str, ...], index: int) -> None:
    if wrong is not None:
        raise DataError(
            f"the tensor {names[wrong]} is NaN or infinite on calibration sample {index}",
            hint="look at that sample and its preprocessing; the model may overflow on it",
        )
