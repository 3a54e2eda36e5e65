"""Batch normalization on the way to int8: folded where that is exact, in float where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from odd_graphs import node, normal, weight
from onnx_builders import save

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import Method
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import local_target
from edgebench.exporters import parity
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantize_onnx import quantize
from edgebench.exporters.quantizers import QuantizationJob

CHANNELS = 8


def network(path: Path, *, before: str) -> Path:
    """Write a normalization of uneven channels before a "relu", or before a "conv"."""
    conv = node("Conv", "x k c" if before == "relu" else "n k c", "a", pads=[1, 1, 1, 1])
    norm = node("BatchNormalization", "a g b m v" if before == "relu" else "x g b m v", "n")
    nodes = [conv, norm, node("Relu", "n", "r")] if before == "relu" else [norm, conv, node("Relu", "a", "r")]
    size = CHANNELS if before == "relu" else 3
    rng = np.random.default_rng(0)
    spread = (10 ** rng.uniform(-2, 2, size)).astype(np.float32)
    weights = {
        "k": weight(CHANNELS, 3, 3, 3) * (spread[:, None, None, None] if before == "relu" else 1),
        "c": normal(CHANNELS) / 10,
        "g": rng.uniform(0.5, 1.5, size).astype(np.float32),
        "b": normal(size) / 10,
        "m": np.zeros(size, np.float32),
        "v": spread**2 if before == "relu" else np.ones(size, np.float32),
        "w": weight(5, CHANNELS),
    }
    nodes += [
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f w", "y", transB=1),
    ]
    return save(path, nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, weights)


def int8(base: Path) -> tuple[onnx.ModelProto, float]:
    """Return a file's w8a8 graph, and its signal to error on samples that it has not seen, dB."""
    store, out = base.parent / "store", base.with_suffix(".q.onnx")
    write_samples(store, 48, [[normal(48, 3, 8, 8)]])
    table = find_ranges(RangesJob(base, Format.ONNX, store, Method.MSE)).table
    quantize(QuantizationJob(base, out, Precision.W8A8, local_target(), table, samples=store))
    held = (normal(32, 3, 8, 8, seed=1),)
    wanted, found = (parity.answers(path, Format.ONNX, held) for path in (base, out))
    ratio = parity.compare("held back", wanted, found).sqnr_db
    return onnx.load(out), float("inf") if ratio is None else ratio


def test_normalization_behind_a_convolution_is_folded_into_it(tmp_path: Path) -> None:
    """Four decades between its channels: no node of it is left, and int8 keeps 25 dB."""
    made, ratio = int8(network(tmp_path / "m.onnx", before="relu"))
    assert "BatchNormalization" not in {each.op_type for each in made.graph.node}
    assert ratio > 25


def test_without_folding_int8_loses_the_small_channels(tmp_path: Path) -> None:
    """Where something else reads the convolution's result it cannot be folded: 10 dB less at the least."""
    base = network(tmp_path / "m.onnx", before="relu")
    _, folded = int8(base)
    graph = onnx.load(base)
    (conv,) = [each for each in graph.graph.node if each.op_type == "Conv"]
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info(conv.output[0], onnx.TensorProto.FLOAT, None)
    )
    onnx.save(graph, tmp_path / "u.onnx")
    made, unfolded = int8(tmp_path / "u.onnx")
    assert "BatchNormalization" in {each.op_type for each in made.graph.node}
    assert unfolded < folded - 10


def test_normalization_of_the_input_stays_float(tmp_path: Path) -> None:
    """Before a padded convolution folding would not be exact: the node stays, and int8 keeps 25 dB."""
    made, ratio = int8(network(tmp_path / "m.onnx", before="conv"))
    assert "BatchNormalization" in {each.op_type for each in made.graph.node}
    assert ratio > 25
