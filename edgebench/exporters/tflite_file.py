"""TFLite files: opened, described and run by LiteRT on the host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Quantization, TensorSpec
from edgebench.errors import MissingExtraError, ModelError
from edgebench.exporters.source import check_readable

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

_CUSTOM = re.compile(r"unresolved custom op: ([^\s.]+)")
_HINTS = {"edgetpu-custom-op": "it is compiled for the Edge TPU: take the file before that compiler"}


def open_interpreter(path: Path, what: str) -> Any:
    """Return an interpreter with its tensors allocated.

    Raises ModelError where the file is damaged or needs an operator that LiteRT does not have,
    MissingExtraError where neither LiteRT nor tflite-runtime is installed.
    """
    check_readable(path)
    try:
        interpreter = _interpreter_class()(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        reason = " ".join(str(err).split())
        if found := _CUSTOM.search(reason):
            operator = found.group(1)
            raise ModelError(
                f"{what}: needs the custom operator {operator}, which LiteRT does not have",
                hint=_HINTS.get(operator, "convert the model without custom operators"),
            ) from err
        raise ModelError(f"{what}: LiteRT cannot load it: {reason[:300]}") from err
    return interpreter


def tensor_specs(interpreter: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs in the file's order; names are the signature's where it has exactly one."""
    labels_in, labels_out = _labels(interpreter)
    return (
        tuple(_spec(detail, labels_in) for detail in interpreter.get_input_details()),
        tuple(_spec(detail, labels_out) for detail in interpreter.get_output_details()),
    )


def one_sample(inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return inputs as an interpreter takes them: one sample, where the file leaves the batch open."""
    return tuple(
        replace(spec, shape=(1, *spec.shape[1:])) if spec.shape[:1] == (-1,) else spec for spec in inputs
    )


def answer(interpreter: Any, values: Sequence[Array]) -> list[Array]:
    """Return the outputs for one call's arrays, as the file stores them, in the order of its inputs."""
    for detail, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as err:
            raise MissingExtraError(
                "TFLite files need LiteRT, which is not installed", hint="pip install ai-edge-litert"
            ) from err
    return Interpreter


def _labels(interpreter: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Return the signature's names of tensors by their index; none where there is no single signature."""
    signatures = list(interpreter.get_signature_list())
    if len(signatures) != 1:
        return {}, {}
    runner = interpreter.get_signature_runner(signatures[0])
    return (
        {detail["index"]: name for name, detail in runner.get_input_details().items()},
        {detail["index"]: name for name, detail in runner.get_output_details().items()},
    )


def _spec(detail: dict[str, Any], labels: dict[int, str]) -> TensorSpec:
    import numpy as np

    scale, zero_point = detail["quantization"]
    signature = detail.get("shape_signature", detail["shape"])
    shape = tuple(int(size) for size in (signature if len(signature) else detail["shape"]))
    dtype = np.dtype(detail["dtype"]).name
    quantization = Quantization(float(scale), int(zero_point)) if scale else None
    return TensorSpec(labels.get(detail["index"], detail["name"]), shape, dtype, quantization)
