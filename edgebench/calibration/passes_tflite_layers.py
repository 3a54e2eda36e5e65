"""The layers of a TFLite graph whose weights are constants: what they read, and where their weights are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.passes_windows import Windows

if TYPE_CHECKING:
    Stored = NDArray[np.float32]

FloatArray = NDArray[np.float64]

_WEIGHT, _BIAS = 1, 2
"""Places among a layer's inputs."""


@dataclass(frozen=True, slots=True)
class TfliteLayer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED with constant weights that no other operator reads.

    given, taken: the tensors that it writes and reads, by name and by index. weight, bias: buffers; bias
    is None where the layer has none of its own. shape: of the weights as they are stored, channels last;
    a depthwise one's are the outputs. outputs: channels. windows: of its input that it multiplies.
    """

    given: str
    taken: int
    weight: int
    bias: int | None
    shape: tuple[int, ...]
    depthwise: bool
    outputs: int
    windows: Windows

    def image(self, value: Stored) -> Stored:
        """Return a value of the tensor read as `vectors` takes it: a convolution's [channels, ...]."""
        return np.moveaxis(value[0], -1, 0) if self.windows.kernel else value


def layers(content: bytes | bytearray) -> list[TfliteLayer]:
    """Return the layers of a file's main graph, in its order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    readers = Counter(_read_buffers(model))
    graph = model.Subgraphs(0)
    found = [_layer(model, graph, graph.Operators(i), readers) for i in range(graph.OperatorsLength())]
    return [layer for layer in found if layer is not None]


def read_matrix(content: bytes | bytearray, layer: TfliteLayer) -> FloatArray:
    """Return the weights as float64[outputs, columns], one row per output channel."""
    rows = _arranged(stored(content, layer.weight).reshape(layer.shape), layer)
    return rows.reshape(layer.outputs, layer.windows.columns).astype(np.float64)


def write_matrix(content: bytearray, layer: TfliteLayer, rows: FloatArray) -> None:
    """Replace the weights by float64[outputs, columns], in place."""
    view = _arranged(stored(content, layer.weight).reshape(layer.shape), layer)
    view[:] = rows.reshape(view.shape)


def stored(content: bytes | bytearray, buffer: int) -> Stored:
    """Return a buffer's float32 values where they lie in the file: writable where `content` is."""
    from ai_edge_litert import schema_py_generated as schema

    found = schema.Model.GetRootAsModel(content, 0).Buffers(buffer).DataAsNumpy()
    values: Stored = found.view(np.float32)
    return values


def _arranged(weights: Stored, layer: TfliteLayer) -> Stored:
    """Return a view of weights whose first axis is the output channel, then the input channel."""
    if not layer.windows.kernel:
        return weights
    return np.moveaxis(weights, -1, 0 if layer.depthwise else 1)


def _read_buffers(model: Any) -> Iterator[int]:
    """Yield the buffer of every input of every operator, and of every output of a graph."""
    for place in range(model.SubgraphsLength()):
        graph = model.Subgraphs(place)
        operators = (graph.Operators(i) for i in range(graph.OperatorsLength()))
        for tensors in (graph.OutputsAsNumpy(), *(operator.InputsAsNumpy() for operator in operators)):
            yield from (graph.Tensors(int(index)).Buffer() for index in tensors if index >= 0)


def _layer(model: Any, graph: Any, operator: Any, readers: Counter[int]) -> TfliteLayer | None:
    from ai_edge_litert import schema_py_generated as schema

    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kinds = schema.BuiltinOperator
    if kind not in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED):
        return None
    taken, weight = (graph.Tensors(operator.Inputs(i)) for i in range(_WEIGHT + 1))
    if not _is_own(model, weight, readers):
        return None
    options = _options(operator, kind)
    shape = tuple(int(size) for size in weight.ShapeAsNumpy())
    if kind == kinds.FULLY_CONNECTED:
        if options.WeightsFormat() != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
            return None
        outputs, windows = shape[0], Windows(shape[1])
    else:
        outputs = shape[-1] if kind == kinds.DEPTHWISE_CONV_2D else shape[0]
        windows = _windows(options, shape, int(taken.ShapeAsNumpy()[-1]), outputs)
    return TfliteLayer(
        given=graph.Tensors(operator.Outputs(0)).Name().decode(),
        taken=int(operator.Inputs(0)),
        weight=weight.Buffer(),
        bias=_bias(model, graph, operator, readers),
        shape=shape,
        depthwise=kind == kinds.DEPTHWISE_CONV_2D,
        outputs=outputs,
        windows=windows,
    )


def _is_own(model: Any, tensor: Any, readers: Counter[int]) -> bool:
    """Whether a tensor is a constant of floats that lies in the file and that one operator reads, once."""
    from ai_edge_litert import schema_py_generated as schema

    size = model.Buffers(tensor.Buffer()).DataLength()
    is_float = tensor.Type() == schema.TensorType.FLOAT32
    return bool(is_float and size and readers[tensor.Buffer()] == 1)


def _bias(model: Any, graph: Any, operator: Any, readers: Counter[int]) -> int | None:
    if operator.InputsLength() <= _BIAS or operator.Inputs(_BIAS) < 0:
        return None
    bias = graph.Tensors(operator.Inputs(_BIAS))
    return int(bias.Buffer()) if _is_own(model, bias, readers) else None


def _options(operator: Any, kind: int) -> Any:
    """Return the operator's options, read as its kind has them."""
    from ai_edge_litert import schema_py_generated as schema

    found = {
        schema.BuiltinOperator.CONV_2D: schema.Conv2DOptions,
        schema.BuiltinOperator.DEPTHWISE_CONV_2D: schema.DepthwiseConv2DOptions,
        schema.BuiltinOperator.FULLY_CONNECTED: schema.FullyConnectedOptions,
    }[kind]()
    table = operator.BuiltinOptions()
    found.Init(table.Bytes, table.Pos)
    return found


def _windows(options: Any, shape: tuple[int, ...], channels: int, outputs: int) -> Windows:
    """Return what a convolution multiplies. shape: of its weights. channels: of its input."""
    from ai_edge_litert import schema_py_generated as schema

    columns = int(np.prod(shape)) // outputs
    kernel = shape[1:3]
    return Windows(
        columns,
        groups=channels * int(np.prod(kernel)) // columns,
        kernel=kernel,
        strides=(options.StrideH(), options.StrideW()),
        dilations=(options.DilationHFactor(), options.DilationWFactor()),
        pads=None if options.Padding() == schema.Padding.SAME else ((0, 0), (0, 0)),
    )
