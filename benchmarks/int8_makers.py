"""How edgebench and its peers make an int8 file of one fp32 file: each a function of a Task."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import signal
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


def check_runs(task: Task) -> None:
    """Raise RefusedError where the runtime does not answer with the file, or ends its process."""
    from int8_figures import answers

    feeds = [task.case.feed(task.case.images[0])]
    child = multiprocessing.get_context("spawn").Process(target=answers, args=(task.out, feeds))
    child.start()
    child.join()
    if child.exitcode:
        reason = signal.Signals(-child.exitcode).name if child.exitcode < 0 else f"exit {child.exitcode}"
        raise RefusedError(f"its file does not run: {reason}")


def export(case: Case, runtime: str, folder: Path) -> tuple[Path, Path]:
    """Return edgebench's fp32 and w8a8 files of a case for a runtime, made by the product's own path."""
    from edgebench import api

    data = folder / "calibration.npz"
    names = case.names or ("x",)
    arrays = zip(
        names, np.moveaxis(case.calibration, 1, 0) if case.names else [case.calibration], strict=True
    )
    np.savez(data, y=np.zeros(len(case.calibration), np.int64), **dict(arrays))
    api.export(
        case.source,
        out=folder,
        weights=case.weights,
        formats=runtime,
        precisions="fp32,w8a8",
        calib_data=str(data),
        calib_samples=len(case.calibration),
        # a text model's tokens are integers, which its data tells and shapes do not
        input_shape=[] if case.names else [",".join(map(str, (1, *case.images.shape[1:])))],
        name="net",
        overwrite=True,
    )
    return folder / f"net.fp32.{runtime}", folder / f"net.w8a8.{runtime}"


def peers(runtime: str, *, text: bool = False) -> dict[str, Callable[[Task], None]]:
    """Return the peers of a runtime by name. text: those too that are recommended for transformers."""
    if runtime == "tflite":
        dynamic = {"ai-edge-quantizer dynamic, w8a32": _ai_edge_dynamic} if text else {}
        return {"ai-edge-quantizer static": _ai_edge, "TFLiteConverter PTQ": _converter, **dynamic}
    for_text = {"onnxruntime min-max, MatMul alone": _products, "onnxruntime dynamic, w8a32": _dynamic}
    return {
        "onnxruntime min-max": lambda task: _onnxruntime(task, "MinMax"),
        "onnxruntime percentile": lambda task: _onnxruntime(task, "Percentile"),
        "onnxruntime entropy": lambda task: _onnxruntime(task, "Entropy"),
        "onnxruntime min-max per tensor": lambda task: _onnxruntime(task, "MinMax", per_channel=False),
        "onnxruntime min-max U8S8 7 bits": _reduced,
        "NNCF": _nncf,
        "Olive": _olive,
        **(for_text if text else {}),
    }


def _reader(task: Task) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    names = _onnx_inputs(onnx.load(task.fp32))

    class Reader(CalibrationDataReader):  # type: ignore[misc, no-any-unimported]
        def __init__(self) -> None:
            self._feeds: Iterator[np.ndarray] = iter(task.case.calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self._feeds, None)
            return None if sample is None else dict(zip(names, task.case.feed(sample), strict=True))

    return Reader()


def _onnx_inputs(network: Any) -> list[str]:
    weights = {tensor.name for tensor in network.graph.initializer}
    return [entry.name for entry in network.graph.input if entry.name not in weights]


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


def _products(task: Task) -> None:
    """As its transformer tools choose: products and the embedding, nothing between."""
    _onnxruntime(task, "MinMax", op_types_to_quantize=["MatMul", "Gemm", "Gather"])


def _dynamic(task: Task) -> None:
    """As its documentation recommends for transformers: ranges at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = task.out.with_suffix(".prepared.onnx")
    quant_pre_process(str(task.fp32), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(str(prepared), str(task.out), per_channel=True, weight_type=QuantType.QInt8)


def _nncf(task: Task) -> None:
    try:
        import nncf
    except ImportError as err:
        raise RefusedError("not installed: pip install nncf") from err
    import onnx

    network, case = onnx.load(task.fp32), task.case
    names = _onnx_inputs(network)
    samples = nncf.Dataset(case.calibration, lambda sample: dict(zip(names, case.feed(sample), strict=True)))
    kind = nncf.ModelType.TRANSFORMER if case.names else None
    onnx.save(nncf.quantize(network, samples, model_type=kind, subset_size=len(case.calibration)), task.out)


def _olive(task: Task) -> None:
    del task
    raise RefusedError("its OnnxStaticQuantization calls onnxruntime's quantize_static, measured above")


def _ai_edge(task: Task) -> None:
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(task.fp32), recipe.static_wi8_ai8())
    details = _signature_inputs(task.fp32)
    feeds = [
        {name: part.astype(kind) for (name, kind), part in zip(details, task.case.feed(sample), strict=True)}
        for sample in task.case.calibration
    ]
    result = tool.calibrate({"serving_default": feeds}, num_threads=1)
    task.out.write_bytes(tool.quantize(result).quantized_model)


def _ai_edge_dynamic(task: Task) -> None:
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(task.fp32), recipe.dynamic_wi8_afp32())
    task.out.write_bytes(tool.quantize().quantized_model)


def _signature_inputs(path: Path) -> list[tuple[str, Any]]:
    """Return names and dtypes in the order of the model's inputs."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    if "serving_default" not in interpreter.get_signature_list():
        raise RefusedError("the model has no signature, which it demands")
    named = interpreter.get_signature_runner("serving_default").get_input_details()
    places = {detail["index"]: place for place, detail in enumerate(interpreter.get_input_details())}
    ordered = sorted(named.items(), key=lambda item: places[item[1]["index"]])
    return [(name, detail["dtype"]) for name, detail in ordered]


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
