"""TFLite files without needless bytes: ai-edge-quantizer's zero points are eight zeros a channel."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.calibration.passes.channels import SCALED
from edgebench.storage import sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIGNMENT = 16
"""Of constants, as the schema asks for."""

_LARGEST = 1 << 30
"""Bytes beyond which constants lie behind the flatbuffer, which has room for 2 GiB."""


def slim(content: bytes, *, scaled: Collection[str] = ()) -> bytes:
    """Return the file with equal vectors and texts stored once, and short names of constants.

    Tensors, operators and values are the same. Names were a tenth of files of many small layers: those of
    weights and biases become c and a number. Constants are aligned to 16 bytes. Larger files than 1 GiB
    are returned as they are. scaled: tensors whose names are to say that they do not hold what those of
    these names hold in the float file.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if not packs(model, content):
        return content
    for graph in model.subgraphs:
        _rename(model, graph, scaled)
    return packed(model, content)


def packs(model: Any, content: bytes) -> bool:
    """Return whether what lies behind the flatbuffer in the model's `content` fits into a flatbuffer."""
    operators = (operator for graph in model.subgraphs for operator in graph.operators)
    return len(content) <= _LARGEST and not any(operator.largeCustomOptionsOffset for operator in operators)


def packed(model: Any, content: bytes) -> bytes:
    """Return a file of the model, which was read from `content`, its constants aligned and in it."""
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 stand for data that is in the flatbuffer itself
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    builder = _sharing_builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _rename(model: Any, graph: Any, scaled: Collection[str]) -> None:
    """Name the scaled tensors so, and those whose values are in the file as short as names can be unique."""
    border, used = {*graph.inputs, *graph.outputs}, {tensor.name for tensor in graph.tensors}
    for index, tensor in enumerate(graph.tensors):
        buffer, short = model.buffers[tensor.buffer], f"c{index}".encode()
        if tensor.name.decode() in scaled:
            tensor.name += SCALED.encode()
        elif (buffer.data is not None or buffer.offset > 1) and index not in border and short not in used:
            tensor.name = min(tensor.name, short, key=len)


def _sharing_builder(size: int) -> Any:
    """Return a builder that writes a vector or a text once, however often it is asked to."""
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(size)
            self._written: dict[tuple[str, str], int] = {}

        def CreateString(self, s: str | bytes, *_: Any) -> int:  # noqa: N802 - as the base names it
            text = s.encode() if isinstance(s, str) else s
            return self._once("text", text, lambda: super(Sharing, self).CreateString(text))

        def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802 - as the base names it
            return self._once(x.dtype.str, x.tobytes(), lambda: self._vector(x))

        def _once(self, kind: str, content: bytes, write: Callable[[], int]) -> int:
            key = (kind, sha256_bytes(content))
            if key not in self._written:
                self._written[key] = write()
            return self._written[key]

        def _vector(self, x: NDArray[Any]) -> int:
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.nbytes)
            return int(super().CreateNumpyVector(x))

    return Sharing()
