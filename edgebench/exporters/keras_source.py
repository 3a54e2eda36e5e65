"""Keras files and SavedModels to fp32 TFLite and ONNX; runs in the export worker process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgebench.errors import ExportError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.keras_load import LoadedModel, load
from edgebench.exporters.onnx_numbers import renumbered
from edgebench.exporters.samples import full_shapes, read_samples, samples_or_random, write_reference
from edgebench.exporters.tflite_names import arrange
from edgebench.exporters.tflite_readable import readable
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

OPSET = 18
"""The newest ONNX operator set that tf2onnx 1.17 writes."""

_TF_OPERATOR = re.compile(r"'tf\.(\w+)'")
"""How the TFLite converter names an operator of TensorFlow that it could not replace."""
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall/)+")
"""What inlining puts before a node's own name."""
_LIST_HINT = "its loop has an open batch inside: export it with the batch fixed at 1, or give the .keras file"


def to_tflite(job: ConversionJob) -> ConversionResult:
    """Write the model as fp32 TFLite with batch 1 and the signature `serving_default`.

    Inputs and outputs keep the source's names, order and axes. Raises ModelError where the source
    cannot be loaded or leaves a dimension open, and ExportError naming the operator and the node
    that TFLite cannot express.
    """
    model = load(job.source)
    shapes = _shapes(job, model)
    content = _tflite(job, _function(model, shapes))
    content = readable(arrange(content, [spec.name for spec in model.inputs], model.outputs))
    with storage_errors(job.out):
        job.out.write_bytes(content)
    return _result(job, model, shapes, step="TFLiteConverter: fp32, batch 1", versions={})


def to_onnx(job: ConversionJob) -> ConversionResult:
    """Write the model as fp32 ONNX; the batch stays open where the source leaves it open.

    Inputs and outputs keep the source's names, order and axes (images stay NHWC). Raises as
    `to_tflite` does, for operators that ONNX cannot express.
    """
    model = load(job.source)  # says what is missing where TensorFlow is, without which tf2onnx fails to load
    import tf2onnx

    shapes = _shapes(job, model)
    opened = [
        (None, *shape[1:]) if spec.shape[:1] == (-1,) else shape
        for spec, shape in zip(model.inputs, shapes, strict=True)
    ]
    function = _function(model, opened)
    network, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    _refuse_foreign_operators(job, network.graph)
    _tidy(network, model)
    with storage_errors(job.out):
        job.out.write_bytes(renumbered(network).SerializeToString())
    step = f"tf2onnx {tf2onnx.__version__}: fp32, opset {OPSET}"
    return _result(job, model, shapes, step=step, versions={"tf2onnx": tf2onnx.__version__})


def _shapes(job: ConversionJob, model: LoadedModel) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each input with batch 1 and no dimension open."""
    return full_shapes(job.source.model, model.inputs, job.source.input_shapes, read_samples(job.samples))


def _result(
    job: ConversionJob,
    model: LoadedModel,
    shapes: Sequence[tuple[int, ...]],
    *,
    step: str,
    versions: dict[str, str],
) -> ConversionResult:
    def answer(values: list[Array]) -> list[Array]:
        import tensorflow as tf

        return [y.numpy() for y in model.call(*(tf.constant(value) for value in values))]

    path, samples = samples_or_random(job.samples, job.out, shapes, model.inputs)
    return ConversionResult(
        steps=(f"loaded with {model.loader}", step),
        samples=path,
        reference=write_reference(job.out, samples, model.inputs, answer),
        versions={**model.versions, **versions},
        notes=model.notes,
    )


def _function(model: LoadedModel, shapes: Sequence[tuple[int | None, ...]]) -> Any:
    """Return the model as a tf.function of its inputs, giving a dictionary of its outputs."""
    import tensorflow as tf

    def serve(*tensors: Any) -> dict[str, Any]:
        answers = model.call(*tensors)
        return {name: tf.identity(y, name=name) for name, y in zip(model.outputs, answers, strict=True)}

    specs = [
        tf.TensorSpec(shape, spec.dtype, name=spec.name)
        for spec, shape in zip(model.inputs, shapes, strict=True)
    ]
    return tf.function(serve, input_signature=specs)


def _tflite(job: ConversionJob, function: Any) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    traced = function.get_concrete_function()
    holder = tf.Module()  # a Keras model as holder would leave out variables, or all signatures
    holder.held = (list(traced.graph.variables), function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    try:
        content: bytes = converter.convert()
    except ConverterError as err:
        raise _tflite_refusal(job, str(err), traced.graph.as_graph_def()) from err
    return content


def _tflite_refusal(job: ConversionJob, reason: str, graph: Any) -> ExportError:
    """Return the converter's `reason` as one line that names the operators and their nodes."""
    operators = sorted(set(_TF_OPERATOR.findall(reason)))
    if not operators:
        line = next((line for line in reason.splitlines() if "error:" in line), reason.partition("\n")[0])
        return ExportError(f"{job.source.model}: the TFLite converter failed: {line}")
    functions = (node for function in graph.library.function for node in function.node_def)
    nodes = {node.op: node.name for node in (*graph.node, *functions)}
    named = ", ".join(f"{o} (node {nodes[o]})" if o in nodes else o for o in operators)
    hint = _LIST_HINT if any(o.startswith("TensorList") for o in operators) else None
    return ExportError(f"{job.source.model}: TFLite cannot express the operator {named}", hint=hint)


def _refuse_foreign_operators(job: ConversionJob, graph: Any) -> None:
    """Raise ExportError where tf2onnx left a TensorFlow operator in the graph; it only logs that."""
    import onnx

    for node in graph.node:
        for attribute in node.attribute:
            _refuse_foreign_operators(job, attribute.g)
        if node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, OPSET, ""):
            continue
        name = _CALLS.sub("", node.name)
        raise ExportError(
            f"{job.source.model}: ONNX cannot express the operator {node.op_type} (node {name})"
        )


def _tidy(network: Any, model: LoadedModel) -> None:
    """Put the outputs in the source's order, and call the open batch of inputs and outputs `batch`."""
    outputs = {entry.name: entry for entry in network.graph.output}
    ordered = [outputs[name] for name in model.outputs]
    del network.graph.output[:]
    network.graph.output.extend(ordered)
    for entry in (*network.graph.input, *network.graph.output):
        dimensions = entry.type.tensor_type.shape.dim
        if dimensions and dimensions[0].dim_param:
            dimensions[0].dim_param = "batch"
