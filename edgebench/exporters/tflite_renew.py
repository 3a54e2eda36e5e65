"""An older TFLite file as today's tools read it: with a signature, and operators numbered anew."""

from __future__ import annotations

from typing import Any

from edgebench.exporters.tflite_names import SIGNATURE


def renewed(content: bytes) -> bytes:
    """Return a TFLite file that ai-edge-quantizer understands; one that it does already is itself.

    A file without a signature gets one of its tensors' own names. Operators that only the field of 2020
    and before numbers are numbered in the present one too: there they would all be ADD, number 0. For
    what reads the file as data: written anew, its weights lose their 16-byte alignment.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    old = [code for code in model.operatorCodes if code.builtinCode < code.deprecatedBuiltinCode]
    if model.signatureDefs and not old:
        return content
    for code in old:
        code.builtinCode = code.deprecatedBuiltinCode
    model.signatureDefs = model.signatureDefs or [_signature(model.subgraphs[0])]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _signature(graph: Any) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs = [_entry(graph, index) for index in graph.inputs]
    signature.outputs = [_entry(graph, index) for index in graph.outputs]
    return signature


def _entry(graph: Any, index: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = graph.tensors[index].name, index
    return entry
