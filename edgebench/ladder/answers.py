"""What the source and the artifacts answer, on the host; runs in worker processes.

real values in, real values out: float32[N, ...] for each output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Format, TensorSpec
from edgebench.benchmark.inputs import LARGEST_BATCH
from edgebench.errors import ModelError
from edgebench.exporters import onnx_file, tflite_file
from edgebench.exporters.real_values import Runnable, onnx_runnable, stored_values, tflite_runnable
from edgebench.exporters.samples import check_fit, read_samples, write_reference
from edgebench.exporters.source import Source, SourceKind
from edgebench.storage import from_plain, storage_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.real_values import Call
    from edgebench.exporters.samples import Array


def source(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return `runtime` and `answers`: for each file of samples, the file of the source's answers.

    arguments: source, samples (npz files of in_0, …), out (a path that the answers lie beside).
    """
    model = from_plain(Source, arguments["source"], what="source")
    files = [Path(path) for path in arguments["samples"]]
    runtime, inputs, call = _open_source(model, read_samples(files[0]))
    if any(spec.shape and spec.shape[0] > 1 for spec in inputs):
        raise ModelError(f"{model.model}: its batch is fixed above 1", hint="save it with an open batch")
    written = [
        write_reference(
            Path(f"{arguments['out']}.{index}"), _as_taken(read_samples(file), inputs), inputs, call
        )
        for index, file in enumerate(files)
    ]
    return {"runtime": runtime, "answers": [str(path) for path in written]}


def artifact(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return `runtime` and `answers`, the file of an artifact's answers.

    arguments: path, format, samples, out; reference: the runtime's plain arithmetic instead of its best.
    """
    path, fmt = Path(arguments["path"]), Format(arguments["format"])
    openers = {Format.ONNX: _open_onnx, Format.TFLITE: _open_tflite}
    runtime, opened = openers[fmt](path, reference=bool(arguments["reference"]))
    samples = read_samples(Path(arguments["samples"]))
    out = Path(arguments["out"])
    with storage_errors(out):
        given = opened.answers(samples)
        np.savez(out, **{f"out_{index}": array for index, array in enumerate(given)})  # type: ignore[arg-type]
    return {"runtime": runtime, "answers": str(out)}


def read_answers(path: Path) -> list[NDArray[np.float32]]:
    """Return the arrays out_0, out_1, … of a file."""
    with np.load(path, allow_pickle=False) as stored:
        return [stored[f"out_{index}"] for index in range(len(stored.files))]


def _as_taken(samples: Sequence[Array], inputs: Sequence[TensorSpec]) -> list[Array]:
    check_fit(samples, inputs)
    return [stored_values(array, spec) for array, spec in zip(samples, inputs, strict=True)]


def _open_source(model: Source, samples: Sequence[Array]) -> tuple[str, tuple[TensorSpec, ...], Call]:
    if model.kind in (SourceKind.TORCH, SourceKind.PT2):
        return _open_torch(model, samples)
    if model.kind in (SourceKind.KERAS, SourceKind.SAVED_MODEL):
        return _open_keras(model)
    path = Path(model.path or model.model)
    opener = _open_onnx if model.kind is SourceKind.ONNX else _open_tflite
    runtime, opened = opener(path, reference=False)
    inputs = tuple(opened.inputs)
    if model.kind is SourceKind.TFLITE:  # an interpreter takes one sample, whatever its file leaves open
        inputs = tflite_file.one_sample(inputs)
    return runtime, inputs, opened.real


def _open_torch(model: Source, samples: Sequence[Array]) -> tuple[str, tuple[TensorSpec, ...], Call]:
    import torch

    from edgebench.exporters.torch_load import load

    loaded = load(model, samples)
    return f"PyTorch {torch.__version__}", loaded.inputs, loaded.answer


def _open_keras(model: Source) -> tuple[str, tuple[TensorSpec, ...], Call]:
    import tensorflow as tf

    from edgebench.exporters.keras_load import load

    loaded = load(model)

    def call(values: list[Array]) -> list[Array]:
        return [y.numpy() for y in loaded.call(*(tf.constant(value) for value in values))]

    return f"{loaded.loader}, TensorFlow {tf.__version__}", loaded.inputs, call


def _open_onnx(path: Path, *, reference: bool) -> tuple[str, Runnable]:
    import onnxruntime as ort

    session = plain_session(path.read_bytes()) if reference else onnx_file.open_session(path, path.name)
    how = ", graph optimizations off" if reference else ""
    return f"ONNX Runtime {ort.__version__}{how}", onnx_runnable(session, largest=LARGEST_BATCH)


def plain_session(content: bytes) -> Any:
    """Return a session that runs the graph node by node, as it stands. Raises ModelError."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        reason = " ".join(str(err).split())
        raise ModelError(f"ONNX Runtime cannot run the graph as it stands: {reason[:400]}") from err


def _open_tflite(path: Path, *, reference: bool) -> tuple[str, Runnable]:
    from importlib.metadata import version

    if reference:
        interpreter = plain_interpreter(path, kernels="BUILTIN_REF")
    else:
        interpreter = tflite_file.open_interpreter(path, path.name)
    how = ", reference kernels" if reference else ""
    return f"LiteRT {version('ai-edge-litert')}{how}", tflite_runnable(interpreter)


def plain_interpreter(path: Path, *, kernels: str, keep: bool = False) -> Any:
    """Return an interpreter without delegates. kernels: a name of LiteRT's OpResolverType.

    keep: every tensor stays readable after a call. Raises ModelError.
    """
    import warnings

    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        with warnings.catch_warnings(action="ignore"):  # it warns that keeping tensors takes memory
            interpreter = Interpreter(
                model_path=str(path),
                num_threads=1,
                experimental_op_resolver_type=OpResolverType[kernels],
                experimental_preserve_all_tensors=keep,
            )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        reason = " ".join(str(err).split())
        raise ModelError(f"{path.name}: LiteRT's plain kernels cannot run it: {reason[:300]}") from err
    return interpreter
