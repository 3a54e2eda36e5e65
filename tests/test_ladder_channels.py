"""Of the worst layers the ladder names the channels that take the integers of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from models.ladder_models import STEPS, Case, edit, make_case
from onnx import numpy_helper

from edgebench.ladder.call import ladder, ladder_table
from edgebench.ladder.onnx_layers import onnx_anatomy
from edgebench.ladder.tflite_layers import tflite_anatomy
from tests.calibration.tflite_networks import Network


def test_a_wide_channel_of_an_onnx_layer_is_named(tmp_path: Path) -> None:
    """One filter of the first convolution fifty times the others: its channel is named; before, none was."""
    case = make_case(tmp_path)

    def widen(network: onnx.ModelProto) -> None:
        weight = next(node.input[1] for node in network.graph.node if node.op_type == "Conv")
        tensor = next(tensor for tensor in network.graph.initializer if tensor.name == weight)
        values = numpy_helper.to_array(tensor).copy()
        values[2] *= 50
        tensor.CopyFrom(numpy_helper.from_array(values, weight))

    wide = edit(case.model, tmp_path / "wide.onnx", widen)
    x = np.random.default_rng(0).normal(size=(4, *_shape(case))).astype(np.float32)
    assert not [note for note in onnx_anatomy(case.model, case.model, [x]).notes if "wider" in note]
    notes = [note for note in onnx_anatomy(wide, wide, [x]).notes if "wider" in note]
    assert notes[0].startswith("channel 2 of c1 is "), "the first in the order of computing"
    found = ladder(str(wide), wide, data=str(case.data), fp32=wide, preprocessing=STEPS)
    assert any(line.startswith("channel 2 of c1 is ") for line in found.notes)
    assert "blame" in ladder_table(found)


def _shape(case: Case) -> tuple[int, ...]:
    dims = onnx.load(case.model).graph.input[0].type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims[1:])


def test_a_wide_channel_of_a_tflite_layer_is_named(tmp_path: Path) -> None:
    """Of twelve channels of a convolution the one whose filter is sixty times the others is named."""
    net = Network(1, 8, 8, 3)
    weights = net.rng.normal(size=(12, 3, 3, 3)).astype(np.float32)
    weights[7] *= 60
    shape = (1, 8, 8, 12)
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    taken = [net.x, net.constant("w", weights), net.constant("b", np.zeros(12, np.float32))]
    made = net.operator("CONV_2D", taken, "c", shape, "Conv2DOptions", **options)
    path = net.save(tmp_path / "m.tflite", made)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    (note,) = tflite_anatomy(path, path, [x]).notes
    assert note.startswith("channel 7 of c is ")
