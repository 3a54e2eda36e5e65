"""An fp32 ONNX file and its Q/DQ file, tensor by tensor.

A tensor is found in both graphs by its name, and looked at behind its QuantizeLinear/DequantizeLinear
pair where it has one: a ReLU or BatchNormalization that the quantizer fused away lives on in what the
pair clips and in the name of what it quantizes. To see a layer by itself, the quantized graph is
cut at every such tensor and each piece is fed the fp32 graph's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from edgebench.calibration.attention import steps
from edgebench.calibration.channels import all_channels
from edgebench.exporters.onnx_file import read_onnx
from edgebench.ladder.answers import plain_session
from edgebench.ladder.noise import Noise, worst
from edgebench.ladder.onnx_pairs import has_wide_weights, input_names, input_range, mismatches, readers_of
from edgebench.ladder.record import Anatomy, Layer
from edgebench.ladder.scaled import scaled_notes
from edgebench.ladder.worst import Widths

if TYPE_CHECKING:
    from onnx import NodeProto

    from edgebench.exporters.samples import Array

_GIVEN = "edgebench_given_"

Views = Mapping[str, Sequence[str]]
"""Tensor of the fp32 graph → the tensors of the quantized graph that hold its final values."""


def onnx_anatomy(fp32: Path | None, quantized: Path, samples: Sequence[Array]) -> Anatomy:
    """Return what the quantized file shows; its layers too where there is an fp32 file.

    samples: [n, ...] for each input, real values. Raises ModelError where a file cannot be read or run.
    """
    network = read_onnx(quantized)
    layers, notes = _layers(read_onnx(fp32), network, samples) if fp32 else ((), ())
    return Anatomy(
        layers=layers,
        mismatches=mismatches(network),
        input_range=input_range(network),
        wide_weights=has_wide_weights(network),
        notes=notes,
    )


@dataclass(slots=True)
class _Errors:
    accumulated: Mapping[str, Sequence[Noise]]
    alone: Mapping[str, Sequence[Noise]]


def _layers(
    fp32: ModelProto, quantized: ModelProto, samples: Sequence[Array]
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    views = _views(fp32, quantized)
    if not views:
        return (), ("no tensor has one name in the fp32 and the quantized file: no layers are compared",)
    plain = _with_outputs(fp32, [name for name in views if name not in input_names(fp32)])
    full = _with_outputs(quantized, [view for given in views.values() for view in given])
    views, cuts, shapes = _alike(views, plain, full, samples)
    widths = Widths(all_channels(steps(fp32), shapes, [tensor.name for tensor in fp32.graph.initializer]))
    pieces = _with_outputs(_cut(quantized, views, cuts), [view for name in views for view in views[name]])
    errors = _measured(views, cuts, (plain, full, pieces), samples, widths)
    made = {name: node for node in fp32.graph.node for name in node.output}
    parents = {name: _sources(name, made, set(views)) for name in views}
    layers = {name: _layer(name, made.get(name), parents[name], errors) for name in views}
    scaled = scaled_notes(name for node in quantized.graph.node for name in node.output)
    return tuple(layers.values()), (*scaled, *widths.notes(layers))


def _layer(name: str, node: NodeProto | None, parents: Sequence[str], errors: _Errors) -> Layer:
    total = worst(errors.accumulated[name])
    own = errors.alone.get(name) if all(parent in errors.alone for parent in parents) else None
    before = max((worst(errors.accumulated[parent]).ratio for parent in parents), default=0.0)
    return Layer(
        tensor=name,
        operator=node.op_type if node else "input",
        node=(node.name or name) if node else name,
        accumulated_db=total.sqnr_db,
        alone_db=worst(own).sqnr_db if own else None,
        max_abs_error=total.largest,
        added=max(0.0, total.ratio - before),
    )


def _views(fp32: ModelProto, quantized: ModelProto) -> Views:
    """Return the tensors that both graphs have, in the fp32 graph's order, and where to look at each."""
    readers = readers_of(quantized)
    known = {name for node in quantized.graph.node for name in node.output} | set(input_names(quantized))
    made = [name for node in fp32.graph.node if node.op_type != "Constant" for name in node.output]
    names = dict.fromkeys([*input_names(fp32), *made])
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        if name not in known or not name:
            continue
        pairs = [
            after.output[0]
            for node in readers.get(name, ())
            if node.op_type == "QuantizeLinear"
            for after in readers.get(node.output[0], ())
            if after.op_type == "DequantizeLinear"
        ]
        if pairs or name not in input_names(fp32):
            found[name] = tuple(dict.fromkeys(pairs)) or (name,)
    return found


def _cut(quantized: ModelProto, views: Views, cuts: Sequence[str]) -> ModelProto:
    """Return the quantized graph whose nodes read the fp32 values of `cuts` instead of its own.

    The pair behind a tensor still quantizes what this graph makes of it, so that a layer has the error
    of its weights, its arithmetic and its own output's rounding, and none of its inputs'.
    """
    inputs, cutting = set(input_names(quantized)), set(cuts)
    values = {name: name if name in inputs else _GIVEN + name for name in views if name in cutting | inputs}
    fed = {view: values[name] for name in values for view in (name, *views[name])}
    pairs = {view for name in values for view in views[name]}
    piece = ModelProto()
    piece.CopyFrom(quantized)
    for node in piece.graph.node:
        if node.op_type == "QuantizeLinear" or (
            node.op_type == "DequantizeLinear" and node.output[0] in pairs
        ):
            continue
        for index, name in enumerate(node.input):
            node.input[index] = fed.get(name, name)
    piece.graph.input.extend(
        helper.make_tensor_value_info(given, TensorProto.FLOAT, None)
        for name, given in values.items()
        if name not in inputs
    )
    return piece


def _alike(
    views: Views, plain: Any, full: Any, samples: Sequence[Array]
) -> tuple[Views, list[str], dict[str, tuple[int, ...]]]:
    """Return the float tensors that have one shape in both graphs, those that are float32 in both, shapes."""
    feeds = _feeds(plain, samples, 0)
    wanted = {**_run(plain, feeds), **feeds}
    got = _run(full, _feeds(full, samples, 0))
    kept = {
        name: given
        for name, given in views.items()
        if wanted[name].dtype.kind == got[given[0]].dtype.kind == "f"
        and wanted[name].shape == got[given[0]].shape
    }
    single = [name for name, given in kept.items() if wanted[name].dtype == got[given[0]].dtype == np.float32]
    return kept, single, {name: wanted[name].shape for name in kept}


def _measured(
    views: Views,
    cuts: Sequence[str],
    sessions: tuple[Any, Any, Any],
    samples: Sequence[Array],
    widths: Widths[str],
) -> _Errors:
    """Return the errors over all samples, which `widths` sees too.

    sessions: the fp32 graph, the quantized one, its pieces.
    """
    plain, full, pieces = sessions
    total = {name: [Noise() for _ in given] for name, given in views.items()}
    alone = {name: [Noise() for _ in views[name]] for name in cuts}
    takes = {entry.name for entry in pieces.get_inputs()}
    for index in range(len(samples[0])):
        feeds = _feeds(plain, samples, index)
        wanted = {**_run(plain, feeds), **feeds}
        given = {_GIVEN + name: array for name, array in wanted.items() if _GIVEN + name in takes}
        got = _run(full, _feeds(full, samples, index))
        own = _run(pieces, {**_feeds(full, samples, index), **given})
        for name in views:
            widths.add(name, wanted[name])
        for noises, values in ((total, got), (alone, own)):
            for name, places in noises.items():
                for view, noise in zip(views[name], places, strict=True):
                    noise.add(wanted[name], values[view])
    return _Errors(total, alone)


def _with_outputs(network: ModelProto, names: Sequence[str]) -> Any:
    """Return a session that gives the tensors `names`, node by node as the graph stands."""
    shown = ModelProto()
    shown.CopyFrom(network)
    del shown.graph.output[:]
    for name in dict.fromkeys(names):
        shown.graph.output.add(name=name)
    return plain_session(shown.SerializeToString())


def _run(session: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    names = [entry.name for entry in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def _feeds(session: Any, samples: Sequence[Array], index: int) -> dict[str, Array]:
    from edgebench.exporters.onnx_file import session_specs

    entries = [entry for entry in session.get_inputs() if not entry.name.startswith(_GIVEN)]
    specs = session_specs(entries)
    return {
        spec.name: array[index : index + 1].astype(spec.dtype)
        for spec, array in zip(specs, samples, strict=True)
    }


def _sources(name: str, made: Mapping[str, NodeProto], known: set[str]) -> list[str]:
    """Return the nearest compared tensors that a tensor is computed from."""
    found, seen = [], {name}
    todo = list(made[name].input) if name in made else []
    while todo:
        above = todo.pop()
        if above in seen:
            continue
        seen.add(above)
        if above in known:
            found.append(above)
        elif above in made:
            todo += made[above].input
    return found
