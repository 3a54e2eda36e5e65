"""Keras files and SavedModels to fp32 TFLite and ONNX; runs in the export worker process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgebench.errors import ExportError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.keras_load import LoadedModel, load
from edgebench.exporters.samples import full_shapes, read_samples, write_reference
from edgebench.exporters.tflite_names import arrange
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

OPSET = 18
"""The newest ONNX operator set that tf2onnx 1.17 writes."""

_NOT_IN_TFLITE = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def to_tflite(job: ConversionJob) -> ConversionResult:
    """Write the model as fp32 TFLite with batch 1 and the signature `serving_default`.

    Inputs and outputs keep the source's names, order and axes. Raises ModelError where the source
    cannot be loaded or leaves a dimension open, and ExportError naming the operator and the node
    that TFLite cannot express.
    """
    model, samples = load(job.source), read_samples(job.samples)
    shapes = full_shapes(job.source.model, model.inputs, job.source.input_shapes, samples)
    content = _tflite(job, model, _function(model, shapes))
    content = arrange(content, [spec.name for spec in model.inputs], model.outputs)
    with storage_errors(job.out):
        job.out.write_bytes(content)
    return _result(job, model, samples, step="TFLiteConverter: fp32, batch 1", versions={})


def to_onnx(job: ConversionJob) -> ConversionResult:
    """Write the model as fp32 ONNX; the batch stays open where the source leaves it open.

    Inputs and outputs keep the source's names, order and axes (images stay NHWC). Raises as
    `to_tflite` does, for operators that ONNX cannot express.
    """
    import tf2onnx

    model, samples = load(job.source), read_samples(job.samples)
    shapes = full_shapes(job.source.model, model.inputs, job.source.input_shapes, samples)
    opened = [
        (None, *shape[1:]) if spec.shape[:1] == (-1,) else shape
        for spec, shape in zip(model.inputs, shapes, strict=True)
    ]
    function = _function(model, opened)
    network, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    _refuse_foreign_operators(job, network)
    _tidy(network, model)
    with storage_errors(job.out):
        job.out.write_bytes(network.SerializeToString())
    step = f"tf2onnx {tf2onnx.__version__}: fp32, opset {OPSET}"
    return _result(job, model, samples, step=step, versions={"tf2onnx": tf2onnx.__version__})


def _result(
    job: ConversionJob, model: LoadedModel, samples: Sequence[Array], *, step: str, versions: dict[str, str]
) -> ConversionResult:
    def answer(values: list[Array]) -> list[Array]:
        import tensorflow as tf

        return [y.numpy() for y in model.call(*(tf.constant(value) for value in values))]

    return ConversionResult(
        steps=(f"loaded with {model.loader}", step),
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


def _tflite(job: ConversionJob, model: LoadedModel, function: Any) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    traced = function.get_concrete_function()
    holder = tf.Module()  # a Keras 3 model as holder would leave the variables out of the file
    holder.held = (model.owner, list(traced.graph.variables), function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    try:
        content: bytes = converter.convert()
    except ConverterError as err:
        operators = sorted(set(_NOT_IN_TFLITE.findall(str(err))))
        if not operators:
            raise ExportError(f"{job.source.model}: the TFLite converter failed: {err}") from err
        nodes = {node.op: node.name for node in _nodes(traced.graph.as_graph_def())}
        named = ", ".join(f"{o} (node {nodes[o]})" if o in nodes else o for o in operators)
        raise ExportError(f"{job.source.model}: TFLite cannot express the operator {named}") from err
    return content


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _refuse_foreign_operators(job: ConversionJob, network: Any) -> None:
    """Raise ExportError where tf2onnx left a TensorFlow operator in the graph; it only logs that."""
    import onnx

    for node in network.graph.node:
        if node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, OPSET, ""):
            continue
        raise ExportError(
            f"{job.source.model}: ONNX cannot express the operator {node.op_type} (node {node.name})"
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
