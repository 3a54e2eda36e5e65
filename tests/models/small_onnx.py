"""A small classifier as an ONNX file, made by hand: 16 numbers in, 4 classes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_classifier(path: Path, *, width: int = 8, seed: int = 0) -> Path:
    """Write Gemm-Relu-Gemm with random weights and a free batch size to `path`; return the path."""
    rng = np.random.default_rng(seed)
    shapes = {"w1": (16, width), "b1": (width,), "w2": (width, 4), "b2": (4,)}
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32) / 4, name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="hidden"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"], name="classes"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])
    y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "classifier", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
