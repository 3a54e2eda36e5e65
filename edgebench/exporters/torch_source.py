"""PyTorch modules and .pt2 archives to fp32 ONNX and TFLite; runs in the export worker process."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgebench.errors import ExportError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.samples import read_samples, samples_or_random, write_reference
from edgebench.exporters.tflite_names import arrange
from edgebench.exporters.tflite_readable import readable
from edgebench.exporters.torch_load import LoadedTorch, load
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    import torch

_NODE = re.compile(r"%(\w+) : \[.*?target=(?:torch\.ops\.)?([\w.]+)\]")
"""How PyTorch prints the node at which a conversion stopped."""


def to_onnx(job: ConversionJob) -> ConversionResult:
    """Write the module as fp32 ONNX with an open batch; where the module fixes it, a note says so.

    Raises ModelError where the source cannot be loaded, and ExportError naming the operator and the
    node that ONNX cannot express.
    """
    import onnx
    import torch

    model = load(job.source, read_samples(job.samples))
    program, notes = _program(job, model)
    try:
        exported = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[spec.name for spec in model.inputs],
            output_names=list(model.outputs),
            verbose=False,
            external_data=False,
        )
    except Exception as err:  # PyTorch's errors share no base but Exception
        raise _refusal(job, "ONNX", err) from err
    network = exported.model_proto if exported is not None else None
    if network is None:
        raise ExportError(f"{job.source.model}: PyTorch gave no ONNX model")
    _tidy(network)
    with storage_errors(job.out):
        onnx.save(network, job.out)
    step = f"torch.onnx {torch.__version__}: fp32, opset {network.opset_import[0].version}"
    return _result(job, model, step=step, notes=notes)


def to_tflite(job: ConversionJob) -> ConversionResult:
    """Write the module as fp32 TFLite with batch 1, its own axes, and the signature `serving_default`.

    Raises as `to_onnx` does, for operators that TFLite cannot express.
    """
    import litert_torch

    model = load(job.source, read_samples(job.samples))
    single = [
        tensor if spec.shape[0] > 0 else tensor[:1]
        for spec, tensor in zip(model.inputs, model.example, strict=True)
    ]
    by_name = dict(zip((spec.name for spec in model.inputs), single, strict=True))
    given: dict[str, Any] = {"sample_kwargs": by_name} if model.by_name else {"sample_args": tuple(single)}
    with warnings.catch_warnings(action="ignore"):
        try:
            edge = litert_torch.convert(model.module, **given)
        except Exception as err:  # litert-torch's errors share no base but Exception
            raise _refusal(job, "TFLite", err) from err
        edge.export(str(job.out))
    names = [spec.name for spec in model.inputs]
    if not model.by_name:
        names = [f"args_{index}" for index in range(len(single))]
    with storage_errors(job.out):
        job.out.write_bytes(readable(arrange(job.out.read_bytes(), names, model.outputs)))
    step = f"litert-torch {litert_torch.__version__}: fp32, batch {single[0].shape[0]}"
    return _result(job, model, step=step, notes=())


def _result(job: ConversionJob, model: LoadedTorch, *, step: str, notes: tuple[str, ...]) -> ConversionResult:
    import torch

    shapes = [tensor.shape for tensor in model.example]
    path, samples = samples_or_random(job.samples, job.out, shapes, model.inputs)
    return ConversionResult(
        steps=(step,),
        samples=path,
        reference=write_reference(job.out, samples, model.inputs, model.answer),
        versions={"torch": str(torch.__version__)},
        notes=(*model.notes, *notes),
    )


def _program(job: ConversionJob, model: LoadedTorch) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    """Return the module as an exported program, its batch open where the module allows that."""
    import torch

    if model.program is not None:
        return model.program, ()
    if all(spec.shape[0] == 1 for spec in model.inputs):
        return torch.export.export(model.module, model.example), ()
    batch = torch.export.Dim("batch", min=1, max=65536)
    try:
        return _export(model, {0: batch}, 2), ()
    except Exception as opened:  # noqa: BLE001 - PyTorch's errors share no base but Exception
        try:
            fixed = _export(model, None, 1)
        except Exception as err:  # as above
            raise _refusal(job, "torch.export", err) from err
        reason = (str(opened).strip().splitlines() or [type(opened).__name__])[0]
        return fixed, (
            f"{job.source.model}: the ONNX's batch is fixed at 1, the module allows no other: {reason[:160]}",
        )


def _export(
    model: LoadedTorch, dynamic: Mapping[int, Any] | None, batch: int
) -> torch.export.ExportedProgram:
    import torch

    example = tuple(tensor[:batch] for tensor in model.example)
    shapes = None if dynamic is None else tuple(dict(dynamic) for _ in example)
    return torch.export.export(model.module, example, dynamic_shapes=shapes)


def _tidy(network: Any) -> None:
    """Call the open batch `batch`, and drop the exporter's notes: they hold the maker's own paths."""
    del network.metadata_props[:]
    for part in (*network.graph.node, *network.graph.value_info, *network.graph.input, *network.graph.output):
        del part.metadata_props[:]
    del network.graph.metadata_props[:]
    for entry in (*network.graph.input, *network.graph.output):
        dimensions = entry.type.tensor_type.shape.dim
        if dimensions and dimensions[0].dim_param:
            dimensions[0].dim_param = "batch"


def _refusal(job: ConversionJob, target: str, err: Exception) -> ExportError:
    found = _NODE.search(str(err)) or _NODE.search(str(err.__cause__))
    if found:
        node, operator = found.groups()
        return ExportError(
            f"{job.source.model}: {target} cannot express the operator {operator} (node {node})",
            hint="replace it in the model by operators that the target has",
        )
    reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
    return ExportError(f"{job.source.model}: the conversion to {target} failed: {reason[:300]}")
