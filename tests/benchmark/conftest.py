"""Small models made by code, with the manifests that a benchmark reads."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebench.artifact import Artifact, Format, Precision, SourceRecord, TensorSpec
from edgebench.benchmark.native.build import Target, build, find_compiler
from edgebench.datasets import Dataset
from edgebench.errors import ConfigError
from edgebench.storage import sha256_bytes, sha256_path

Made = tuple[Artifact, Path]


def _linear(path: Path, weight: np.ndarray, batch: int | str) -> None:
    features, classes = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


@pytest.fixture
def linear(tmp_path: Path) -> Callable[..., Made]:
    """Return a maker of linear classifiers: ONNX files with their manifests."""

    def make(
        name: str = "linear.fp32.onnx", *, weight: np.ndarray | None = None, batch: int | str = "n"
    ) -> Made:
        matrix = np.eye(4) if weight is None else weight
        path = tmp_path / "models" / name
        path.parent.mkdir(exist_ok=True)
        _linear(path, matrix, batch)
        return manifest(path, (batch, matrix.shape[0]), (batch, matrix.shape[1])), path

    return make


@pytest.fixture
def hungry(tmp_path: Path) -> Made:
    """Return a model that asks for 40 GB at its first call."""
    path = tmp_path / "hungry.onnx"
    shape = numpy_helper.from_array(np.array([100_000, 100_000], np.int64), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["large"]),
            helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["scores"]),
        ],
        "hungry",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [shape],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return manifest(path, (1, 4), (1, 4)), path


def manifest(
    path: Path,
    takes: tuple[int | str, ...],
    gives: tuple[int | str, ...],
    *,
    form: Format = Format.ONNX,
    dtype: str = "float32",
) -> Artifact:
    """Return a manifest of a model file with one input and one output."""
    shapes = [tuple(-1 if isinstance(size, str) else size for size in shape) for shape in (takes, gives)]
    return Artifact(
        name="linear",
        path=path.name,
        format=form,
        precision=Precision.FP32,
        sha256=sha256_path(path),
        size_bytes=path.stat().st_size,
        inputs=(TensorSpec("x", shapes[0], dtype),),
        outputs=(TensorSpec("scores", shapes[1], dtype),),
        source=SourceRecord("made by a test", "onnx", "0"),
    )


@pytest.fixture
def described() -> Callable[..., Artifact]:
    """Return the maker of manifests."""
    return manifest


@pytest.fixture
def dataset() -> Callable[..., Dataset]:
    """Return a maker of data sets from arrays."""

    def make(*inputs: np.ndarray, labels: np.ndarray | None = None) -> Dataset:
        content = b"".join(array.tobytes() for array in inputs)
        content += b"" if labels is None else labels.tobytes()
        return Dataset("made by a test", inputs, labels, sha256_bytes(content))

    return make


@pytest.fixture(scope="session")
def native_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the native runner, built by this machine's compiler."""
    here = Target(platform.machine())
    try:
        find_compiler(here)
    except ConfigError as err:
        pytest.skip(f"{err.message}: {err.hint}, enables this test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build(here)
