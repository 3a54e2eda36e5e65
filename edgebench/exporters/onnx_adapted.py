"""An ONNX graph with its weights rounded: made once for quantizations that differ in what stays float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Precision
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import layers, read_constant, write_constant
from edgebench.calibration.passes.onnx import Adapted, adapt, adapt_weights, flat_biases
from edgebench.calibration.passes.onnx_ends import float_ends
from edgebench.calibration.passes.smooth import unclipped
from edgebench.calibration.recipe import Pass
from edgebench.calibration.samples import SampleStore
from edgebench.exporters.onnx_arithmetic import arithmetic_of
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.storage import read_json, storage_errors, write_json

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is kept beside the graph."""

    ranges: dict[str, Range]
    floats: tuple[str, ...]
    scaled: tuple[str, ...]


def adapted(network: ModelProto, job: QuantizationJob) -> Adapted:
    """Return the graph made ready, its weights rounded by the job's samples where there are any.

    The layers that the job keeps in float keep weights that are not rounded.
    """
    given = {name: node.name for node in network.graph.node for name in node.output}
    kept = [given[name] for name in job.floats]
    if job.samples is None:
        flat = flat_biases(network)
        ranges = unclipped(flat, job.table) if job.table else {}
        ends = float_ends(flat) if Pass.FLOAT_ENDS in job.passes else []
        return Adapted(flat, flat, ranges, list(dict.fromkeys([*ends, *kept])))
    ready = _rounded(network, job, job.samples)
    _restore(ready.model, ready.unrounded, kept)
    return replace(ready, floats=list(dict.fromkeys([*ready.floats, *kept])))


def _rounded(network: ModelProto, job: QuantizationJob, samples: Path) -> Adapted:
    """Return the graph with all its layers rounded: what an earlier job kept, where one did."""
    import onnx

    if job.keep is None:
        bits = arithmetic_of(job.precision, job.target).weight_bits
        if job.precision is Precision.W8A16:
            return _weights_alone(network, SampleStore(samples), bits)
        return adapt(network, SampleStore(samples), bits=bits, method=job.method, passes=job.passes)
    model, unrounded = job.keep / "rounded.onnx", job.keep / "unrounded.onnx"
    beside = job.keep / "rounded.json"
    if beside.exists():
        found = read_json(beside, _Beside)
        return Adapted(onnx.load(model), onnx.load(unrounded), found.ranges, list(found.floats), found.scaled)
    made = _rounded(network, replace(job, keep=None), samples)
    with storage_errors(model):
        job.keep.mkdir(parents=True, exist_ok=True)
        onnx.save(made.model, model)
        onnx.save(made.unrounded, unrounded)
    write_json(beside, _Beside(made.ranges, tuple(made.floats), made.scaled))
    return made


def _weights_alone(network: ModelProto, samples: SampleStore, bits: int) -> Adapted:
    """Return the graph with nothing done for its activations, which have integers enough."""
    flat = flat_biases(network)
    floats = float_ends(flat)
    chosen = [layer for layer in layers(flat) if layer.node.name not in floats]
    return Adapted(adapt_weights(flat, chosen, samples, bits=bits), flat, {}, floats)


def _restore(model: ModelProto, original: ModelProto, kept: Sequence[str]) -> None:
    """Give the layers of these names the original's weights and biases."""
    for layer in layers(original):
        if layer.node.name in kept:
            for name in filter(None, (layer.weight, layer.bias)):
                write_constant(model, name, read_constant(original, name))
