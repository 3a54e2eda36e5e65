"""ONNX to TFLite through onnx2tf: its files answer as the ONNX does, with the ONNX's border."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_builders import job, normal, save

from edgebench.artifact import Format, Precision
from edgebench.errors import ExportError
from edgebench.exporters import parity
from edgebench.exporters.inspect import Description, describe
from edgebench.exporters.onnx2tf import environment_python, to_tflite
from edgebench.exporters.samples import read_samples

pytestmark = pytest.mark.acceptance
NEAR = 1e-3


@pytest.fixture
def environment() -> Path:
    """Return the interpreter of the real environment, or skip, saying how to create it."""
    python = environment_python()
    if python is None:
        pytest.skip("the onnx2tf environment is absent: edgebench doctor --fix onnx2tf")
    return python


def convert(model: Path, folder: Path, *samples: np.ndarray) -> Description:
    """Convert, require that the TFLite file answers as ONNX Runtime does, and return what it is.

    The bound is absolute, and relative above outputs of 1000, where float32 itself is that coarse.
    """
    result = to_tflite(job(model, folder, samples))
    out = folder / "m.tflite"
    assert result.reference is not None
    with np.load(result.reference) as stored:
        wanted = [stored[f"out_{index}"] for index in range(len(stored.files))]
    for given, reference in zip(
        parity.answers(out, Format.TFLITE, read_samples(result.samples)), wanted, strict=True
    ):
        assert given.shape == reference.shape
        assert np.abs(reference).max() > 1e-3
        np.testing.assert_allclose(given, reference, atol=NEAR, rtol=1e-6)
    description = describe(out, Format.TFLITE)
    assert description.precision is Precision.FP32
    return description


def borders(description: Description) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return inputs and outputs in their order: name → shape."""
    inputs, outputs = ({s.name: s.shape for s in d} for d in (description.inputs, description.outputs))
    return inputs, outputs


@pytest.mark.assets
@pytest.mark.parametrize("name", ["version-slim-320", "version-slim-320_without_postprocessing"])
def test_the_face_detector_is_converted(name: str, environment: Path, assets: Path, tmp_path: Path) -> None:
    """185 graph inputs of which one is real: it stays NCHW, boxes and scores keep their order."""
    from PIL import Image

    assert environment.exists()
    photographs = [
        np.asarray(Image.open(assets / "ultraface_dev" / "data" / file).convert("RGB").resize((320, 240)))
        for file in ("1.jpg", "11.jpg")
    ]
    images = ((np.stack(photographs).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
    made = convert(assets / "ultraface_dev" / "models" / f"{name}.onnx", tmp_path, images)
    outputs = {"scores": (1, 4420, 2), "boxes": (1, 4420, 4)}
    assert borders(made) == ({"input": (1, 3, 240, 320)}, outputs)


@pytest.mark.assets
def test_an_old_opset_is_converted(environment: Path, assets: Path, tmp_path: Path) -> None:
    """CNTK's MNIST network of opset 7 answers alike on real digits; logits reach 8,000."""
    assert environment.exists()
    with gzip.open(assets / "mnist" / "data" / "t10k-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    made = convert(assets / "mnist" / "models" / "cntk_mnist.onnx", tmp_path, pixels[:64].astype(np.float32))
    assert borders(made) == ({"Input3": (1, 1, 28, 28)}, {"Plus214_Output_0": (1, 10)})


@pytest.mark.assets
def test_an_onnx_that_came_from_tensorflow_is_converted(
    environment: Path, assets: Path, tmp_path: Path
) -> None:
    """A keyword spotter whose ONNX is NHWC already answers alike on real features."""
    assert environment.exists()
    with np.load(assets / "mlperf_tiny_kws" / "data" / "kws01.npz") as data:
        features = (data["x"][:64].astype(np.float32) - 83) * np.float32(0.5847029)
    made = convert(assets / "mlperf_tiny_kws" / "models" / "alibaba_model_kws.onnx", tmp_path, features)
    assert borders(made) == ({"x": (1, 49, 10, 1)}, {"Identity": (1, 12)})


def convolutions(path: Path) -> tuple[Path, list[np.ndarray]]:
    """Write an NCHW network as PyTorch's are: a residual block, a map and classes as outputs."""
    node = helper.make_node
    weights = {
        "w1": normal(8, 3, 3, 3) / 3,
        "s": np.abs(normal(8)),
        "b": normal(8),
        "v": np.abs(normal(8)) + 1,
        "w2": normal(8, 1, 3, 3) / 2,
        "w3": normal(16, 8, 1, 1),
        "w4": normal(16, 3, 1, 1),
        "fc": normal(16, 5),
        "fb": normal(5),
    }
    nodes = [
        node("Conv", ["image.in", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "s", "b", "b", "v"], ["n1"]),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], group=8, pads=[1, 1, 1, 1]),
        node("HardSwish", ["c2"], ["h2"]),
        node("Conv", ["h2", "w3"], ["c3"]),
        node("Conv", ["image.in", "w4"], ["short"], strides=[2, 2]),
        node("Add", ["c3", "short"], ["map/0"]),
        node("MaxPool", ["map/0"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["p"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "fc", "fb"], ["logits"]),
        node("Softmax", ["logits"], ["class prob"]),
    ]
    outputs = {"map/0": ["n", 16, 16, 16], "class prob": ["n", 5]}
    return save(path, nodes, {"image.in": ["n", 3, 32, 32]}, outputs, weights), [normal(8, 3, 32, 32)]


def transformer(path: Path) -> tuple[Path, list[np.ndarray]]:
    """Write one block: embedding, self-attention that is also an output, LayerNorm, GELU by Erf."""
    node = helper.make_node
    square = {name: normal(8, 8) / 3 for name in ("wq", "wk", "wv")}
    weights = {**square, "emb": normal(30, 8), "g": normal(8), "b": normal(8)}
    weights |= {"w1": normal(8, 16) / 2, "w2": normal(16, 8) / 2, "r2": np.array([2**-0.5], np.float32)}
    weights |= {"one": np.ones(1, np.float32), "half": np.full(1, 0.5, np.float32)}
    nodes = [
        node("Gather", ["emb", "tokens"], ["e"]),
        *(node("MatMul", ["e", f"w{name}"], [name]) for name in "qkv"),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["s"]),
        node("Softmax", ["s"], ["attention"], axis=-1),
        node("MatMul", ["attention", "v"], ["a"]),
        node("Add", ["a", "e"], ["r"]),
        node("LayerNormalization", ["r", "g", "b"], ["ln"], axis=-1),
        node("MatMul", ["ln", "w1"], ["m"]),
        node("Mul", ["m", "r2"], ["scaled"]),
        node("Erf", ["scaled"], ["erf"]),
        node("Add", ["erf", "one"], ["shifted"]),
        node("Mul", ["m", "shifted"], ["twice"]),
        node("Mul", ["twice", "half"], ["gelu"]),
        node("MatMul", ["gelu", "w2"], ["y"]),
    ]
    outputs = {"y": ["n", 8, 8], "attention": ["n", 8, 8]}
    model = save(path, nodes, {"tokens": ["n", 8]}, outputs, weights, tokens=TensorProto.INT64)
    return model, [np.random.default_rng(0).integers(0, 30, (16, 8))]


def perceptron(path: Path) -> tuple[Path, list[np.ndarray]]:
    """Write a network of three inputs, one of them unused, and two outputs, none in alphabetical order."""
    node = helper.make_node
    nodes = [
        node("Gemm", ["zebra", "w1"], ["h1"]),
        node("MatMul", ["in", "w2"], ["h2"]),
        node("Add", ["h1", "h2"], ["h"]),
        node("Tanh", ["h"], ["second"]),
        node("MatMul", ["second", "w3"], ["first"]),
    ]
    weights = {"w1": normal(6, 8), "w2": normal(3, 8), "w3": normal(8, 4)}
    inputs: dict[str, Sequence[int | str]] = {"zebra": ["n", 6], "in": ["n", 3], "unused": ["n", 2]}
    model = save(path, nodes, inputs, {"second": ["n", 8], "first": ["n", 4]}, weights)
    return model, [normal(8, 6), normal(8, 3), normal(8, 2)]


def newest(path: Path) -> tuple[Path, list[np.ndarray]]:
    """Write operators of opset 23, which onnxsim does not know, behind a transposed convolution."""
    node = helper.make_node
    nodes = [
        node("ConvTranspose", ["x", "w"], ["c"], strides=[2, 2]),
        node("GroupNormalization", ["c", "s", "b"], ["map"], num_groups=2),
        node("Flatten", ["map"], ["f"]),
        node("RMSNormalization", ["f", "r"], ["y"]),
    ]
    weights = {"w": normal(3, 4, 3, 3), "s": normal(4), "b": normal(4), "r": normal(484)}
    outputs: dict[str, Sequence[int | str]] = {"y": ["n", 484], "map": ["n", 4, 11, 11]}
    return save(path, nodes, {"x": ["n", 3, 5, 5]}, outputs, weights, opset=23), [normal(8, 3, 5, 5)]


BORDERS = {
    convolutions: ({"image_in": (1, 3, 32, 32)}, {"map_0": (1, 16, 16, 16), "class_prob": (1, 5)}),
    transformer: ({"tokens": (1, 8)}, {"y": (1, 8, 8), "attention": (1, 8, 8)}),
    perceptron: ({"zebra": (1, 6), "in_": (1, 3), "unused": (1, 2)}, {"second": (1, 8), "first": (1, 4)}),
    newest: ({"x": (1, 3, 5, 5)}, {"y": (1, 484), "map": (1, 4, 11, 11)}),
}


@pytest.mark.parametrize("build", BORDERS)
def test_the_onnx_keeps_axes_names_and_order(
    build: Callable[[Path], tuple[Path, list[np.ndarray]]], environment: Path, tmp_path: Path
) -> None:
    """Whatever onnx2tf turned inside, the file takes and gives what the ONNX does, under its names."""
    assert environment.exists()
    model, samples = build(tmp_path / "m.onnx")
    made = convert(model, tmp_path, *samples)
    inputs, outputs = borders(made)
    assert list(inputs.items()) == list(BORDERS[build][0].items())
    assert list(outputs.items()) == list(BORDERS[build][1].items())


@pytest.mark.torch
def test_what_pytorch_exports_is_converted(environment: Path, tmp_path: Path) -> None:
    """A transformer layer from torch.onnx, its batch open, answers alike without data being given."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebench[torch]'")
    assert environment.exists()
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu").eval()
    shapes = ({0: torch.export.Dim("batch")},)
    example, path = (torch.randn(2, 12, 16),), tmp_path / "m.onnx"
    options = {"dynamo": True, "external_data": False, "verbose": False, "input_names": ["src"]}
    torch.onnx.export(layer, example, path, dynamic_shapes=shapes, output_names=["out"], **options)
    assert borders(convert(path, tmp_path)) == ({"src": (1, 12, 16)}, {"out": (1, 12, 16)})


REFUSED: dict[str, tuple[int, Sequence[int | str], str]] = {
    "Det": (17, ["n"], "cannot express in TFLite"),
    "Cosh": (17, ["n", 4, 4], "cannot express in TFLite"),
    "Swish": (24, ["n", 4, 4], "cannot express in TFLite"),
    "Bernoulli": (17, ["n", 4, 4], "onnx2tf failed"),
}
"""Operator → its operator set, what it gives, and how it ends; onnx2tf does not know the third, and fails
at the fourth."""


@pytest.mark.parametrize("operator", REFUSED)
def test_an_operator_that_tflite_lacks_is_named(operator: str, environment: Path, tmp_path: Path) -> None:
    """An operator of ONNX's own that TFLite cannot express ends in its name and its node's."""
    assert environment.exists()
    opset, shape, words = REFUSED[operator]
    node = helper.make_node(operator, ["x"], ["y"], name="the_node")
    model = save(tmp_path / "m.onnx", [node], {"x": ["n", 4, 4]}, {"y": shape}, opset=opset)
    with pytest.raises(ExportError, match=rf"operator {operator} \(node the_node\)") as caught:
        to_tflite(job(model, tmp_path))
    assert words in caught.value.message
    assert len(caught.value.message.splitlines()) == 1
    assert len(caught.value.message) < 500


def test_no_network_is_needed(environment: Path, tmp_path: Path) -> None:
    """In a network namespace without any interface the conversion works: nothing is downloaded."""
    assert environment.exists()
    isolated = ["unshare", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*isolated, "true"], check=False).returncode:
        pytest.skip("making a network namespace needs root: run the tests as root to enable this one")
    model, samples = convolutions(tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path\n"
        "from edgebench.exporters.converters import ConversionJob\n"
        "from edgebench.exporters.onnx2tf import to_tflite\n"
        "from edgebench.exporters.source import open_source\n"
        "model, out, samples = sys.argv[1:]\n"
        "to_tflite(ConversionJob(open_source(model), Path(out), Path(samples)))\n"
    )
    work = job(model, tmp_path, samples)
    argv = [*isolated, sys.executable, "-c", code, str(model), str(work.out), str(work.samples)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [spec.name for spec in describe(work.out, Format.TFLITE).inputs] == ["image_in"]
