"""Names of a TFLite file's tensors that people can read: converters give those of all that went into one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from edgebench.exporters.tflite_names import unique
from edgebench.exporters.tflite_size import packed, packs

_SCOPE = re.compile(r"(?:[A-Za-z_]\w*\.)+_*[A-Za-z0-9]+(?:_(?P<attribute>\w+))?")
"""How litert-torch names a module: its class with the modules that define it, `_`, its attribute."""


def readable(content: bytes) -> bytes:
    """Return the TFLite file with one short name for each tensor; those of inputs and outputs stay.

    Of the names that are joined for fused operators the first is taken, of PyTorch's modules their
    attributes, as in `layers/0/project`, and what all names begin with goes. Names were a tenth of small
    files. Files larger than 1 GiB are returned as they are.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if not packs(model, content):
        return content
    for graph in model.subgraphs:
        _rename(graph)
    return packed(model, content)


def _rename(graph: Any) -> None:
    """Name what is computed first: a layer's bias often has the name of what the layer gives."""
    border = {*graph.inputs, *graph.outputs}
    computed = {index for operator in graph.operators for index in operator.outputs}
    order = sorted({*range(len(graph.tensors))} - border, key=lambda index: index not in computed)
    inner = [graph.tensors[index] for index in order]
    kept = [graph.tensors[index].name.decode() for index in border]
    names = _without_common([plain_name(tensor.name.decode()) for tensor in inner])
    for tensor, name in zip(inner, unique([*kept, *names])[len(kept) :], strict=True):
        tensor.name = name.encode()


def plain_name(name: str) -> str:
    """Return what a person calls a tensor to which a converter gave this name."""
    first = next((part for part in name.split(";") if part), name)
    return "/".join(_attributes(first)) or first.rpartition(".")[2].strip("_")


def _attributes(path: str) -> Iterator[str]:
    """Yield the steps of a path; of modules of PyTorch the attributes that hold them."""
    for step in path.split("/"):
        scope = _SCOPE.fullmatch(step)
        if scope is None:
            yield step
        elif scope["attribute"]:
            yield scope["attribute"]


def _without_common(names: Sequence[str]) -> list[str]:
    """Return the names without the scopes that all of them are in."""
    scopes = [name.split("/")[:-1] for name in names]
    common = list(itertools.takewhile(lambda steps: len(set(steps)) == 1, zip(*scopes, strict=False)))
    return [name.split("/", len(common))[-1] for name in names]
