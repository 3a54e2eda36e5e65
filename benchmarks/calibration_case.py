"""One case of calibration.py: MODEL IMAGES RUNTIME WHO; prints seconds and bytes as a line of JSON."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgebench.calibration.observers import Method, observe
from edgebench.calibration.samples import SampleStore
from edgebench.calibration.watch import open_onnx, open_tflite, watch, watch_onnx, watch_tflite


def plain_onnx(model: Path) -> Callable[[SampleStore], None]:
    """Return a function that runs the ONNX file on samples and throws the answers away."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: SampleStore) -> None:
        for (image,) in images:
            session.run(None, {name: image})

    return run


def plain_tflite(model: Path) -> Callable[[SampleStore], None]:
    """Return a function that runs the TFLite file on samples and throws the answers away."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    index = interpreter.get_input_details()[0]["index"]

    def run(images: SampleStore) -> None:
        for (image,) in images:
            interpreter.set_tensor(index, image)
            interpreter.invoke()

    return run


def edgebench(model: Path, images: SampleStore, runtime: str, method: str) -> None:
    """Watch all tensors and find each one's range; of two that are fused, once, as the product does."""
    found = (watch_onnx if runtime == "onnx" else watch_tflite)(model, images, exact=Method(method).exact)
    for values in {id(values): values for values in found.values()}.values():
        observe(values, Method(method))


def by_channel(model: Path, images: SampleStore, runtime: str, method: str) -> None:
    """Watch all tensors and all channels, and find the range of each, as `edgebench calibrate` does."""
    exact = Method(method).exact
    if runtime == "onnx":
        graph = open_onnx(model, next(iter(images)), exact=exact, choose=dict)
    else:
        graph = open_tflite(model, exact=exact, choose=dict)
    watched = watch(graph, images)
    for values in map(watched.whole, watched.names):
        observe(values, Method(method))
    if watched.by_channel is not None:
        for name in watched.by_channel.tensors:
            for values in watched.by_channel.distributions(name):
                observe(values, Method(method))


def onnxruntime_own(model: Path, images: SampleStore, method: str) -> None:
    """Calibrate as onnxruntime's quantize_static does."""
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    name = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].name

    kinds = {
        "min-max": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as folder:
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(
            str(model), calibrate_method=kinds[method], augmented_model_path=augmented
        )
        calibrate_with(calibrator, name, images)


class Reader:
    """The images as onnxruntime's calibrators ask for them."""

    def __init__(self, name: str, images: SampleStore) -> None:
        self._name, self._left = name, iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed, None at the end."""
        sample = next(self._left, None)
        return None if sample is None else {self._name: sample[0]}

    def __iter__(self) -> Reader:
        """Return itself."""
        return self

    def __next__(self) -> dict[str, Any]:
        """Return the next feed."""
        return {self._name: next(self._left)[0]}


def calibrate_with(calibrator: Any, name: str, images: SampleStore) -> None:
    """Feed the images to an onnxruntime calibrator, one thread, and let it find the ranges."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    calibrator.infer_session = ort.InferenceSession(
        calibrator.augmented_model_path, options, providers=["CPUExecutionProvider"]
    )
    calibrator.collect_data(Reader(name, images))
    calibrator.compute_data()


def quantizers_own(model: Path, images: SampleStore) -> None:
    """Calibrate as ai-edge-quantizer does."""
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(model), recipe.static_wi8_ai8())
    interpreter_input = next(iter(tool_inputs(model)))
    tool.calibrate({"serving_default": [{interpreter_input: image} for (image,) in images]}, num_threads=1)


def tool_inputs(model: Path) -> list[str]:
    """Return the names of the signature's inputs."""
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(model)).get_signature_list()
    return list(signatures["serving_default"]["inputs"])


def memory(key: str) -> int:
    """Return a size of this process, such as VmRSS or VmHWM, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def main(model: Path, images: SampleStore, runtime: str, who: str) -> None:
    """Time plain inference, the case, and plain inference again."""
    import onnx  # noqa: F401 - loading libraries is not calibrating
    import onnxruntime.quantization.calibrate  # noqa: F401

    name, _, method = who.partition(" ")
    run = plain_onnx(model) if runtime == "onnx" else plain_tflite(model)
    run(SampleStore(Path(sys.argv[2])))
    before = timed(lambda: run(images))
    gc.collect()
    held = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    cases: dict[str, Callable[[], None]] = {
        "edgebench": lambda: edgebench(model, images, runtime, method),
        "edgebench-by-channel": lambda: by_channel(model, images, runtime, method),
        "onnxruntime": lambda: onnxruntime_own(model, images, method),
        "ai-edge-quantizer": lambda: quantizers_own(model, images),
    }
    seconds = timed(cases[name])
    extra = memory("VmHWM") - held
    after = timed(lambda: run(images))
    plain = (before + after) / 2
    print(json.dumps({"seconds": seconds, "plain_seconds": plain, "extra_bytes": max(extra, 0)}))


def timed(work: Callable[[], None]) -> float:
    """Return the processor seconds of this process that the work took; all of it is one thread's."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]), SampleStore(Path(sys.argv[2])), sys.argv[3], sys.argv[4])
