"""ONNX graphs of many kinds, each with its samples: what quantizing has to take without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnx_builders import save

COUNT = 48
Samples = list[np.ndarray]
Built = tuple[Path, Samples]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return reproducible normal numbers, float32."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    """Return weights that keep the size of what they multiply, float32; outputs come first."""
    columns = max(1, int(np.prod(shape[1:])))
    return normal(*shape, seed=seed) / np.float32(np.sqrt(columns))


def node(kind: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    """Return a named node; tensors are separated by spaces, and `-` stands for one left out."""
    takes, gives = ([name if name != "-" else "" for name in text.split()] for text in (inputs, outputs))
    return helper.make_node(kind, takes, gives, name=f"{kind}_{gives[0]}", **attributes)


def classifier(path: Path, *, opset: int = 17, batch: int | str = 1) -> Built:
    """Conv-Relu-Conv-Relu-GlobalAveragePool-Gemm: what the others vary."""
    nodes = [
        node("Conv", "x k1 c1", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b k2 c2", "c", strides=[2, 2]),
        node("Relu", "c", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "f"),
        node("Gemm", "f g h", "y", transB=1),
    ]
    weights = {
        "k1": weight(8, 3, 3, 3),
        "c1": weight(8),
        "k2": weight(12, 8, 3, 3),
        "c2": weight(12),
        "g": weight(5, 12),
        "h": weight(5),
    }
    save(path, nodes, {"x": [batch, 3, 12, 12]}, {"y": [batch, 5]}, weights, opset=opset)
    return path, [normal(COUNT, 3, 12, 12)]


def several_ends(path: Path) -> Built:
    """Two inputs and three outputs, one of them read by another node too."""
    nodes = [
        node("Gemm", "x w1 b1", "h"),
        node("Relu", "h", "hidden"),
        node("MatMul", "z w2", "m"),
        node("Add", "hidden m", "sum"),
        node("Gemm", "sum w3 b3", "logits"),
        node("Sigmoid", "m", "gate"),
    ]
    weights = {
        "w1": weight(16, 24),
        "b1": weight(24),
        "w2": weight(10, 24),
        "w3": weight(24, 4),
        "b3": weight(4),
    }
    inputs, outputs = (
        {"x": ["n", 16], "z": ["n", 10]},
        {"logits": ["n", 4], "hidden": ["n", 24], "gate": ["n", 24]},
    )
    save(path, nodes, inputs, outputs, weights)
    return path, [normal(COUNT, 16), normal(COUNT, 10, seed=1)]


def shared_weight(path: Path) -> Built:
    """One weight that two MatMuls read."""
    nodes = [node("MatMul", "x w", "a"), node("Tanh", "a", "b"), node("MatMul", "b w", "y")]
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 24]}, {"w": weight(24, 24)})
    return path, [normal(COUNT, 24)]


def transposed_and_not(path: Path) -> Built:
    """One weight that two Gemms read, one of them transposed: its channels lie on either axis."""
    nodes = [
        node("Gemm", "x w b", "a"),
        node("Tanh", "a", "h"),
        node("Gemm", "h w d", "y", transB=1),
    ]
    weights = {"w": weight(24, 10), "b": weight(10), "d": weight(24)}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 24]}, weights)
    return path, [normal(COUNT, 24)]


def weight_given(path: Path) -> Built:
    """A weight that is an output of the graph as well."""
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("MatMul", "b v", "y")]
    weights = {"w": weight(24, 16), "v": weight(16, 8)}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 8], "w": [24, 16]}, weights)
    return path, [normal(COUNT, 24)]


def shared_bias(path: Path) -> Built:
    """Two convolutions with one bias, behind inputs of different ranges."""
    nodes = [
        node("Conv", "x k1 c", "a"),
        node("Relu", "a", "b"),
        node("Mul", "b ten", "t"),
        node("Conv", "t k2 c", "y", pads=[1, 1, 1, 1]),
    ]
    weights = {"k1": weight(8, 3, 3, 3), "c": weight(8), "k2": weight(8, 8, 3, 3), "ten": np.float32([10.0])}
    save(path, nodes, {"x": [1, 3, 10, 10]}, {"y": [1, 8, 8, 8]}, weights)
    return path, [normal(COUNT, 3, 10, 10)]


def shared_bias_of_unequal_channels(path: Path) -> Built:
    """Two convolutions with one bias, whose channels are of sizes that equalization evens out."""
    sizes = np.exp(1.5 * normal(16)).reshape(16, 1, 1, 1)
    nodes = [
        node("Conv", "x k0 c", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b k1 c", "d", pads=[1, 1, 1, 1]),
        node("Relu", "d", "e"),
        node("Conv", "e k2", "y"),
    ]
    weights = {
        "k0": weight(16, 3, 3, 3) * sizes,
        "k1": weight(16, 16, 3, 3) / sizes.reshape(1, 16, 1, 1),
        "k2": weight(4, 16, 3, 3, seed=2),
        "c": np.abs(weight(16)) + np.float32(0.5),
    }
    save(path, nodes, {"x": [1, 3, 10, 10]}, {"y": [1, 4, 8, 8]}, weights)
    return path, [normal(COUNT, 3, 10, 10)]


def scalar_given(path: Path) -> Built:
    """An output without any axis: the mean of all."""
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("ReduceMean", "b", "y", keepdims=0)]
    save(path, nodes, {"x": [1, 24]}, {"y": []}, {"w": weight(24, 16)})
    return path, [normal(COUNT, 24)]


def input_given(path: Path) -> Built:
    """An input that is an output as well."""
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("MatMul", "b v", "y")]
    weights = {"w": weight(24, 16), "v": weight(16, 8)}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 8], "x": [1, 24]}, weights)
    return path, [normal(COUNT, 24)]


def constant_nodes(path: Path) -> Built:
    """Weights that Constant nodes give."""
    _, samples = classifier(path)
    network = onnx.load(path)
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in network.graph.initializer
    ]
    del network.graph.initializer[:]
    rest = list(network.graph.node)
    del network.graph.node[:]
    network.graph.node.extend([*constants, *rest])
    onnx.save(network, path)
    return path, samples


def nameless(path: Path) -> Built:
    """The classifier without its nodes' names."""
    _, samples = classifier(path)
    network = onnx.load(path)
    for entry in network.graph.node:
        entry.name = ""
    onnx.save(network, path)
    return path, samples


def external_data(path: Path) -> Built:
    """Weights in a file beside the model's."""
    _, samples = classifier(path)
    network = onnx.load(path)
    path.unlink()
    onnx.save_model(network, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path, samples


def gemms(path: Path) -> Built:
    """Gemms with a transposed input, with factors, without bias and with one of shape [1]."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0]),
        node("Gemm", "t w1 b1", "a", transA=1),
        node("Relu", "a", "r"),
        node("Gemm", "r w2 b2", "b", alpha=0.5, beta=2.0),
        node("Relu", "b", "s"),
        node("Gemm", "s w3", "c"),
        node("Relu", "c", "q"),
        node("Gemm", "q w4 b4", "y"),
    ]
    weights = {
        "w1": weight(24, 16),
        "b1": weight(16),
        "w2": weight(16, 12),
        "b2": weight(1, 12),
        "w3": weight(12, 10),
        "w4": weight(10, 6),
        "b4": weight(1),
    }
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 6]}, weights)
    return path, [normal(COUNT, 24)]


def line_convolutions(path: Path) -> Built:
    """1-D convolutions, dilated, with a stride, without bias."""
    nodes = [
        node("Conv", "x k1", "a", pads=[2, 2], dilations=[2]),
        node("Relu", "a", "b"),
        node("Conv", "b k2 c2", "c", strides=[3]),
        node("Relu", "c", "d"),
        node("Conv", "d k3", "y"),
    ]
    weights = {"k1": weight(8, 2, 3), "k2": weight(12, 8, 5), "c2": weight(12), "k3": weight(4, 12, 1)}
    save(path, nodes, {"x": [1, 2, 40]}, {"y": None}, weights)  # type: ignore[dict-item]
    return path, [normal(COUNT, 2, 40)]


def volume_convolutions(path: Path) -> Built:
    """3-D convolutions."""
    nodes = [
        node("Conv", "x k1 c1", "a", pads=[1] * 6),
        node("Relu", "a", "b"),
        node("Conv", "b k2", "y", strides=[2, 2, 2]),
    ]
    weights = {"k1": weight(6, 2, 3, 3, 3), "c1": weight(6), "k2": weight(4, 6, 3, 3, 3)}
    save(path, nodes, {"x": [1, 2, 6, 6, 6]}, {"y": [1, 4, 2, 2, 2]}, weights)
    return path, [normal(COUNT, 2, 6, 6, 6)]


def upwards(path: Path) -> Built:
    """ConvTransposes, one of them grouped."""
    nodes = [
        node("Conv", "x k1 c1", "a"),
        node("Relu", "a", "b"),
        node("ConvTranspose", "b k2 c2", "c", strides=[2, 2]),
        node("Relu", "c", "d"),
        node("ConvTranspose", "d k3", "y", group=2),
    ]
    weights = {"k1": weight(8, 3, 3, 3), "c1": weight(8), "k2": weight(8, 6, 2, 2), "c2": weight(6)}
    weights["k3"] = weight(6, 4, 3, 3)
    save(path, nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 14, 14]}, weights)
    return path, [normal(COUNT, 3, 8, 8)]


def groups(path: Path) -> Built:
    """A grouped, a depthwise and a padded-by-name convolution."""
    nodes = [
        node("Conv", "x k1 c1", "a", group=2, pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b k2 c2", "c", group=12, strides=[2, 2]),
        node("Clip", "c low high", "d"),
        node("Conv", "d k3 c3", "y", auto_pad="SAME_UPPER"),
    ]
    weights = {
        "k1": weight(12, 2, 3, 3),
        "c1": weight(12),
        "k2": weight(12, 1, 3, 3),
        "c2": weight(12),
        "low": np.float32(0),
        "high": np.float32(6),
        "k3": weight(5, 12, 3, 3),
        "c3": weight(5),
    }
    save(path, nodes, {"x": [1, 4, 10, 10]}, {"y": [1, 5, 4, 4]}, weights)
    return path, [normal(COUNT, 4, 10, 10)]


def weight_first(path: Path) -> Built:
    """Constants on the left of a MatMul, of three dimensions, and behind a Transpose."""
    nodes = [
        node("MatMul", "x w1", "a"),
        node("Relu", "a", "b"),
        node("MatMul", "left b", "c"),
        node("Relu", "c", "d"),
        node("MatMul", "d batched", "e"),
        node("Relu", "e", "f"),
        node("Transpose", "w2", "turned", perm=[1, 0]),
        node("MatMul", "f turned", "y"),
    ]
    weights = {"w1": weight(8, 12), "left": weight(6, 6), "batched": weight(1, 12, 10), "w2": weight(4, 10)}
    save(path, nodes, {"x": [1, 6, 8]}, {"y": [1, 6, 4]}, weights)
    return path, [normal(COUNT, 6, 8)]


def branches(path: Path) -> Built:
    """An If whose branches hold weights of their own and read one of the graph's."""
    own = numpy_helper.from_array(weight(16, 16, seed=3), "inner")
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 16]) for name in ("t", "u")]
    then = helper.make_graph([node("MatMul", "r inner", "t")], "then", [], ends[:1], [own])
    other = helper.make_graph([node("MatMul", "r shared", "u")], "else", [], ends[1:])
    nodes = [
        node("MatMul", "x w", "a"),
        node("Relu", "a", "r"),
        node("ReduceSum", "x", "total", keepdims=0),
        node("Greater", "total zero", "positive"),
        helper.make_node("If", ["positive"], ["chosen"], name="choice", then_branch=then, else_branch=other),
        node("Relu", "chosen", "s"),
        node("MatMul", "s shared", "m"),
        node("Relu", "m", "o"),
        node("MatMul", "o v", "y"),
    ]
    weights = {"w": weight(24, 16), "shared": weight(16, 16), "v": weight(16, 5), "zero": np.float32(0)}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 5]}, weights)
    return path, [normal(COUNT, 24)]


def loops(path: Path) -> Built:
    """A Loop of three rounds whose body multiplies by a weight of the graph's."""
    float32, int64, boolean = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    takes = [
        helper.make_tensor_value_info("i", int64, []),
        helper.make_tensor_value_info("go", boolean, []),
        helper.make_tensor_value_info("state", float32, [1, 16]),
    ]
    gives = [
        helper.make_tensor_value_info("on", boolean, []),
        helper.make_tensor_value_info("next", float32, [1, 16]),
    ]
    inner = [node("Identity", "go", "on"), node("MatMul", "state turn", "p"), node("Tanh", "p", "next")]
    body = helper.make_graph(inner, "body", takes, gives)
    nodes = [
        node("MatMul", "x w", "a"),
        node("Relu", "a", "start"),
        helper.make_node("Loop", ["three", "", "start"], ["end"], name="rounds", body=body),
        node("MatMul", "end v", "y"),
    ]
    weights = {"w": weight(24, 16), "turn": weight(16, 16), "v": weight(16, 5), "three": np.int64(3)}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 5]}, weights)
    return path, [normal(COUNT, 24)]


def tied_embedding(path: Path) -> Built:
    """A table that words are looked up in and that gives the scores of the next one."""
    nodes = [
        node("Gather", "table ids", "e"),
        node("MatMul", "e w", "a"),
        node("Relu", "a", "b"),
        node("ReduceMean", "b", "m", axes=[1], keepdims=0),
        node("Gemm", "m table", "y", transB=1),
    ]
    weights = {"table": weight(30, 16), "w": weight(16, 16)}
    save(path, nodes, {"ids": [1, 7]}, {"y": [1, 30]}, weights, ids=onnx.TensorProto.INT64)
    return path, [np.random.default_rng(0).integers(0, 30, (COUNT, 7))]


def wide(path: Path) -> Built:
    """Nameless layers of which the first and the last are small enough to stay float."""
    nodes = [
        node("Gemm", "x w1 b1", "a"),
        node("Relu", "a", "b"),
        node("Gemm", "b w2 b2", "c"),
        node("Relu", "c", "d"),
        node("Gemm", "d w3 b3", "y"),
    ]
    for entry in nodes:
        entry.name = ""
    weights = {"w1": weight(4, 200), "b1": weight(200), "w2": weight(200, 200), "b2": weight(200)}
    weights |= {"w3": weight(200, 3), "b3": weight(3)}
    save(path, nodes, {"x": [1, 4]}, {"y": [1, 3]}, weights)
    return path, [normal(COUNT, 4)]


def row_bias(path: Path) -> Built:
    """A Gemm of several rows, each with a bias of its own."""
    nodes = [node("Gemm", "x w1 b1", "a"), node("Relu", "a", "b"), node("Gemm", "b w2", "y")]
    weights = {"w1": weight(24, 16), "b1": weight(6, 16), "w2": weight(16, 5)}
    nodes.insert(0, node("Reshape", "s rows", "x"))
    weights["rows"] = np.int64([6, 24])
    save(path, nodes, {"s": [1, 6, 24]}, {"y": [6, 5]}, weights)
    return path, [normal(COUNT, 6, 24)]


def half(path: Path) -> Built:
    """The classifier in float16 between float32 ends, as tools for GPUs write it."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _, samples = classifier(path)
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
    return path, samples


def double(path: Path) -> Built:
    """Layers and ends of float64."""
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "b"), node("MatMul", "b v", "y")]
    weights = {"w": weight(24, 16).astype(np.float64), "v": weight(16, 8).astype(np.float64)}
    kind = onnx.TensorProto.DOUBLE
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 8]}, weights, x=kind, y=kind)
    return path, [normal(COUNT, 24)]


def split(path: Path) -> Built:
    """A Split of which one part is not read."""
    nodes = [
        node("MatMul", "x w", "a"),
        node("Split", "a parts", "p q r", axis=1),
        node("Relu", "r", "b"),
        node("Add", "p b", "s"),
        node("MatMul", "s v", "y"),
    ]
    weights = {"w": weight(24, 48), "v": weight(16, 8), "parts": np.int64([16, 16, 16])}
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 8]}, weights)
    return path, [normal(COUNT, 24)]


def recurrent(path: Path) -> Built:
    """An LSTM, for which there are no integers, with most of the weights."""
    nodes = [
        node("Transpose", "s", "x", perm=[1, 0, 2]),
        node("LSTM", "x w r b", "all h -", hidden_size=8),
        node("Squeeze", "h axes", "last"),
        node("MatMul", "last v", "y"),
    ]
    weights = {"w": weight(1, 32, 5), "r": weight(1, 32, 8), "b": weight(1, 64), "v": weight(8, 3)}
    weights["axes"] = np.int64([0])
    save(path, nodes, {"s": [1, 7, 5]}, {"y": [1, 3]}, weights)
    return path, [normal(COUNT, 7, 5)]


def local_functions(path: Path) -> Built:
    """A node that is a function of the file's own."""
    inner = [helper.make_node("MatMul", ["a", "w"], ["b"]), helper.make_node("Relu", ["b"], ["c"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "Dense", ["a", "w"], ["c"], inner, opsets[:1])
    nodes = [helper.make_node("Dense", ["x", "w"], ["h"], domain="own", name="d"), node("MatMul", "h v", "y")]
    save(path, nodes, {"x": [1, 24]}, {"y": [1, 8]}, {"w": weight(24, 16), "v": weight(16, 8)})
    graph = onnx.load(path).graph
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8), path)
    return path, [normal(COUNT, 24)]


GRAPHS: dict[str, Callable[[Path], Built]] = {
    **{f"opset {n}": lambda path, n=n: classifier(path, opset=n) for n in (7, 11, 13, 17, 21, 22)},
    "open batch": lambda path: classifier(path, batch="n"),
    "several ends": several_ends,
    "shared weight": shared_weight,
    "shared weight, transposed and not": transposed_and_not,
    "weight given": weight_given,
    "output without axes": scalar_given,
    "shared bias": shared_bias,
    "shared bias of unequal channels": shared_bias_of_unequal_channels,
    "input given": input_given,
    "constant nodes": constant_nodes,
    "nameless nodes": nameless,
    "nameless ends": wide,
    "tied embedding": tied_embedding,
    "bias of rows": row_bias,
    "external data": external_data,
    "gemms": gemms,
    "1-D convolutions": line_convolutions,
    "3-D convolutions": volume_convolutions,
    "transposed convolutions": upwards,
    "grouped convolutions": groups,
    "weights first": weight_first,
    "float16": half,
    "float64": double,
    "unread part": split,
    "recurrent": recurrent,
    "local functions": local_functions,
    "branches": branches,
    "loops": loops,
}
