"""What a model file is: inputs, outputs and the arithmetic inside, read from the file itself."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Artifact, Format, Precision, SourceRecord, TensorSpec, read_manifest
from edgebench.datasets import Preprocessing
from edgebench.errors import InputError
from edgebench.step_content import external_names
from edgebench.storage import from_plain, sha256_path, size_bytes

if TYPE_CHECKING:
    import onnx

_FORMATS = {".onnx": Format.ONNX, ".tflite": Format.TFLITE}
_MOST = 0.5
"""A precision is that of more than this share of the weights' values."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a file takes, gives and computes with."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: Precision


def open_artifact(path: Path, preprocessing: Preprocessing | None = None) -> Artifact:
    """Return the manifest of a model file: the one beside it, else one made from the file itself.

    preprocessing: in place of what the manifest says. Raises InputError where the file is absent, of
    another kind, or not the one that its manifest tells of.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file", hint="name a .onnx or .tflite file")
    artifact = read_manifest(path)
    if artifact is None:
        return adopt(path, preprocessing=preprocessing)
    if artifact.sha256 != sha256_path(path):
        raise InputError(
            f"{path}: differs from its manifest's SHA-256",
            hint=f"export it again, or remove {path.name}.json to take the file as it is",
        )
    return replace(artifact, preprocessing=preprocessing) if preprocessing else artifact


def adopt(path: Path, *, preprocessing: Preprocessing | None = None) -> Artifact:
    """Return a manifest for a model file that was made elsewhere.

    The file is opened in a process of its own, so that one that crashes its runtime is an error
    message. Raises InputError for another kind of file or one whose weights lie in other files, ModelError
    for a damaged one or one with operators that its runtime does not have.
    """
    from edgebench.exporters.source import open_source
    from edgebench.exporters.worker import run_worker

    fmt = format_of(path)
    if fmt is Format.ONNX and (others := external_names(path)):
        raise InputError(
            f"{path}: keeps weights in {', '.join(others)}: size, hash and copies on devices would "
            "be without them",
            hint=f"edgebench export {path} --format onnx -o DIR writes one file",
        )
    record = open_source(str(path)).record
    plain = run_worker(
        "edgebench.exporters.stages:describe",
        {"path": str(path.resolve()), "format": fmt.value},
        what=f"reading {path}",
    )
    description = from_plain(Description, plain, what=str(path))
    return Artifact(
        name=path.stem,
        path=path.name,
        format=fmt,
        precision=description.precision,
        sha256=sha256_path(path),
        size_bytes=size_bytes(path),
        inputs=description.inputs,
        outputs=description.outputs,
        source=SourceRecord(model=path.name, kind=record.kind, sha256=record.sha256),
        preprocessing=preprocessing or Preprocessing(),
    )


def format_of(path: Path) -> Format:
    """Return what an artifact's file is by its ending. Raises InputError for another."""
    fmt = _FORMATS.get(path.suffix.lower())
    if fmt is None:
        raise InputError(f"{path}: is not an artifact of a known kind", hint="name a .onnx or .tflite file")
    return fmt


def describe(path: Path, fmt: Format) -> Description:
    """Return what the file takes, gives and computes with. Raises ModelError."""
    return _describe_onnx(path) if fmt is Format.ONNX else _describe_tflite(path)


def _describe_onnx(path: Path) -> Description:
    from edgebench.exporters.onnx_file import open_session, read_onnx, session_specs

    network = read_onnx(path)
    session = open_session(path, str(path))
    return Description(
        session_specs(session.get_inputs()), session_specs(session.get_outputs()), _onnx_precision(network)
    )


def _onnx_precision(network: onnx.ModelProto) -> Precision:
    from onnx import TensorProto

    int16 = (TensorProto.INT16, TensorProto.UINT16)
    operators = {node.op_type for node in network.graph.node}
    if "DynamicQuantizeLinear" in operators:
        return Precision.W8A32
    weights: Counter[Any] = Counter()
    for tensor in network.graph.initializer:
        weights[tensor.data_type] += math.prod(tensor.dims)
    integers = sum(weights[kind] for kind in (TensorProto.INT8, TensorProto.UINT8))
    floats = {Precision.FP32: weights[TensorProto.FLOAT], Precision.FP16: weights[TensorProto.FLOAT16]}
    if {"QuantizeLinear", "QLinearConv", "QLinearMatMul"} & operators:
        wide = any(tensor.data_type in int16 for tensor in network.graph.initializer)
        return _majority({Precision.W8A16 if wide else Precision.W8A8: integers, **floats})
    return _majority({Precision.UNKNOWN: integers, **floats})


def _describe_tflite(path: Path) -> Description:
    from edgebench.exporters.tflite_file import open_interpreter, tensor_specs

    interpreter = open_interpreter(path, str(path))
    inputs, outputs = tensor_specs(interpreter)
    return Description(inputs, outputs, _tflite_precision(path))


def _tflite_precision(path: Path) -> Precision:
    """Return the arithmetic that most of the weights take part in.

    A weight is a constant that an operator reads, straight or through DEQUANTIZE; its partner is the
    operator's first input that is computed: int8 weights beside float activations are w8a32.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    stored = _stored_types(graph)
    body = graph.Subgraphs(0)
    found: Counter[Precision] = Counter()
    for i in range(body.OperatorsLength()):
        operands = [int(k) for k in body.Operators(i).InputsAsNumpy() if k >= 0]
        partner = next((body.Tensors(k).Type() for k in operands if k not in stored), None)
        if partner is None:
            continue
        for k in operands:
            if k in stored:
                size = math.prod(int(extent) for extent in _extents(body.Tensors(k)))
                found[_pair(stored[k], body.Tensors(k).Type(), partner, schema.TensorType)] += size
    return _majority(dict(found))


def _stored_types(model: Any) -> dict[int, int]:
    """Return the stored type of every constant tensor, and of what DEQUANTIZE makes of one."""
    from ai_edge_litert import schema_py_generated as schema

    body = model.Subgraphs(0)
    tensors = [body.Tensors(index) for index in range(body.TensorsLength())]
    buffers = [model.Buffers(tensor.Buffer()) for tensor in tensors]  # inside the file's tables, or behind
    stored = {i: t.Type() for i, t in enumerate(tensors) if buffers[i].DataLength() or buffers[i].Offset()}
    for i in range(body.OperatorsLength()):
        operator = body.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())  # writers fill one of two fields, or both
        if (
            max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == schema.BuiltinOperator.DEQUANTIZE
            and operator.Inputs(0) in stored
        ):
            stored[operator.Outputs(0)] = stored[operator.Inputs(0)]
    return stored


def _extents(tensor: Any) -> Any:
    return tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()


def _pair(stored: int, used: int, partner: int, kinds: Any) -> Precision:
    """Return the precision of a weight stored as one type, used as another, beside an activation."""
    if stored == kinds.FLOAT16:
        return Precision.FP16
    if stored in (kinds.INT8, kinds.UINT8) and used == stored:
        if partner in (kinds.INT8, kinds.UINT8):
            return Precision.W8A8
        others = {kinds.FLOAT32: Precision.W8A32, kinds.INT16: Precision.W8A16}
        return others.get(partner, Precision.UNKNOWN)
    return Precision.FP32 if stored == kinds.FLOAT32 else Precision.UNKNOWN


def _majority(values: dict[Precision, int]) -> Precision:
    total = sum(values.values())
    if not total:
        return Precision.UNKNOWN
    best = max(values, key=lambda precision: values[precision])
    return best if values[best] > _MOST * total else Precision.UNKNOWN
