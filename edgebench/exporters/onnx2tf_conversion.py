"""ONNX to fp32 TFLite, run by the interpreter of the onnx2tf environment: never imported by edgebench.

Usage: python onnx2tf_conversion.py JOB.json, in an empty folder which it may fill.
JOB: {"model", "shapes": {input's name: [1, ...]}, "inputs": [name in the signature, ...], "outputs",
"out", "result"}; paths are absolute.
RESULT: {"versions": {...}} or {"error": "..."}.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PACKAGES = ("onnx2tf", "tensorflow-cpu", "onnx", "onnxsim")
_SAMPLE_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"
_APPROXIMATED = ["acos", "asin", "atan", "erf"]
"""Functions that TFLite lacks and onnx2tf can build from others, with errors of about 1e-7."""
_REFUSAL = "onnx2tf cannot express in TFLite the operator {}"
_ONNX_NAMES = {"MatrixDeterminant": "Det", "MatrixInverse": "Inverse"}
"""TensorFlow's operators that ONNX calls otherwise; the rest differ in capitals only."""
_TF_OPERATOR = re.compile(r"'tf\.(\w+)'")
_IR_VERSIONS = (4, 10)
"""Older ones want the weights among the inputs, newer ones onnxsim does not read."""
_MAX_RANK = 6
_DIGITS = 3
"""Of a relative distance: below that, two ways of turning an output are the same."""


class RefusedError(Exception):
    """The model cannot be converted, for a reason that its owner can act on."""


def main(job_file: Path) -> int:
    """Do the job in `job_file`; return 0, or 1 where the result file holds an error."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = json.loads(job_file.read_text())
    try:
        content = convert(Path(job["model"]), job["shapes"], job["inputs"], job["outputs"])
    except RefusedError as err:
        result: dict[str, Any] = {"error": str(err)}
    else:
        Path(job["out"]).write_bytes(content)
        found = {d.name.replace("_", "-"): d.version for d in metadata.distributions()}
        result = {"versions": {name: found[name] for name in _PACKAGES if name in found}}
    Path(job["result"]).write_text(json.dumps(result))
    return 1 if "error" in result else 0


def convert(
    model: Path, shapes: dict[str, list[int]], inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    """Return the fp32 TFLite form of `model`, with the ONNX's axes.

    shapes: the full shape of each real input. inputs, outputs: what the signature `serving_default`
    calls them, in the ONNX's order.
    """
    import numpy as np
    import onnx

    np.save(_SAMPLE_IMAGES, np.zeros((20, 128, 128, 3), np.float32))  # onnx2tf would download it
    prepared = Path("prepared.onnx")
    prepare(model, shapes, prepared)
    values = _random_inputs(onnx.load(prepared))
    wanted = _run_onnx(prepared.read_bytes(), values)
    network = _onnx2tf(prepared, list(values))
    order = [list(values).index(tensor.name.removesuffix(":0")) for tensor in network.inputs]
    given = _as_list(network([list(values.values())[index] for index in order], training=False))
    axes = [_axes_back(np.asarray(g), w) for g, w in zip(given, wanted, strict=True)]
    specs = [_spec(name, value) for name, value in zip(inputs, values.values(), strict=True)]
    with _operators_named(prepared):
        return _tflite(network, order, specs, dict(zip(outputs, axes, strict=True)))


def prepare(model: Path, shapes: dict[str, list[int]], out: Path) -> None:
    """Write `model` to `out` with fixed shapes, folded constants and plain names (in_0, out_0, …).

    Raises RefusedError naming an operator that onnx2tf cannot express, and its node.
    """
    import onnx
    from onnx import inliner

    onnxsim = import_module("onnxsim")  # before onnx2tf, after whose TensorFlow it crashes
    gs = import_module("onnx_graphsurgeon")
    network = inliner.inline_local_functions(onnx.load(model))
    weights = {tensor.name for tensor in network.graph.initializer}
    inputs = [entry for entry in network.graph.input if entry.name not in weights]
    network.ir_version = min(max(network.ir_version, _IR_VERSIONS[0]), _IR_VERSIONS[1])
    del network.graph.input[:]
    network.graph.input.extend(inputs)
    _refuse_unknown_operators(network.graph)
    graph = gs.import_onnx(_simplified(onnxsim, network, shapes))
    for kind, tensors in (("in", graph.inputs), ("out", graph.outputs)):
        for index, tensor in enumerate(tensors):
            tensor.name = f"{kind}_{index}"
    for node in graph.nodes:
        _say_defaults(node)
    onnx.save(gs.export_onnx(graph, ir_version=network.ir_version), out)


def _simplified(onnxsim: Any, network: Any, shapes: dict[str, list[int]]) -> Any:
    """Return the network with fixed shapes and, where onnxsim knows its operators, constants folded."""
    import onnx

    try:
        return onnxsim.simplify(network, overwrite_input_shapes=shapes)[0]
    except (onnx.checker.ValidationError, RuntimeError):  # of a newer operator set than onnxsim's
        for entry in network.graph.input:
            sizes = zip(entry.type.tensor_type.shape.dim, shapes[entry.name], strict=True)
            for dimension, size in sizes:
                dimension.dim_value = size
        _fix_shapes(network)
        return network


def _fix_shapes(network: Any) -> None:
    """Say the shape of every tensor in the network, whose inputs are fixed, found by running it once.

    ONNX's own inference leaves some open, and there onnx2tf takes channels to be where they are not.
    """
    import onnx

    names = [name for node in network.graph.node for name in node.output if name]
    declared = list(network.graph.output)
    del network.graph.output[:]
    network.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    values = _run_onnx(network.SerializeToString(), _random_inputs(network))
    found = {
        name: onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(y.dtype), y.shape)
        for name, y in zip(names, values, strict=True)
    }
    del network.graph.output[:], network.graph.value_info[:]
    network.graph.output.extend(found.pop(entry.name, entry) for entry in declared)
    network.graph.value_info.extend(found.values())


def _say_defaults(node: Any) -> None:
    """Write out what ONNX lets a node leave unsaid and onnx2tf 1.29 takes for something else."""
    if node.op == "Flatten":
        node.attrs.setdefault("axis", 1)
    if node.op in ("Conv", "ConvTranspose") and node.inputs[1].shape:
        node.attrs.setdefault("kernel_shape", list(node.inputs[1].shape[2:]))


def _refuse_unknown_operators(graph: Any) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            _refuse_unknown_operators(attribute.g)
        if node.domain in ("", "ai.onnx") and util.find_spec(f"onnx2tf.ops.{node.op_type}"):
            continue
        raise RefusedError(_REFUSAL.format(_describe(node)))


def _onnx2tf(model: Path, inputs: list[str]) -> Any:
    return import_module("onnx2tf").convert(
        input_onnx_file_path=str(model),
        output_folder_path="saved",
        keep_shape_absolutely_input_names=inputs,
        batch_size=1,
        disable_model_save=True,
        replace_to_pseudo_operators=_APPROXIMATED,
        non_verbose=True,
    )


def _random_inputs(network: Any) -> dict[str, Any]:
    """Return one reproducible sample for each input: normal, integers and booleans 0 or 1."""
    import numpy as np
    import onnx

    generator = np.random.default_rng(0)
    inputs = {}
    for entry in network.graph.input:
        shape = [d.dim_value for d in entry.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
        values = generator.normal(size=shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
        inputs[entry.name] = values.astype(dtype)
    return inputs


def _run_onnx(model: bytes, inputs: dict[str, Any]) -> list[Any]:
    import onnxruntime as ort

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run(None, inputs)
    return answers


def _axes_back(given: Any, wanted: Any) -> tuple[int, ...]:
    """Return the transposition that gives the ONNX's axes again, found by comparing values.

    onnx2tf moves channels last, and does not always say so. Among equally near ones the least turned.
    """
    import numpy as np

    found = []
    for axes in itertools.permutations(range(given.ndim)) if given.ndim <= _MAX_RANK else ():
        turned = given.transpose(axes)
        if turned.shape == wanted.shape:
            distance = np.linalg.norm(turned.astype(np.float64) - wanted)
            share = float(distance / max(float(np.linalg.norm(wanted)), 1e-9))
            found.append((round(share, _DIGITS), axes))
    if not found:
        raise RefusedError(f"onnx2tf changed the shape of an output from {wanted.shape} to {given.shape}")
    return min(found)[1]


def _spec(name: str, value: Any) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(value.shape, value.dtype, name=name)


def _tflite(
    network: Any, order: Sequence[int], specs: Sequence[Any], outputs: dict[str, tuple[int, ...]]
) -> bytes:
    """Return `network` as TFLite.

    order: which of the inputs the network takes at each place. outputs: name → the turn that gives
    the ONNX's axes.
    """
    import tensorflow as tf

    def serve(*values: Any) -> dict[str, Any]:
        results = _as_list(network([values[index] for index in order], training=False))
        return {
            name: tf.identity(y) if axes == tuple(sorted(axes)) else tf.transpose(y, axes)
            for y, (name, axes) in zip(results, outputs.items(), strict=True)
        }

    function = tf.function(serve, input_signature=specs).get_concrete_function()
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([function], network).convert()
    return content


@contextlib.contextmanager
def _operators_named(model: Path) -> Iterator[None]:
    """Turn TensorFlow's operators in the converter's error into the nodes of `model` that need them."""
    import onnx

    try:
        yield
    except import_module("tensorflow.lite.python.convert_phase").ConverterError as err:
        operators = sorted(set(_TF_OPERATOR.findall(str(err))))
        if not operators:
            raise
        nodes = {node.op_type.lower(): node for node in onnx.load(model).graph.node}
        found = [(o, nodes.get(_ONNX_NAMES.get(o, o).lower())) for o in operators]
        named = ", ".join(_describe(node) if node else o for o, node in found)
        raise RefusedError(_REFUSAL.format(named)) from err


def _describe(node: Any) -> str:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"{operator} (node {node.name or f'that writes {node.output[0]}'})"


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
