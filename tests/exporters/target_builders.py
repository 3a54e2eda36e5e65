"""Quantized files as the export's own steps make them, in this process, and models to make them of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from exporters.onnx_builders import normal, save
from onnx import helper, numpy_helper

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target
from edgebench.exporters import parity, quantize_onnx, quantize_tflite
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult


@dataclass(frozen=True, slots=True)
class Made:
    """A quantized file with what was told of it, and its signal over noise in dB."""

    path: Path
    told: QuantizationResult
    sqnr: float


def made(path: Path, data: np.ndarray, precision: Precision, target: Target, **more: Any) -> Made:
    """Return what an fp32 file beside which it is written is quantized to, by the export's own steps."""
    fmt = Format(path.suffix[1:])
    module = quantize_onnx if fmt is Format.ONNX else quantize_tflite
    samples = path.with_name("samples")
    if not samples.exists():
        write_samples(samples, len(data), [[data]])
    table = find_ranges(RangesJob(path, fmt, samples, DEFAULT_METHOD)).table
    out = path.with_name(f"{precision}.{target}.{fmt}")
    told = module.quantize(QuantizationJob(path, out, precision, target, table, **more))
    wanted, got = (parity.answers(file, fmt, (data,)) for file in (path, out))
    found = parity.compare("made", wanted, got)
    assert found.sqnr_db is not None
    return Made(out, told, found.sqnr_db)


def save_residual(path: Path) -> Path:
    """Write convolutions around a residual sum, a second one with a shortcut of its own, and a Gemm."""
    conv = [
        helper.make_node("Conv", [x, f"w_{y}", f"b_{y}"], [y], name=y, pads=[1, 1, 1, 1])
        for x, y in (("x", "stem"), ("stem_r", "one"), ("one_r", "two"), ("sum", "three"), ("sum", "four"))
    ]
    relu = {y: helper.make_node("Relu", [y], [f"{y}_r"], name=f"{y}_r") for y in ("stem", "one")}
    nodes = [
        *(conv[0], relu["stem"], conv[1], relu["one"], conv[2]),
        helper.make_node("Add", ["two", "stem_r"], ["sum"], name="sum"),
        *(conv[3], conv[4]),
        helper.make_node("Add", ["three", "four"], ["last"], name="last"),
        helper.make_node("GlobalAveragePool", ["last"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w_head", "b_head"], ["logits"], name="head"),
    ]
    stored = {f"w_{y}": normal(8, 8, 3, 3) / 8 for y in ("one", "two", "three", "four")}
    stored |= {"w_stem": normal(8, 3, 3, 3) / 5, "w_head": normal(8, 5), "b_head": normal(5)}
    stored |= {f"b_{y}": normal(8) for y in ("stem", "one", "two", "three", "four")}
    return save(path, nodes, {"x": ["n", 3, 8, 8]}, {"logits": ["n", 5]}, stored)


def save_wide(path: Path, opset: int) -> Path:
    """Write MatMul-Relu-MatMul-Relu-MatMul: all layers alike, so that none is kept in float.

    What the first number weighs is small, as it is large.
    """
    names = ["x", "a", "b", "y"]
    nodes = []
    for index, (taken, given) in enumerate(itertools.pairwise(names)):
        out = given if given == "y" else f"{given}_m"
        nodes.append(helper.make_node("MatMul", [taken, f"w{index}"], [out], name=f"m{index}"))
        if given != "y":
            nodes.append(helper.make_node("Relu", [out], [given], name=f"r{index}"))
    rng = np.random.default_rng(3)
    stored = {f"w{i}": rng.normal(size=(32, 32)).astype(np.float32) / 5 for i in range(3)}
    stored["w0"][0] /= 300
    return save(path, nodes, {"x": ["n", 32]}, {"y": ["n", 32]}, stored, opset=opset)


def spikes(width: int, count: int = 64) -> np.ndarray:
    """Return normal numbers of which a few are large, as in a transformer, float32[count, width]."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(count, width)).astype(np.float32)
    x[:, 0] *= 300 * (rng.random(count) < 0.2)
    return x


def pictures(count: int = 48) -> np.ndarray:
    """Return random images 8×8 with three channels, float32."""
    return np.random.default_rng(2).normal(size=(count, 3, 8, 8)).astype(np.float32)


def constants(network: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the initializers' values by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}


def zero_points(network: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, np.ndarray]]:
    """Yield every Q/DQ node with its zero points."""
    values = constants(network)
    for node in network.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield node, values[node.input[2]]


def activation_types(network: onnx.ModelProto) -> set[str]:
    """Return the types that activations are quantized to."""
    return {str(zero.dtype) for node, zero in zero_points(network) if node.op_type == "QuantizeLinear"}
