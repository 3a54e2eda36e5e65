"""The moments of what each layer of an ONNX graph multiplies, gathered one calibration sample at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgebench.calibration.passes.layers import Layer
from edgebench.calibration.passes.sums import Moments, Sums
from edgebench.calibration.passes.windows import vectors

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
    run = tapped_session(model, [layer.taken for layer in watched])
    sums = Sums(watched)
    for sample in samples:
        values = run(sample)
        for layer in watched:
            value = values[layer.taken]
            sums.add(layer.given, vectors(layer.windows, value[0] if layer.is_conv else value))
    return sums.moments()


def tapped_session(
    model: ModelProto, names: Sequence[str]
) -> Callable[[Sequence[Array]], dict[str, NDArray[np.float32]]]:
    """Return the graph as a function of one sample that gives the tensors of these names, on one thread.

    A sample: arrays [1, ...] in the order of the graph's real inputs.
    """
    import onnxruntime as ort

    tapped = ModelProto()
    tapped.CopyFrom(model)
    inputs = _inputs(model)
    inside = [name for name in dict.fromkeys(names) if name not in inputs]
    present = {entry.name for entry in model.graph.output}
    for name in inside:
        if name not in present:
            tapped.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(tapped.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(sample: Sequence[Array]) -> dict[str, Any]:
        feed = {name: a.astype(kind) for (name, kind), a in zip(inputs.items(), sample, strict=True)}
        found = session.run(inside, feed) if inside else []  # no names would mean all outputs
        return {**feed, **dict(zip(inside, found, strict=True))}

    return run


def _inputs(model: ModelProto) -> dict[str, Any]:
    """Return the kind of each input that is no constant, by name."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        entry.name: helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
        for entry in model.graph.input
        if entry.name not in constants
    }
