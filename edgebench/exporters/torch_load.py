"""A PyTorch factory or a .pt2 archive as one module with named inputs; runs in the export worker."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import TensorSpec
from edgebench.errors import DataError, ModelError
from edgebench.exporters.pt2_safety import check_pt2
from edgebench.exporters.source import Source, SourceKind
from edgebench.exporters.tflite_names import identifier, unique
from edgebench.torch_model import build_module
from edgebench.torch_weights import check_finite, require_torch

if TYPE_CHECKING:
    import torch

    from edgebench.exporters.samples import Array

_SHAPE_HINT = "say it with --input-shape, such as --input-shape 1,3,224,224"


@dataclass(frozen=True, slots=True)
class LoadedTorch:
    """A module in evaluation mode.

    inputs: names and shapes, -1 for an open batch. example: one tensor per input, of batch 2 where
    the batch is open. outputs: names in the module's order. by_name: whether the module takes its
    inputs by name. program: the exported program that it came from. notes: what the user has to know.
    """

    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    example: tuple[torch.Tensor, ...]
    outputs: tuple[str, ...]
    by_name: bool
    program: torch.export.ExportedProgram | None = None
    notes: tuple[str, ...] = ()

    def answer(self, values: Sequence[Array]) -> list[Array]:
        """Return the module's outputs for arrays of the inputs' dtypes, in the order of `outputs`."""
        import numpy as np
        import torch

        with torch.no_grad():
            results = self.module(*(torch.from_numpy(np.ascontiguousarray(value)) for value in values))
        return [tensor.numpy() for _, tensor in flat_outputs(results)]


def load(source: Source, samples: Sequence[Array]) -> LoadedTorch:
    """Return the module of a factory or a .pt2 source.

    samples: the data that tells the inputs' shapes where nothing else does; may be empty. Raises
    ModelError where the source cannot be read, would run code, does not fit its example, or does not
    tell its inputs' shapes.
    """
    require_torch()
    if source.kind is SourceKind.PT2:
        return _load_program(Path(source.path or source.model))
    module = build_module(source.factory or source.model, weights=source.weights).eval()
    names, by_name = _input_names(module)
    example = _example(source, module, names, samples)
    names = (*names, *(f"input_{i}" for i in range(len(names), len(example))))[: len(example)]
    notes = () if source.weights else (f"{source.model}: exported with the factory's own weights",)
    outputs = _output_names(source.model, module, tuple(tensor[:1] for tensor in example))
    batch = -1
    if (reason := _failure(module, example)) is not None:
        batch, example = 1, tuple(tensor[:1] for tensor in example)
        fixed = f"the batch is fixed at 1: the module fails on two samples ({reason})"
        notes = (*notes, f"{source.model}: {fixed}")
    inputs = tuple(
        TensorSpec(name, (batch, *tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in zip(names, example, strict=True)
    )
    return LoadedTorch(module, inputs, example, outputs, by_name, notes=notes)


def flat_outputs(results: Any) -> list[tuple[str, torch.Tensor]]:
    """Return names and tensors of what a module returned: a tensor, or a list or dict of them."""
    import torch

    if isinstance(results, Mapping):
        return [(str(name), value) for name, value in results.items() if isinstance(value, torch.Tensor)]
    listed = results if isinstance(results, list | tuple) else [results]
    tensors = [value for value in listed if isinstance(value, torch.Tensor)]
    return [(f"output_{index}", tensor) for index, tensor in enumerate(tensors)]


def _load_program(path: Path) -> LoadedTorch:
    import torch

    check_pt2(path)
    try:
        program = torch.export.load(path)
    except Exception as err:  # PyTorch raises whatever the archive's content provokes
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ModelError(f"{path}: PyTorch cannot load it: {reason}", hint="save it again") from err
    module = program.module()
    check_finite(module, str(path))
    placeholders = [n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs]
    values = [node.meta["val"] for node in placeholders]
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise ModelError(f"{path}: takes inputs that are not tensors", hint="export it with tensors alone")
    inputs = tuple(
        TensorSpec(
            identifier(node.name),
            tuple(size if isinstance(size, int) else -1 for size in value.shape),
            str(value.dtype).removeprefix("torch."),
        )
        for node, value in zip(placeholders, values, strict=True)
    )
    example = tuple(_zeros(spec) for spec in inputs)
    outputs = _output_names(str(path), module, example)
    return LoadedTorch(module, inputs, example, outputs, by_name=False, program=program)


def _zeros(spec: TensorSpec) -> torch.Tensor:
    import torch

    shape = [2 if size < 0 else size for size in spec.shape]
    return torch.zeros(shape, dtype=getattr(torch, spec.dtype))


def _input_names(module: torch.nn.Module) -> tuple[tuple[str, ...], bool]:
    """Return the names of forward's inputs that have no default, and whether they can be given by name."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return (), False
    return unique(identifier(p.name) for p in named if p.default is p.empty), True


def _example(
    source: Source, module: torch.nn.Module, names: Sequence[str], samples: Sequence[Array]
) -> tuple[torch.Tensor, ...]:
    """Return tensors of batch 2 as the module takes them: its own example's, the data's, or the user's."""
    import torch

    if source.input_shapes:
        example = tuple(torch.zeros(2, *shape[1:]) for shape in source.input_shapes)
    elif (own := getattr(module, "example_inputs", None)) is not None:
        given = own if isinstance(own, list | tuple) else (own,)
        example = tuple(torch.cat([t[:1], t[:1]]) for t in given)
    elif samples:
        first = [array[:1] for array in samples]
        example = tuple(torch.from_numpy(array.repeat(2, axis=0)) for array in first)
    else:
        raise ModelError(f"{source.model}: does not tell its input's shape", hint=_SHAPE_HINT)
    if names and len(example) != len(names):
        error = DataError if samples and not source.input_shapes else ModelError
        raise error(
            f"{source.model}: takes {len(names)} inputs ({', '.join(names)}), given are {len(example)}",
            hint="name a shape, or have an array in the data, for each",
        )
    return example


def _failure(module: torch.nn.Module, example: Sequence[torch.Tensor]) -> str | None:
    """Return what the module says where it fails on the example, None where it runs."""
    import torch

    try:
        with torch.no_grad():
            module(*example)
    except Exception as err:  # noqa: BLE001 - whatever the user's module raises
        return _first_line(err)
    return None


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0]


def _output_names(model: str, module: torch.nn.Module, example: Sequence[torch.Tensor]) -> tuple[str, ...]:
    import torch

    try:
        with torch.no_grad():
            results = module(*example)
    except Exception as err:  # whatever the user's module raises
        shapes = ", ".join(str(list(tensor.shape)) for tensor in example)
        raise ModelError(
            f"{model}: fails on inputs of shape {shapes}: {_first_line(err)}",
            hint="do --input-shape, the data and its preprocessing fit the model?",
        ) from err
    names = unique(identifier(name) for name, _ in flat_outputs(results))
    if not names:
        raise ModelError(f"{model}: returns no tensors", hint="return a tensor, or a list or dict of them")
    return names
