"""Names and order of a TFLite file's inputs and outputs."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgebench.errors import ExportError
from edgebench.exporters.tflite_file import answer, open_interpreter, tensor_specs
from edgebench.exporters.tflite_names import arrange, identifier, unique


def entries(tensors: dict[str, int]) -> list[Any]:
    """Return a signature's list of names and the tensors they stand for."""
    made = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        made.append(entry)
    return made


def operator(code: int, inputs: list[int], output: int) -> Any:
    """Return the operator that fills the tensor `output`."""
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
    return made


def differ(*, signatures: int = 1) -> bytes:
    """Return a TFLite file: minus = a − b, plus = a + b, of two numbers each; sorted as converters sort."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    model.operatorCodes = []
    for builtin in (schema.BuiltinOperator.SUB, schema.BuiltinOperator.ADD):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        model.operatorCodes.append(code)
    graph.tensors = []
    for name in ("serving_default_b:0", "serving_default_a:0", "Call:0", "Call:1"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer, tensor.type = name, [1, 2], 0, schema.TensorType.FLOAT32
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = [0, 1], [2, 3]
    graph.operators = [operator(0, [1, 0], 2), operator(1, [1, 0], 3)]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = entries({"b": 0, "a": 1}), entries({"minus": 2, "plus": 3})
    model.signatureDefs = [signature] * signatures
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(["a", "b"], ["plus", "minus"]), (["b", "a"], ["minus", "plus"])]
)
def test_the_file_takes_and_gives_in_the_order_asked_for(
    inputs: Sequence[str], outputs: Sequence[str], tmp_path: Path
) -> None:
    """After arranging, positions follow the given names, and each still means what its name says."""
    path = tmp_path / "m.tflite"
    path.write_bytes(arrange(differ(), inputs, outputs))
    interpreter = open_interpreter(path, "m")
    takes, gives = tensor_specs(interpreter)
    assert [spec.name for spec in takes] == inputs
    assert [spec.name for spec in gives] == outputs
    values = {"a": np.array([[5, 7]], np.float32), "b": np.array([[1, 2]], np.float32)}
    wanted = {"minus": [[4, 5]], "plus": [[6, 9]]}
    given = answer(interpreter, [values[name] for name in inputs])
    assert [y.tolist() for y in given] == [wanted[name] for name in outputs]


def test_nothing_but_the_order_changes() -> None:
    """The arranged file is as long as before, and in its own order it is the same, byte for byte."""
    content = differ()
    assert arrange(content, ["b", "a"], ["minus", "plus"]) == content
    assert len(arrange(content, ["a", "b"], ["plus", "minus"])) == len(content)


def test_other_names_are_refused() -> None:
    """A signature with names other than those asked for is an error that shows both."""
    with pytest.raises(ExportError, match=r"\['a', 'b'\] instead of \['a', 'c'\]"):
        arrange(differ(), ["a", "c"], ["plus", "minus"])


@pytest.mark.parametrize("signatures", [0, 2])
def test_a_file_without_its_one_signature_is_refused(signatures: int) -> None:
    """A file with no signature, or with two, is an error that says how many it has."""
    with pytest.raises(ExportError, match=f"gave {signatures} signatures"):
        arrange(differ(signatures=signatures), ["a", "b"], ["plus", "minus"])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("x:0", "x"),
        ("x", "x"),
        ("class/prob", "class_prob"),
        ("a b.c", "a_b_c"),
        ("0", "t0"),
        ("_x", "t_x"),
        ("größe", "gr__e"),
        ("", "t"),
        ("in", "in_"),
        ("lambda:0", "lambda_"),
    ],
)
def test_any_name_becomes_an_identifier(name: str, wanted: str) -> None:
    """Names of other alphabets, with slashes, or that are words of Python's become plain identifiers."""
    assert identifier(name) == wanted
    assert wanted.isidentifier()
    assert not keyword.iskeyword(wanted)


def test_equal_names_are_told_apart() -> None:
    """The second of two equal names gets a number, and never that of a third."""
    assert unique(["a", "a", "a_1", "b"]) == ("a", "a_1", "a_1_1", "b")
