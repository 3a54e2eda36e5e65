"""How edgebench and its peers make an int8 file of one fp32 file: each a function of a Task."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from int8_models import Case


class RefusedError(Exception):
    """A tool did not make the file. The text says why."""


@dataclass(frozen=True, slots=True)
class Task:
    """One fp32 file, its case, and where the int8 file goes."""

    case: Case
    fp32: Path
    out: Path


def export(case: Case, runtime: str, folder: Path) -> tuple[Path, Path]:
    """Return edgebench's fp32 and w8a8 files of a case for a runtime, made by the product's own path."""
    from edgebench import api

    data = folder / "calibration.npz"
    zeros = np.zeros(len(case.calibration), np.int64)
    np.savez(data, x=case.calibration, y=zeros)
    api.export(
        case.source,
        out=folder,
        weights=case.weights,
        formats=runtime,
        precisions="fp32,w8a8",
        calib_data=str(data),
        calib_samples=len(case.calibration),
        input_shape=[",".join(map(str, (1, *case.images.shape[1:])))],
        name="net",
        overwrite=True,
    )
    return folder / f"net.fp32.{runtime}", folder / f"net.w8a8.{runtime}"


def peers(runtime: str) -> dict[str, Callable[[Task], None]]:
    """Return the peers of a runtime by name."""
    if runtime == "tflite":
        return {"ai-edge-quantizer static": _ai_edge, "TFLiteConverter PTQ": _converter}
    return {
        "onnxruntime min-max": lambda task: _onnxruntime(task, "MinMax"),
        "onnxruntime percentile": lambda task: _onnxruntime(task, "Percentile"),
        "onnxruntime entropy": lambda task: _onnxruntime(task, "Entropy"),
        "onnxruntime min-max per tensor": lambda task: _onnxruntime(task, "MinMax", per_channel=False),
        "onnxruntime min-max U8S8 7 bits": _reduced,
        "NNCF": _nncf,
        "Olive": _olive,
    }


def _reader(task: Task) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    name = _onnx_input(onnx.load(task.fp32))

    class Reader(CalibrationDataReader):  # type: ignore[misc, no-any-unimported]
        def __init__(self) -> None:
            self._feeds: Iterator[np.ndarray] = iter(task.case.calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self._feeds, None)
            return None if sample is None else {name: sample[None]}

    return Reader()


def _onnx_input(network: Any) -> str:
    weights = {tensor.name for tensor in network.graph.initializer}
    return str(next(entry.name for entry in network.graph.input if entry.name not in weights))


def _onnxruntime(task: Task, method: str, *, per_channel: bool = True, **settings: Any) -> None:
    """As its documentation says: preprocessing first, Q/DQ, int8 activations and weights."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = task.out.with_suffix(".prepared.onnx")
    quant_pre_process(str(task.fp32), str(prepared), skip_symbolic_shape=True)
    with contextlib.redirect_stdout(io.StringIO()):  # its percentile prints every histogram
        quantize_static(
            str(prepared),
            str(task.out),
            _reader(task),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            calibrate_method=CalibrationMethod[method],
            **settings,
        )


def _reduced(task: Task) -> None:
    """As its documentation says for x86 without VNNI."""
    from onnxruntime.quantization import QuantType

    _onnxruntime(task, "MinMax", activation_type=QuantType.QUInt8, reduce_range=True)


def _nncf(task: Task) -> None:
    try:
        import nncf
    except ImportError as err:
        raise RefusedError("not installed: pip install nncf") from err
    import onnx

    network = onnx.load(task.fp32)
    name = _onnx_input(network)
    samples = nncf.Dataset(task.case.calibration, lambda sample: {name: sample[None]})
    onnx.save(nncf.quantize(network, samples, subset_size=len(task.case.calibration)), task.out)


def _olive(task: Task) -> None:
    del task
    raise RefusedError("its OnnxStaticQuantization calls onnxruntime's quantize_static, measured above")


def _ai_edge(task: Task) -> None:
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(task.fp32), recipe.static_wi8_ai8())
    name = _signature_input(task.fp32)
    result = tool.calibrate(
        {"serving_default": [{name: sample[None]} for sample in task.case.calibration]}, num_threads=1
    )
    task.out.write_bytes(tool.quantize(result).quantized_model)


def _signature_input(path: Path) -> str:
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(path)).get_signature_list()
    if "serving_default" not in signatures:
        raise RefusedError("the model has no signature, which it demands")
    return str(next(iter(signatures["serving_default"]["inputs"])))


def _converter(task: Task) -> None:
    if task.case.keras is None:
        raise RefusedError("the source is no Keras model")
    import tensorflow as tf

    if task.case.keras.is_dir():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(task.case.keras))
    else:
        loaded = tf.keras.models.load_model(task.case.keras, compile=False)
        converter = tf.lite.TFLiteConverter.from_keras_model(loaded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in task.case.calibration)
    task.out.write_bytes(converter.convert())
