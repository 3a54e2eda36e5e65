"""Float layers between int8 ones: ONNX Runtime leaves them in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgebench.calibration.passes.floats import shield_floats


def between(*operators: str, shape: tuple[int, ...] = (8, 8)) -> ModelProto:
    """Return a graph that dequantizes, multiplies in float, does some operators, and quantizes."""
    source = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.05),
        "zero": np.uint8(128),
        "w": source.normal(size=shape).astype(np.float32),
        "b": source.normal(size=shape[0]).astype(np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["t0"]),
    ]
    for place, kind in enumerate(operators):
        others = {"Conv": ["w"], "Gemm": ["w", "b"], "MatMul": ["w"], "Add": ["b"]}.get(kind, [])
        nodes.append(
            helper.make_node(kind, [f"t{place}", *others], [f"t{place + 1}"], name=f"{kind}_{place}")
        )
    last = f"t{len(operators)}"
    nodes += [
        helper.make_node("QuantizeLinear", [last, "scale", "zero"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "scale", "zero"], ["y"]),
    ]
    size = ["n", shape[1], *((4, 4) if len(shape) == 4 else ())]
    graph = helper.make_graph(
        nodes,
        "between",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(size))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def integers(model: ModelProto, folder: Path) -> bool:
    """Whether ONNX Runtime holds an int8 constant once it has optimized a graph."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    loaded = onnx.load(folder / "optimized.onnx")
    return any(tensor.data_type == TensorProto.INT8 for tensor in loaded.graph.initializer)


CHAINS = [
    (("Conv",), (8, 8, 3, 3)),
    (("Conv", "Relu"), (8, 8, 3, 3)),
    (("Gemm",), (8, 8)),
    (("Gemm", "Relu"), (8, 8)),
    (("MatMul", "Add"), (8, 8)),
]


@pytest.mark.parametrize(("operators", "shape"), CHAINS)
def test_onnx_runtime_quantizes_what_is_not_shielded(
    operators: tuple[str, ...], shape: tuple[int, ...], tmp_path: Path
) -> None:
    """As it stands the layer's weights become int8 in ONNX Runtime; shielded they do not."""
    model = between(*operators, shape=shape)
    assert integers(model, tmp_path)
    assert not integers(shield_floats(model, [f"{operators[0]}_0"]), tmp_path)


def test_a_shield_changes_no_value() -> None:
    """The shielded graph answers as the graph as it stands, node by node."""
    model = between("Conv", "Relu", shape=(8, 8, 3, 3))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = np.random.default_rng(1).normal(size=(2, 8, 4, 4)).astype(np.float32)
    shielded = shield_floats(model, ["Conv_0"])
    onnx.checker.check_model(shielded, full_check=True)
    given = [
        ort.InferenceSession(graph.SerializeToString(), options).run(None, {"x": x})[0]
        for graph in (model, shielded)
    ]
    assert np.array_equal(*given)


def test_only_the_layers_named_are_shielded() -> None:
    """Another layer's graph is left as it is."""
    model = between("Gemm")
    assert shield_floats(model, ["another"]) == model
