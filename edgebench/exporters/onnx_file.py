"""ONNX files: read, checked and tidied in one place, and run by ONNX Runtime on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import TensorSpec
from edgebench.errors import ModelError
from edgebench.exporters.source import check_readable

if TYPE_CHECKING:
    import onnx

    from edgebench.exporters.samples import Array

PER_CHANNEL_OPSET = 13
"""The first operator set whose QuantizeLinear and DequantizeLinear know an axis."""
_DTYPES = {"float": "float32", "double": "float64"}


def read_onnx(path: Path) -> onnx.ModelProto:
    """Return the model, its weights in memory and no longer listed among its inputs.

    Raises ModelError where it is not an ONNX file, is cut off, misses its external data, or holds
    weights that are NaN or infinite.
    """
    import onnx
    from google.protobuf.message import DecodeError

    check_readable(path)
    try:
        network = onnx.load(path)
    except (DecodeError, ValueError, OSError, onnx.checker.ValidationError) as err:
        reason = (str(err).strip().splitlines() or ["truncated, or of another kind"])[0]
        raise ModelError(f"{path}: not a readable ONNX file: {reason}", hint="export it again") from err
    if not network.graph.node:
        raise ModelError(f"{path}: not a readable ONNX file: it has no nodes", hint="export it again")
    _check_finite(path, network)
    weights = {tensor.name for tensor in network.graph.initializer}
    inputs = [entry for entry in network.graph.input if entry.name not in weights]
    network.ir_version = max(network.ir_version, 4)  # older ones want the weights among the inputs
    del network.graph.input[:]
    network.graph.input.extend(inputs)
    return network


def open_session(model: Path | bytes, what: str) -> Any:
    """Return an ONNX Runtime session on the CPU. Raises ModelError naming `what` and the operator."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    content = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        reason = " ".join(str(err).split())
        raise ModelError(f"{what}: ONNX Runtime cannot load it: {reason[:400]}") from err


def session_specs(entries: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """Return a session's inputs or outputs; a dimension of unknown size is -1."""
    return tuple(_spec(entry) for entry in entries)


def answer(session: Any, values: Sequence[Array]) -> list[Array]:
    """Return the session's outputs for arrays in the order of its inputs."""
    names = [entry.name for entry in session.get_inputs()]
    results: list[Array] = session.run(None, dict(zip(names, values, strict=True)))
    return results


def opset(network: onnx.ModelProto) -> int:
    """Return the version of ONNX's own operators that the model uses."""
    return next((int(entry.version) for entry in network.opset_import if entry.domain in ("", "ai.onnx")), 1)


def unknown_operators(network: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Yield operator and node of every node that neither ONNX nor ONNX Runtime defines."""
    import onnx

    own = {"com.microsoft", "com.microsoft.nchwc", "ai.onnx.ml", "ai.onnx.training", "com.ms.internal.nhwc"}
    local = {(function.domain, function.name) for function in network.functions}
    for node in network.graph.node:
        known = (
            node.domain in own
            or (node.domain, node.op_type) in local
            or (node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, ""))
        )
        if not known:
            operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            yield operator, node.name or f"the one that writes {', '.join(node.output)}"


def _spec(entry: Any) -> TensorSpec:
    dtype = entry.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) and size > 0 else -1 for size in entry.shape)
    return TensorSpec(entry.name, shape, _DTYPES.get(dtype, "float16" if dtype == "float16" else dtype))


def _check_finite(path: Path, network: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    from edgebench.calibration.attention import steps
    from edgebench.calibration.attention_masks import is_sound, masks

    hiding = masks(steps(network))
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not is_sound(values, mask=tensor.name in hiding):
            raise ModelError(
                f"{path}: the weights {tensor.name!r} hold NaN or infinity",
                hint="the training diverged, or the file is damaged",
            )
