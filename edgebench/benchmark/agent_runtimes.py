"""The runtimes that the agent calls: one class each, and which of them a job's runtime may mean.

It lies beside agent.py on the device and needs no more: Python 3.8 or later, numpy, and the runtime that a
job names, imported where it is used.

Each has prepare (what can be done for an input long before its call), measure (calls in a row, inputs
placed before the clock starts) and answers (one call, its outputs copied). `measure` is written out in each
class, for what runs between two calls pushes the runtime's code and data out of the nearest caches, and
then the next call pays: a shared loop with a function for one call took 0.25 µs more of a 46 µs model.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np


class JobError(Exception):
    """The job cannot be done; kind says whose business it is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class OnnxRuntime:
    """ONNX Runtime on the CPU, its inputs and outputs bound beforehand.

    On a model of 27 µs `session.run(None, feed)` takes 4 µs more than the C interface's Run, most of it for
    the names and for making arrays of the outputs; `run_with_iobinding` takes 1.3 µs more.
    """

    timed = (
        "InferenceSession.run_with_iobinding: input arrays bound before the clock starts; the outputs' "
        "allocation and the last ones' release are inside"
    )

    def __init__(self, model: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.version = onnxruntime.__version__
        self.provider = ",".join(self._session.get_providers())
        self.coverage = "every node"

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:  # noqa: ARG002
        """Take the inputs in the order of `names` where the model has them all."""
        given = [spec.name for spec in self._session.get_inputs()]
        self._names = names if names and set(names) <= set(given) else given
        self._outputs = [spec.name for spec in self._session.get_outputs()]

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._names)

    def prepare(self, arrays: List[Any]) -> Tuple[Any, Dict[str, Any]]:
        """Return the binding of a call on `arrays`, and what it binds."""
        binding, feed = self._session.io_binding(), dict(zip(self._names, arrays))
        for name, array in feed.items():
            binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name)
        return binding, feed

    def measure(self, bound: List[Tuple[Any, Dict[str, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `bound`; return how many they are.

        deadline: on the clock perf_counter_ns; the call in which it comes is the last.
        """
        run, clock, count, done = self._session.run_with_iobinding, time.perf_counter_ns, len(bound), 0
        try:
            for done in range(len(latency)):
                binding = bound[done % count][0]
                start = clock()
                run(binding)
                end = clock()
                latency[done] = end - start
                if end >= deadline:
                    break
        except RuntimeError:  # whatever is wrong; `run` tells by the type of its error whose fault it is
            self._session.run(None, bound[done % count][1])
            raise
        return done + 1

    def answers(self, bound: Tuple[Any, Dict[str, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        return [np.array(output) for output in self._session.run(None, bound[1])]


class CompiledLiteRt:
    """LiteRT through CompiledModel, the interface that LiteRT 2 recommends and its benchmark times.

    On a model of 24 µs `run_by_index` takes 1.6 µs more than the C interface's call, `run_by_name` 2.0 µs.
    """

    timed = (
        "CompiledModel.run_by_index: inputs written into the runtime's buffers before the clock starts, "
        "outputs read out of them after it stops"
    )
    provider = "CompiledModel CPU (XNNPACK)"

    def __init__(self, model: str, threads: int) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads)
        )
        self._path = model
        self._model = CompiledModel.from_file(model, options=options)
        self.version = package_version("ai-edge-litert")
        full = self._model.is_fully_accelerated()
        self.coverage = "every node" if full else "part of the nodes, the others by built-in kernels"

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:
        """Make the buffers, in the order of the host's arrays. Raises UnsupportedError."""
        signatures = self._model.get_signature_list()
        key = next(iter(signatures))
        inputs, outputs = listed = signatures[key]["inputs"], signatures[key]["outputs"]
        if len(inputs) > 1 or len(outputs) > 1:
            inputs, outputs = _tensor_order(self._path, names, inputs, outputs)
        taken = self._model.get_input_tensor_details(key)
        for name, shape in zip(inputs, shapes):
            if min(taken[name]["shape"], default=1) < 1:
                self._model.resize_input_tensor_by_name(key, name, list(shape))
        self._taken = _specs(self._model.get_input_tensor_details(key), inputs)
        self._given = _specs(self._model.get_output_tensor_details(key), outputs)
        self._in = {name: self._model.create_input_buffer_by_name(key, name) for name in inputs}
        self._out = {name: self._model.create_output_buffer_by_name(key, name) for name in outputs}
        self._index = self._model.get_signature_index(key)
        self._takes, self._gives = (
            [self._in[name] for name in listed[0]],
            [self._out[name] for name in listed[1]],
        )

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._in)

    def prepare(self, arrays: List[Any]) -> List[Tuple[Any, Any]]:
        """Return which array a call writes into which buffer. Raises ValueError where one does not fit."""
        for array, (shape, dtype) in zip(arrays, self._taken):
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    "the input is %s%s, the model takes %s%s" % (array.dtype, array.shape, dtype, shape)
                )
        return list(zip(self._in.values(), arrays))

    def measure(self, writes: List[List[Tuple[Any, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `writes`; return how many they are."""
        run, index, taken, given = self._model.run_by_index, self._index, self._takes, self._gives
        clock, count, done = time.perf_counter_ns, len(writes), 0
        for done in range(len(latency)):
            for buffer, array in writes[done % count]:
                buffer.write(array)
            start = clock()
            run(index, taken, given)
            end = clock()
            latency[done] = end - start
            if end >= deadline:
                break
        return done + 1

    def answers(self, writes: List[Tuple[Any, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        self.measure([writes], [0], 0)
        return [
            buffer.read(int(np.prod(shape)), dtype.type).reshape(shape)
            for buffer, (shape, dtype) in zip(self._out.values(), self._given)
        ]


class InterpreterLiteRt:
    """LiteRT or tflite-runtime through Interpreter, where CompiledModel does not exist or not serve."""

    timed = "Interpreter.invoke: inputs set before the clock starts, outputs read after it stops"
    coverage = "not told by this runtime"

    def __init__(self, model: str, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter

            package = "ai-edge-litert"
        except ImportError:
            from tflite_runtime.interpreter import Interpreter

            package = "tflite-runtime"
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self.version = package_version(package)
        self.provider = "Interpreter CPU (%s, default delegate)" % package

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:
        """Find the tensors, in the order of the host's arrays, and give free dimensions their size."""
        details = _in_order(self._interpreter.get_input_details(), names)
        self._in = [detail["index"] for detail in details]
        free = [shape for detail, shape in zip(details, shapes) if -1 in detail["shape_signature"]]
        if free:
            for index, shape in zip(self._in, shapes):
                self._interpreter.resize_tensor_input(index, list(shape))
            self._interpreter.allocate_tensors()
        self._out = [detail["index"] for detail in self._interpreter.get_output_details()]

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._in)

    def prepare(self, arrays: List[Any]) -> List[Tuple[int, Any]]:
        """Return which array a call copies into which tensor."""
        return list(zip(self._in, arrays))

    def measure(self, writes: List[List[Tuple[int, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `writes`; return how many they are."""
        interpreter, clock, count, done = self._interpreter, time.perf_counter_ns, len(writes), 0
        for done in range(len(latency)):
            for index, array in writes[done % count]:
                interpreter.set_tensor(index, array)
            start = clock()
            interpreter.invoke()
            end = clock()
            latency[done] = end - start
            if end >= deadline:
                break
        return done + 1

    def answers(self, writes: List[Tuple[int, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        self.measure([writes], [0], 0)
        return [self._interpreter.get_tensor(index) for index in self._out]


class UnsupportedError(Exception):
    """This interface does not serve this model."""


def _specs(details: Dict[str, Any], names: List[str]) -> List[Tuple[Tuple[int, ...], np.dtype]]:
    """Return shape and dtype of each tensor; CompiledModel's buffers take no others than these dtypes."""
    served = ("float32", "float16", "int32", "int8", "uint8", "bool")
    for name in names:
        if details[name]["dtype"] not in served:
            raise UnsupportedError("CompiledModel has no buffers of %s" % details[name]["dtype"])
    return [(tuple(details[name]["shape"]), np.dtype(details[name]["dtype"])) for name in names]


def _in_order(details: List[Dict[str, Any]], names: List[str]) -> List[Dict[str, Any]]:
    if names and set(names) == {detail["name"] for detail in details}:
        return sorted(details, key=lambda detail: names.index(detail["name"]))
    return details


def _tensor_order(
    model: str, names: List[str], inputs: List[str], outputs: List[str]
) -> Tuple[List[str], List[str]]:
    """Return a signature's inputs in the order of `names`, and its outputs in the tensors' order.

    CompiledModel lists them as the signature does; the host names tensors, or the signature's inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    if not interpreter.get_signature_list():
        return (list(names) if set(names) == set(inputs) else inputs), outputs
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    name_in = {detail["index"]: name for name, detail in runner.get_input_details().items()}
    name_out = {detail["index"]: name for name, detail in runner.get_output_details().items()}
    tensors = _in_order(interpreter.get_input_details(), names)
    ordered = [name_in[detail["index"]] for detail in tensors]
    if names and set(names) == set(inputs):
        ordered = list(names)
    return ordered, [name_out[detail["index"]] for detail in interpreter.get_output_details()]


def makers(name: str, avoid: Optional[str]) -> List[Callable[[str, int], Any]]:
    """Return the interfaces to try, imported, so that importing is not part of loading a model."""
    try:
        if name == "onnxruntime":
            import onnxruntime  # noqa: F401

            return [OnnxRuntime]
        if name != "litert":
            raise JobError("job", "unknown runtime %r" % name)
        try:
            import ai_edge_litert.compiled_model  # noqa: F401
        except ImportError:
            if package_version("ai-edge-litert") == "unknown":
                import tflite_runtime.interpreter  # noqa: F401
            return [InterpreterLiteRt]
    except ImportError as err:
        raise JobError("runtime_missing", "%s is not installed here: %s" % (name, err)) from err
    return [InterpreterLiteRt] if avoid else [CompiledLiteRt, InterpreterLiteRt]


def package_version(name: str) -> str:
    """Return the version of an installed package, or `unknown`."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def words(err: BaseException) -> str:
    """Return an exception's text in one line, without the paths inside the runtime."""
    return " ".join((str(err) or type(err).__name__).split())[:600]
