"""A TFLite file with its weights rounded: made once for quantizations that differ in what stays float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.artifact import Precision, TensorIo
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.tflite import Adapted, adapt
from edgebench.calibration.passes.tflite_ends import float_ends
from edgebench.calibration.passes.tflite_layers import layers
from edgebench.calibration.recipe import Pass
from edgebench.calibration.samples import SampleStore
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.tflite_inner import unread_results
from edgebench.exporters.tflite_pool import mean_pools
from edgebench.storage import read_json, storage_errors, write_json


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is kept beside the file."""

    ranges: dict[str, Range]
    floats: tuple[str, ...]
    scaled: tuple[str, ...]


def adapted(job: QuantizationJob) -> Adapted:
    """Return the file made ready, its weights rounded by the job's samples where integers come of them.

    The layers that the job keeps in float keep weights that are not rounded.
    """
    content = job.base.read_bytes()
    if not job.precision.is_static:
        return Adapted(content, content, {}, [])
    ends = border_floats(TfliteGraph(content), job)
    ready = _rounded(job, job.samples, ends) if job.samples else Adapted(content, content, {}, ends)
    floats = list(dict.fromkeys([*ready.floats, *job.floats, *unread_results(content)]))
    made = _restored(ready, job.floats)
    if job.precision is Precision.W8A8:  # int16 has steps enough for the means in any scale
        made = mean_pools(made, floats=floats)
    return replace(ready, content=made, floats=floats)


def border_floats(graph: TfliteGraph, job: QuantizationJob) -> list[str]:
    """Return the tensors at the ends of a graph that stay float whatever the job keeps.

    Who asks for int8 inputs and outputs has a device that knows nothing else; int16 loses little anywhere.
    """
    narrow = job.precision is Precision.W8A8 and job.io is TensorIo.FLOAT
    return float_ends(graph) if narrow and Pass.FLOAT_ENDS in job.passes else []


def _rounded(job: QuantizationJob, samples: Path, ends: Sequence[str]) -> Adapted:
    """Return the file with all its layers rounded but the ends: what an earlier job kept, where one did."""
    if job.keep is None:
        given = SampleStore(samples)
        return adapt(job.base, given, floats=ends, method=job.method, passes=job.passes)
    file, unrounded = job.keep / "rounded.tflite", job.keep / "unrounded.tflite"
    beside = job.keep / "rounded.json"
    if beside.exists():
        found = read_json(beside, _Beside)
        contents = (file.read_bytes(), unrounded.read_bytes())
        return Adapted(*contents, found.ranges, list(found.floats), found.scaled)
    made = _rounded(replace(job, keep=None), samples, ends)
    with storage_errors(file):
        job.keep.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made.content)
        unrounded.write_bytes(made.unrounded)
    write_json(beside, _Beside(made.ranges, tuple(made.floats), made.scaled))
    return made


def _restored(ready: Adapted, kept: Sequence[str]) -> bytes:
    """Return the content with the unrounded weights and biases of the layers that give these tensors."""
    content = bytearray(ready.content)
    graph, original = TfliteGraph(content), TfliteGraph(ready.unrounded)
    for layer in layers(graph):
        for constant in (layer.weight, layer.bias) if layer.given in kept else ():
            if constant is not None:
                graph.constant(constant)[:] = original.constant(constant)
    return bytes(content)
