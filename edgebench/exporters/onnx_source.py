"""ONNX to fp32 ONNX: checked, tidied, its operators made new enough to be quantized per channel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import ExportError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.onnx_file import (
    PER_CHANNEL_OPSET,
    answer,
    open_session,
    opset,
    read_onnx,
    session_specs,
    unknown_operators,
)
from edgebench.exporters.onnx_prepared import refuse_quantized
from edgebench.exporters.onnx_single import in_float32
from edgebench.exporters.samples import full_shapes, read_samples, samples_or_random, write_reference
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    import onnx


def to_onnx(job: ConversionJob) -> ConversionResult:
    """Write the model with its weights inside and out of its inputs, at opset 13 or later.

    Raises ModelError where it cannot be read or run or is quantized already, ExportError naming an
    operator, and its node, that neither ONNX nor ONNX Runtime defines.
    """
    import onnxruntime

    path = Path(job.source.path or job.source.model)
    network = read_onnx(path)
    for operator, node in unknown_operators(network):
        raise ExportError(
            f"{path}: ONNX Runtime has no operator {operator} (node {node})",
            hint="replace it in the model, or register its domain in the runtime",
        )
    refuse_quantized(network, f"{path}: the model")
    session = open_session(path, str(path))
    single, taken = in_float32(network)
    current, notes = _renewed(path, single)
    steps: tuple[str, ...] = ("ONNX as it is, weights inside",)
    if taken:
        steps, notes = (*steps, f"{taken} to float32"), (*notes, f"{path.name}: {taken} is taken as float32")
    if opset(current) != opset(network):
        steps = (*steps, f"operators renewed from opset {opset(network)} to {opset(current)}")
    with storage_errors(job.out):
        job.out.write_bytes(current.SerializeToString())
    inputs = session_specs(session.get_inputs())
    given = read_samples(job.samples)
    shapes = () if given else full_shapes(str(path), inputs, job.source.input_shapes, given)
    file, samples = samples_or_random(job.samples, job.out, shapes, inputs)
    reference = write_reference(job.out, samples, inputs, lambda values: answer(session, values))
    return ConversionResult(steps, file, reference, {"onnxruntime": onnxruntime.__version__}, notes)


def _renewed(path: Path, network: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the model at an opset that quantizes per channel; where that fails, as it is and a note."""
    from onnx import version_converter

    if opset(network) >= PER_CHANNEL_OPSET:
        return network, ()
    try:
        renewed = version_converter.convert_version(network, PER_CHANNEL_OPSET)
        open_session(renewed.SerializeToString(), str(path))
    except Exception as err:  # noqa: BLE001 - the converter raises what its C++ part gives
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        return network, (f"{path.name}: kept at opset {opset(network)}: {reason[:200]}",)
    return renewed, ()
