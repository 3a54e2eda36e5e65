"""A small image classifier of which int8 destroys one layer, or none; its labels are its own answers.

The layer that is planted multiplies two equal channels by large weights of opposite sign: they cancel,
in int8 too, but their scale leaves nothing of the other weights. What it reads is a sum of two layers,
whose channels no pass can make alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from models.ladder_models import run
from onnx import TensorProto, helper, numpy_helper

CLASSES, WIDTH, SIDE = 6, 8, 8
PLANTED = "c3"
"""The tensor that the destroyed layer gives."""


def save_case(folder: Path, *, planted: bool, count: int = 240, names: bool = True) -> tuple[Path, Path]:
    """Write classifier and labelled images to `folder` and return both.

    names: whether nodes have names, which ONNX does not ask for.
    """
    source = np.random.default_rng(7)
    weights = _weights(source, planted=planted)
    model = _save(folder / "net.onnx", weights, names=names)
    images = (
        source.normal(size=(20 * count, 3, 1, 1)) + source.normal(size=(20 * count, 3, SIDE, SIDE))
    ).astype(np.float32)
    scores = run(model, images)
    weights["w5"] /= scores.std(0)
    weights["b5"] -= (scores.mean(0) / scores.std(0)).astype(np.float32)
    scores = run(_save(model, weights, names=names), images)
    ordered = np.sort(scores, 1)
    sure = np.sort(np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")[:count])
    data = folder / "data.npz"
    np.savez(data, x=images[sure], y=scores[sure].argmax(1))
    return model, data


def _weights(source: np.random.Generator, *, planted: bool) -> dict[str, np.ndarray]:
    shapes = {
        "w1": (WIDTH, 3, 3, 3),
        **{f"w{i}": (WIDTH, WIDTH, 3, 3) for i in (2, 3, 4)},
        "w5": (WIDTH, CLASSES),
    }
    weights = {
        name: (source.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    for name in ("w1", "w2"):
        weights[name][1] = weights[name][0]
    if planted:
        weights["w3"][:, 0] += 400
        weights["w3"][:, 1] -= 400
    weights["b5"] = np.zeros(CLASSES, np.float32)
    return weights


def _save(path: Path, weights: dict[str, np.ndarray], *, names: bool) -> Path:
    nodes, taken = [], "image"
    for place in (1, 2, 3, 4):
        conv = helper.make_node("Conv", [taken, f"w{place}"], [f"c{place}"], pads=[1, 1, 1, 1])
        nodes += [conv, helper.make_node("Relu", [f"c{place}"], [f"r{place}"])]
        taken = f"r{place}"
        if place == 2:
            nodes.append(helper.make_node("Add", ["r1", "r2"], ["sum"]))
            taken = "sum"
    nodes += [
        helper.make_node("GlobalAveragePool", ["r4"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w5", "b5"], ["logits"]),
    ]
    for node in nodes if names else ():
        node.name = f"make_{node.output[0]}"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
