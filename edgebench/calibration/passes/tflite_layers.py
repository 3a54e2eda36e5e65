"""The layers of a TFLite graph whose weights are constants: what they read, and where their weights are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.passes.windows import Windows
from edgebench.calibration.tflite_graph import Operator, TfliteGraph

if TYPE_CHECKING:
    Stored = NDArray[np.float32]

FloatArray = NDArray[np.float64]

_TABLES = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
}
_BIAS = 2
"""Place of the bias among a layer's inputs."""


@dataclass(frozen=True, slots=True)
class TfliteLayer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED with constant weights that no other operator reads.

    given: the name of the tensor that it writes. taken, weight, bias: tensors; bias is None where the
    layer has none of its own. depthwise: its weights' last axis is the outputs', not the inputs'.
    outputs: channels. places: of one sample where it multiplies. windows: of its input that it multiplies.
    """

    given: str
    taken: int
    weight: int
    bias: int | None
    depthwise: bool
    outputs: int
    places: int
    windows: Windows

    @property
    def weights(self) -> int:
        """The number of its weights."""
        return self.outputs * self.windows.columns

    def image(self, value: Stored) -> Stored:
        """Return a value of the tensor read as `vectors` takes it: a convolution's [channels, ...]."""
        return np.moveaxis(value[0], -1, 0) if self.windows.kernel else value


def layers(graph: TfliteGraph) -> list[TfliteLayer]:
    """Return the layers in the graph's order."""
    found = [_layer(graph, operator) for operator in graph.operators]
    return [layer for layer in found if layer is not None]


def read_matrix(graph: TfliteGraph, layer: TfliteLayer) -> FloatArray:
    """Return the weights as float64[outputs, columns], one row per output channel."""
    rows = arranged(graph, layer)
    return rows.reshape(layer.outputs, layer.windows.columns).astype(np.float64)


def write_matrix(graph: TfliteGraph, layer: TfliteLayer, rows: FloatArray) -> None:
    """Replace the weights by float64[outputs, columns], in place."""
    view = arranged(graph, layer)
    view[:] = rows.reshape(view.shape)


def arranged(graph: TfliteGraph, layer: TfliteLayer) -> Stored:
    """Return a view of the weights: output channels, then the input's, then the kernel's sides."""
    weights = graph.constant(layer.weight)
    if not layer.windows.kernel:
        return weights
    return np.moveaxis(weights, -1, 0 if layer.depthwise else 1)


def _layer(graph: TfliteGraph, operator: Operator) -> TfliteLayer | None:
    if operator.kind not in _TABLES or not graph.is_own(operator.inputs[1]) or not _plain(operator):
        return None
    taken, weight = operator.inputs[:_BIAS]
    bias = operator.inputs[_BIAS] if len(operator.inputs) > _BIAS else None
    depthwise = operator.kind == "DEPTHWISE_CONV_2D"
    outputs = graph.shape(weight)[-1 if depthwise else 0]
    (given,) = operator.outputs
    return TfliteLayer(
        given=graph.name(given),
        taken=taken,
        weight=weight,
        bias=bias if bias is not None and graph.is_own(bias) else None,
        depthwise=depthwise,
        outputs=outputs,
        places=int(np.prod(graph.shape(given))) // outputs,
        windows=_windows(graph, operator, outputs),
    )


def _plain(operator: Operator) -> bool:
    """Whether the weights lie as they are read: not shuffled for one processor."""
    if operator.kind != "FULLY_CONNECTED":
        return True
    return bool(operator.options(_TABLES[operator.kind]).WeightsFormat() == 0)


def _windows(graph: TfliteGraph, operator: Operator, outputs: int) -> Windows:
    """Return what a layer multiplies."""
    from ai_edge_litert import schema_py_generated as schema

    shape = graph.shape(operator.inputs[1])
    columns = int(np.prod(shape)) // outputs
    if operator.kind == "FULLY_CONNECTED":
        return Windows(columns)
    options, kernel = operator.options(_TABLES[operator.kind]), shape[1:3]
    return Windows(
        columns,
        groups=graph.shape(operator.inputs[0])[-1] * int(np.prod(kernel)) // columns,
        kernel=kernel,
        strides=(options.StrideH(), options.StrideW()),
        dilations=(options.DilationHFactor(), options.DilationWFactor()),
        pads=None if options.Padding() == schema.Padding.SAME else ((0, 0), (0, 0)),
    )
