"""w8a16 in both runtimes: what 16-bit activations keep, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from exporters.onnx_builders import save
from exporters.target_builders import activation_types, made, save_residual, save_wide, spikes
from models.small_tflite import save_tflite, weights
from onnx import helper

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.calibration.target import Arithmetic, local_target
from edgebench.errors import ConfigError
from edgebench.exporters import parity
from edgebench.exporters.export import ExportRequest, export
from edgebench.exporters.inspect import describe
from edgebench.exporters.onnx_arithmetic import of_opset_for
from edgebench.exporters.source import open_source


@pytest.mark.parametrize("opset", [17, 21])
def test_w8a16_keeps_wide_activations_in_onnx(tmp_path: Path, opset: int) -> None:
    """An input 300 times the others: 8 bits lose the others, 16 do not. The file is plain ONNX."""
    path = save_wide(tmp_path / "m.onnx", opset)
    narrow, wide = (made(path, spikes(32), p, local_target()) for p in (Precision.W8A8, Precision.W8A16))
    assert wide.sqnr > narrow.sqnr + 10
    network = onnx.load(wide.path)
    onnx.checker.check_model(network, full_check=True)
    assert activation_types(network) == {"uint16"}
    assert {node.domain for node in network.graph.node} == {""}
    assert describe(wide.path, Format.ONNX).precision is Precision.W8A16
    assert wide.told.target is None
    assert any("no int16 kernels" in note for note in wide.told.notes)


@pytest.mark.parametrize("io", list(TensorIo))
def test_w8a16_keeps_wide_activations_in_tflite(tmp_path: Path, io: TensorIo) -> None:
    """The same in LiteRT; inputs and outputs stay float, which is said where int8 ones are asked for."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[torch]'")
    constants = weights()
    constants["w1"][:, 0] /= 300
    path = save_tflite(tmp_path / "m.tflite", constants=constants)
    narrow = made(path, spikes(16), Precision.W8A8, local_target())
    wide = made(path, spikes(16), Precision.W8A16, local_target(), io=io)
    assert wide.sqnr > narrow.sqnr + 10
    found = describe(wide.path, Format.TFLITE)
    assert (found.precision, found.inputs[0].dtype) == (Precision.W8A16, "float32")
    assert any("takes and gives float" in note for note in wide.told.notes) == (io is TensorIo.INT8)
    assert any("no fast kernels" in note for note in wide.told.notes)


def test_w8a16_has_room_for_what_calibration_did_not_meet(tmp_path: Path) -> None:
    """Samples twice as large as those that fixed the ranges: 8 bits cut them off, 16 do not."""
    path = save_wide(tmp_path / "m.onnx", 17)
    plain = np.random.default_rng(5).normal(size=(64, 32)).astype(np.float32)
    figures = []
    for precision in (Precision.W8A8, Precision.W8A16):
        out = made(path, plain, precision, local_target()).path
        wanted, got = (parity.answers(file, Format.ONNX, (1.9 * plain,)) for file in (path, out))
        figures.append(parity.compare("larger", wanted, got).sqnr_db)
    assert figures[0] < 20
    assert figures[1] > 35


def test_a_graph_that_does_not_convert_is_left_as_it_is(tmp_path: Path) -> None:
    """Without opset 21 the quantizer takes com.microsoft's 16-bit nodes; a graph of 8 bits needs neither."""
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"])]
    strange = onnx.load(save(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, {"y": ["n", 4]}))
    plain = onnx.load(save_wide(tmp_path / "w.onnx", 17))
    wide, narrow = Arithmetic(activation_bits=16), Arithmetic()
    opsets = [of_opset_for(a, m).opset_import[0].version for a, m in ((wide, strange), (wide, plain))]
    assert opsets == [17, 21]
    assert of_opset_for(narrow, plain) is plain


def test_w8a16_needs_data(tmp_path: Path) -> None:
    """Its ranges are fixed beforehand, as those of w8a8 are."""
    model = save_residual(tmp_path / "m.onnx")
    request = ExportRequest(open_source(str(model)), (Format.ONNX,), (Precision.W8A16,), tmp_path, "net")
    with pytest.raises(ConfigError, match="w8a16 needs data"):
        export(request)
