"""The names and the order of a TFLite file's inputs and outputs: those of its source."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

from edgebench.errors import ExportError

SIGNATURE = "serving_default"
"""The signature that ai-edge-quantizer and LiteRT look for."""


def identifier(name: str) -> str:
    """Return `name` as a signature may hold it: ASCII letters, digits, underscores; a letter first.

    TensorFlow's own `:0` at the end is dropped. A word of Python's, such as `in`, gets an underscore
    behind it: TensorFlow makes parameters of the names, and drops the signature where it cannot.
    """
    clean = re.sub(r"\W", "_", name.removesuffix(":0"), flags=re.ASCII)
    clean = clean if clean[:1].isalpha() else f"t{clean}"
    return f"{clean}_" if keyword.iskeyword(clean) else clean


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in their order; one met before gets a number behind it."""
    chosen: dict[str, None] = {}
    for name in names:
        candidate, count = name, 1
        while candidate in chosen:
            candidate, count = f"{name}_{count}", count + 1
        chosen[candidate] = None
    return tuple(chosen)


def arrange(content: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the TFLite file with its inputs and outputs in the given order of the signature's names.

    content: a file with one signature. The converters sort outputs by name, or as the graph falls
    out. Only the two lists of indices change: the weights keep their 16-byte alignment, which writing
    the file anew would lose. Raises ExportError where there is no signature, or it has other names.
    """
    from ai_edge_litert import schema_py_generated as schema

    arranged = bytearray(content)
    model = schema.Model.GetRootAsModel(arranged, 0)
    if model.SignatureDefsLength() != 1:
        raise ExportError(f"the converter gave {model.SignatureDefsLength()} signatures instead of one")
    signature, graph = model.SignatureDefs(0), model.Subgraphs(0)
    found_in = [signature.Inputs(i) for i in range(signature.InputsLength())]
    found_out = [signature.Outputs(i) for i in range(signature.OutputsLength())]
    graph.InputsAsNumpy()[:] = _indices(found_in, inputs)
    graph.OutputsAsNumpy()[:] = _indices(found_out, outputs)
    return bytes(arranged)


def _indices(entries: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return the tensors' indices in the names' order."""
    found = {entry.Name().decode(): entry.TensorIndex() for entry in entries}
    if set(found) != set(names):
        raise ExportError(
            f"the converter gave the inputs or outputs {sorted(found)} instead of {sorted(names)}"
        )
    return [found[name] for name in names]
