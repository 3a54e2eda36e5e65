"""TFLite as a source: the float file itself, checked, is the fp32 base of the other precisions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.calibration.attention_masks import is_sound, tflite_masks
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.errors import ModelError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.samples import full_shapes, read_samples, samples_or_random, write_reference
from edgebench.exporters.tflite_file import answer, one_sample, open_interpreter, tensor_specs
from edgebench.storage import storage_errors

_HINT = "edgebench benchmark measures it as it is; to quantize anew, export the float model"

_BIASES = ("int32", "int64")


def to_tflite(job: ConversionJob) -> ConversionResult:
    """Write the file as it is, with signatures or without.

    Raises ModelError where it cannot be read or run, is quantized already, holds weights that are NaN or
    infinite, or leaves a dimension beside the batch open.
    """
    from importlib.metadata import version

    path = Path(job.source.path or job.source.model)
    interpreter = open_interpreter(path, str(path))
    check_float(path)
    inputs = one_sample(tensor_specs(interpreter)[0])
    for spec in inputs:
        if -1 in spec.shape:
            raise ModelError(
                f"{path}: the input {spec.name} leaves dimensions open: {list(spec.shape)}",
                hint="convert the model to TFLite with fixed shapes",
            )
    given = read_samples(job.samples)
    shapes = full_shapes(str(path), inputs, job.source.input_shapes, given)
    with storage_errors(job.out):
        job.out.write_bytes(path.read_bytes())
    file, samples = samples_or_random(job.samples, job.out, shapes, inputs)
    reference = write_reference(job.out, samples, inputs, lambda values: answer(interpreter, values))
    return ConversionResult(
        steps=("TFLite as it is",),
        samples=file,
        reference=reference,
        versions={"ai-edge-litert": version("ai-edge-litert")},
    )


def check_float(path: Path) -> None:
    """Raise ModelError where a TFLite file's weights are no finite float32 numbers, or it is quantized."""
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    model = schema.Model.GetRootAsModel(content, 0)
    graph = TfliteGraph(content)
    hiding = {graph.name(tensor) for tensor in tflite_masks(graph)}
    constant: Counter[str] = Counter()
    computed: Counter[str] = Counter()
    for tensor, stored in _tensors(model, content):
        kind = _kind(tensor)
        if stored is None:
            computed[kind] += 1
            continue
        constant[kind] += int(np.prod(tensor.ShapeAsNumpy())) if tensor.ShapeLength() else 1
        name = tensor.Name().decode()
        if kind == "float32" and not is_sound(np.frombuffer(stored, np.float32), mask=name in hiding):
            raise ModelError(
                f"{path}: the weights {name!r} hold NaN or infinity",
                hint="the training diverged, or the file is damaged",
            )
    _refuse_quantized(path, constant, computed)


def _refuse_quantized(path: Path, constant: Counter[str], computed: Counter[str]) -> None:
    weights, values = (
        {kind: count for kind, count in counts.items() if kind not in ("float32", "")}
        for counts in (constant, computed)
    )
    rounded, integers = sum(weights.values()), sum(values.values())
    if integers:
        what = f"{integers} of its {computed.total()} computed tensors are {', '.join(values)}"
        raise ModelError(f"{path}: the model is already quantized: {what}", hint=_HINT)
    if rounded:
        share = rounded / (rounded + constant["float32"])
        what = f"{share:.0%} of its weights are {', '.join(weights)}"
        raise ModelError(
            f"{path}: the model is already quantized, though it computes in float32: {what}", hint=_HINT
        )


def _tensors(model: Any, content: bytes) -> Iterator[tuple[Any, bytes | None]]:
    """Yield every tensor of every subgraph and, where it is a constant, its bytes."""
    for place in range(model.SubgraphsLength()):
        body = model.Subgraphs(place)
        for index in range(body.TensorsLength()):
            tensor = body.Tensors(index)
            buffer = model.Buffers(tensor.Buffer())
            if buffer.Offset():  # behind the file's tables
                yield tensor, content[buffer.Offset() : buffer.Offset() + buffer.Size()]
            else:
                yield tensor, buffer.DataAsNumpy().tobytes() if buffer.DataLength() else None


def _kind(tensor: Any) -> str:
    """Return what stands for real numbers in a tensor, as numpy names it; empty for counts and indices."""
    kind, scales = _kinds()[tensor.Type()], tensor.Quantization()
    quantized = scales is not None and scales.ScaleLength() > 0 and kind not in _BIASES
    return kind if quantized or kind.startswith("float") else ""


@functools.cache
def _kinds() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
