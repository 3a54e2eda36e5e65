"""A graph's identity: what it computes, by which a calibration table knows it again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format
from edgebench.storage import sha256_path

if TYPE_CHECKING:
    import onnx


def graph_sha256(path: Path, fmt: Format) -> str:
    """Return the SHA-256 of an fp32 file's graph: of its operators, tensors' names and constants' values.

    Of ONNX the names of constants do not count: tf2onnx numbers those that it folds in the order of a set,
    another one each time, while it names what is computed alike. Of TFLite it is the file's.
    """
    if fmt is not Format.ONNX:
        return sha256_path(path)
    import onnx

    network = onnx.load(path)
    digest = hashlib.sha256()
    for part in _parts(network):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _parts(network: onnx.ModelProto) -> list[bytes]:
    """Return the graph as bytes, part by part, constants standing where they are used."""
    from onnx import NodeProto

    values = {tensor.name: _unnamed(tensor) for tensor in network.graph.initializer}
    ends = [*network.opset_import, *network.functions, *network.graph.input, *network.graph.output]
    parts = [end.SerializeToString(deterministic=True) for end in ends]
    for node in network.graph.node:
        bare = NodeProto()
        bare.CopyFrom(node)
        bare.ClearField("name")
        bare.ClearField("doc_string")
        del bare.input[:]
        bare.input.extend("" if name in values else name for name in node.input)
        parts.append(bare.SerializeToString(deterministic=True))
        parts += [values[name] for name in node.input if name in values]
    used = {name for node in network.graph.node for name in node.input}
    return parts + sorted(value for name, value in values.items() if name not in used)  # of inner graphs


def _unnamed(tensor: onnx.TensorProto) -> bytes:
    """Return the hash of a constant's kind, shape and values."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    return hashlib.sha256(f"{tensor.data_type} {array.shape} ".encode() + array.tobytes()).digest()
