"""A small transformer layer as an ONNX graph, with the few large channels that real ones have."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from tests.calibration.passes.networks import model_of

TOKENS, WIDTH, WIDE = 12, 32, 64
LARGE = (3, 17)
"""Channels whose gain is many times that of the others."""


def transformer_layer(
    *, gain: float = 30.0, hidden: float = np.finfo(np.float32).min, tokens: int = TOKENS
) -> ModelProto:
    """Return norm, attention of one head, norm and two dense layers on x [1, tokens, 32]; seed 0.

    gain: of the large channels of the second norm, whose weights are as much smaller, and of one channel
    that the last layer reads. hidden: what the mask adds to the last three tokens' scores.
    """
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(kind: str, taken: list[str], given: str, **more: Any) -> str:
        nodes.append(helper.make_node(kind, taken, [given], name=f"make_{given}", **more))
        return given

    def dense(name: str, taken: str, before: int, after: int, small: Any = 1.0) -> str:
        weight = rng.normal(size=(before, after)) / np.sqrt(before) / np.reshape(small, (-1, 1))
        product = node("MatMul", [taken, constant(f"{name}_w", weight)], f"{name}_product")
        return node("Add", [product, constant(f"{name}_b", rng.normal(size=after) / 10)], name)

    def norm(name: str, taken: str, gains: Any) -> str:
        given = [
            taken,
            constant(f"{name}_gain", gains),
            constant(f"{name}_shift", rng.normal(size=WIDTH) / 10),
        ]
        return node("LayerNormalization", given, name, axis=-1)

    gains = np.ones(WIDTH)
    gains[list(LARGE)] = gain
    uneven = np.ones(WIDE)
    uneven[5] = gain
    first = norm("first", "x", rng.normal(1, 0.1, WIDTH))
    query, key, value = (dense(name, first, WIDTH, WIDTH) for name in ("query", "key", "value"))
    turned = node("Transpose", [key], "turned", perm=[0, 2, 1])
    scores = node("MatMul", [query, turned], "scores")
    mask = constant("mask", np.where(np.arange(tokens) < tokens - 3, 0, hidden)[None, None])
    looked = node("Softmax", [node("Add", [scores, mask], "masked")], "looked", axis=-1)
    seen = dense("join", node("MatMul", [looked, value], "seen"), WIDTH, WIDTH)
    second = norm("second", node("Add", ["x", seen], "middle"), gains)
    grown = node("Mul", [node("Sigmoid", [dense("up", second, WIDTH, WIDE, gains)], "gate"), "up"], "swish")
    spread = node("Mul", [grown, constant("uneven", uneven)], "spread")
    node("Add", ["middle", dense("down", spread, WIDE, WIDTH, uneven)], "y")
    return model_of(nodes, [1, tokens, WIDTH], [1, tokens, WIDTH], constants)
