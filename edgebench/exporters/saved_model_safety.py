"""Whether a SavedModel would do more than compute: run Python, reach for files or for the network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgebench.errors import ModelError

_MORE = re.compile(
    r"(Eager)?PyFunc(Stateless)?|ReadFile|WriteFile|DumpTensor|Skipgram|RecordInput|GenerateVocabRemapping|"
    r"LoadAndRemapMatrix|FileSystemSetConfiguration|CalibrationStatisticsSaver|DistributedSave|"
    r"MatchingFiles|Debug(Identity|NanCount|NumericSummary)\w*|Rpc\w+|RemoteCall|\w*Dataset\w*|"
    r"\w*Reader(V2)?|Reader(Read|Restore)\w+|\w*SummaryWriter|CreateSummary\w+|Write\w*Summary"
)
"""Operators that run Python or reach for files or the network: no inference needs them."""
_SAVING = frozenset({"Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints"})
_CHECKPOINTS = _SAVING | {"Restore", "RestoreV2", "RestoreSlice", "DTensorRestoreV2"}
"""These too, but every SavedModel carries them for its own weights."""
_NOT_READABLE = "{}: saved_model.pb cannot be read: truncated or not a SavedModel"


def does_more(operator: str) -> bool:
    """Return whether a single operator of this name does more than compute, in a model's layer."""
    return bool(_MORE.fullmatch(operator)) or operator in _CHECKPOINTS or operator == "PrintV2"


def check_saved_model(path: Path) -> None:
    """Return where the SavedModel only computes, and saves or restores where TensorFlow asks it to alone.

    Raises ModelError where an operator does more, or where the file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as err:
        raise ModelError(_NOT_READABLE.format(path)) from err
    if not saved.meta_graphs:
        raise ModelError(_NOT_READABLE.format(path))
    for meta in saved.meta_graphs:
        graph = _Graph(meta)
        for node in graph.nodes():
            if _MORE.fullmatch(node.op) or _prints_to_file(node):
                raise _refusal(path, node)
        for node in graph.reached(_answering(meta), meta.object_graph_def.concrete_functions):
            if node.op in _CHECKPOINTS:
                raise _refusal(path, node)
        for node in graph.reached([meta.saver_def.restore_op_name]):
            if node.op in _SAVING:
                raise _refusal(path, node)


class _Graph:
    """The nodes of a graph, by name, and of its functions, by theirs."""

    def __init__(self, meta: Any) -> None:
        self._main = {node.name: node for node in meta.graph_def.node}
        self._functions = {f.signature.name: f.node_def for f in meta.graph_def.library.function}

    def nodes(self) -> Iterator[Any]:
        """Yield every node, also of functions that nothing calls."""
        yield from self._main.values()
        for nodes in self._functions.values():
            yield from nodes

    def reached(self, nodes: Iterable[str], functions: Iterable[str] = ()) -> Iterator[Any]:
        """Yield the nodes that run where nodes of the graph and functions of these names do."""
        waiting, seen = list(nodes), set[str]()
        called = list(functions)
        while waiting:
            name = waiting.pop()
            if name in self._main and name not in seen:
                seen.add(name)
                node = self._main[name]
                waiting.extend(_node_name(other) for other in node.input)
                called.extend(_called(node))
                yield node
        seen.clear()
        while called:
            name = called.pop()
            if name not in seen:
                seen.add(name)
                for node in self._functions.get(name, ()):
                    called.extend(_called(node))
                    yield node


def _answering(meta: Any) -> Iterator[str]:
    """Yield the nodes that give a signature's outputs, and those that are run on loading."""
    for signature in meta.signature_def.values():
        yield from (_node_name(tensor.name) for tensor in signature.outputs.values())
    for key in ("saved_model_main_op", "legacy_init_op"):
        yield from (_node_name(name) for name in meta.collection_def[key].node_list.value)


def _node_name(tensor: str) -> str:
    """Return the name of the node that gives a tensor, or is waited for."""
    return tensor.removeprefix("^").partition(":")[0]


def _called(node: Any) -> Iterator[str]:
    """Yield the names of functions that a node calls."""
    yield node.op  # a function may be called as if it were an operator
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func) if function.name)


def _prints_to_file(node: Any) -> bool:
    return bool(node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:"))


def _refusal(path: Path, node: Any) -> ModelError:
    return ModelError(
        f"{path}: the operator {node.op} (node {node.name}) runs code or touches files",
        hint="save the model without it",
    )
