"""The graph of the search: what layers cost, and which operators follow float layers."""

from __future__ import annotations

from pathlib import Path

from models.mixed_models import save_case
from models.small_tflite import save_tflite

from edgebench.artifact import Precision
from edgebench.calibration.target import Target
from edgebench.exporters.mixed_graph import LayerGraph, Operator
from edgebench.exporters.mixed_onnx import read_graph as read_onnx_graph
from edgebench.exporters.mixed_tflite import read_graph as read_tflite_graph
from edgebench.exporters.quantizers import QuantizationJob


def graph(*operators: tuple[str, str, int]) -> LayerGraph:
    """Return a graph of operators `inputs`, `output`, multiplications; inputs with spaces."""
    return LayerGraph(
        tuple(Operator("any", tuple(read.split()), (given,), work) for read, given, work in operators)
    )


def job(base: Path) -> QuantizationJob:
    """Return a quantization of a file."""
    return QuantizationJob(base, base, Precision.W8A8, Target.ARM64)


RESIDUAL = graph(("x", "a", 10), ("a", "b", 30), ("a b", "sum", 0), ("sum", "relu", 0), ("relu", "c", 60))


def test_the_cost_is_a_share_of_the_multiplications() -> None:
    """Two layers of ten and thirty among a hundred are 40 %."""
    assert RESIDUAL.layers == ("a", "b", "c")
    assert RESIDUAL.share(["a", "b"]) == 0.4


def test_what_follows_nothing_but_float_layers_is_float() -> None:
    """An addition is float when both layers that it adds are; what it feeds too, up to the next layer."""
    assert RESIDUAL.floats(["a"]) == ("a",)
    assert RESIDUAL.floats(["a", "b"]) == ("a", "b", "sum", "relu")
    assert RESIDUAL.floats([]) == ()


def test_a_layer_that_is_float_anyway_is_no_choice() -> None:
    """A fixed layer costs nothing extra, cannot be chosen, and counts as float for what follows it."""
    fixed = LayerGraph((Operator("any", ("x",), ("a",), 10, fixed=True), *RESIDUAL.operators[1:]))
    assert fixed.layers == ("b", "c")
    assert fixed.floats([]) == ()
    assert fixed.floats(["b"]) == ("b", "sum", "relu")


def test_an_onnx_graph_counts_the_multiplications_of_one_sample(tmp_path: Path) -> None:
    """A convolution multiplies each weight at each place, a dense layer each once; nodes need no names."""
    model, _ = save_case(tmp_path, planted=False, names=False, count=20)
    found = {op.outputs[0]: op.multiplications for op in read_onnx_graph(job(model)).operators}
    assert found == {
        "c1": 8 * 27 * 64,
        "c2": 8 * 72 * 64,
        "c3": 8 * 72 * 64,
        "c4": 8 * 72 * 64,
        "logits": 48,
        **dict.fromkeys(("r1", "r2", "r3", "r4", "sum", "p", "f"), 0),
    }


def test_a_tflite_graph_counts_the_same(tmp_path: Path) -> None:
    """Two dense layers of 16×8 and 8×4 weights; what is computed is read, constants are not."""
    graph = read_tflite_graph(job(save_tflite(tmp_path / "m.tflite")))
    assert [(op.kind, op.inputs, op.outputs, op.multiplications) for op in graph.operators] == [
        ("FULLY_CONNECTED", ("x",), ("h",), 128),
        ("FULLY_CONNECTED", ("h",), ("logits",), 32),
    ]
