"""ONNX files that the tests of onnx2tf make themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.source import open_source


def normal(*shape: int) -> np.ndarray:
    """Return reproducible normal numbers, float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
    weights: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    **dtypes: int,
) -> Path:
    """Write an ONNX file to `path`; return the path. dtypes: of inputs and outputs that are not float."""
    kinds = [
        [helper.make_tensor_value_info(n, dtypes.get(n, TensorProto.FLOAT), s) for n, s in entries.items()]
        for entries in (inputs, outputs)
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "g", *kinds, stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset < 20 else 11), path)
    return path


def job(model: Path, folder: Path, samples: Sequence[np.ndarray] = ()) -> ConversionJob:
    """Return the conversion of a file on samples."""
    file = None
    if samples:
        file = folder / "samples.npz"
        np.savez(file, **{f"in_{index}": array for index, array in enumerate(samples)})
    return ConversionJob(open_source(str(model)), folder / "m.tflite", file)
