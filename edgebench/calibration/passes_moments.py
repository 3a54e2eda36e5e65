"""The moments of what each layer of an ONNX graph multiplies, gathered one calibration sample at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgebench.calibration.passes_layers import Layer
from edgebench.calibration.passes_sums import Moments, Sums
from edgebench.calibration.passes_windows import vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def moments(
    model: ModelProto, watched: Sequence[Layer], samples: Iterable[Sequence[Array]]
) -> Mapping[str, Moments]:
    """Return the moments of each layer's input vectors over the samples, by the layer's output.

    samples: arrays [1, ...] in the order of the graph's real inputs. Memory is that of one sample and
    of the layers' second moments.
    """
    session, inputs = _session(model, watched)
    sums = Sums(watched)
    inside = list(dict.fromkeys(layer.taken for layer in watched if layer.taken not in dict(inputs)))
    for sample in samples:
        feed = {name: a.astype(kind) for (name, kind), a in zip(inputs, sample, strict=True)}
        found = session.run(inside, feed) if inside else []  # no names would mean all outputs
        values = {**feed, **dict(zip(inside, found, strict=True))}
        for layer in watched:
            value = values[layer.taken]
            sums.add(layer.given, vectors(layer.windows, value[0] if layer.is_conv else value))
    return sums.moments()


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
