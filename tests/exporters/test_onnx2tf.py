"""ONNX to TFLite through onnx2tf: its environment is whole or absent, its files answer as the ONNX does."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from onnx import TensorProto, helper, numpy_helper
from processes import processes_of, wait_until

from edgebench.artifact import Format, Precision
from edgebench.errors import ExportError, MissingExtraError, StorageError
from edgebench.exporters import parity
from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.inspect import Description, describe
from edgebench.exporters.onnx2tf import (
    PYTHON,
    REQUIREMENTS,
    create_environment,
    environment_python,
    to_tflite,
)
from edgebench.exporters.samples import read_samples
from edgebench.exporters.source import open_source
from edgebench.storage import sha256_path

NEAR = 1e-3


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the test's own, in use."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEBENCH_CACHE", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_without_the_environment_the_error_says_how_to_get_it(cache: Path, tmp_path: Path) -> None:
    """Nothing is installed behind the user's back: the command that creates the environment is the hint."""
    with pytest.raises(MissingExtraError) as caught:
        to_tflite(job(save_classifier(tmp_path / "m.onnx"), tmp_path))
    assert caught.value.hint == "edgebench doctor --fix onnx2tf"
    assert not cache.exists()


def test_an_operator_of_a_runtimes_own_is_named(cache: Path, tmp_path: Path) -> None:
    """What is not ONNX's own is refused with operator and node before any environment is needed."""
    node = helper.make_node("Gelu", ["x"], ["y"], name="the_node", domain="com.microsoft")
    model = save(tmp_path / "m.onnx", [node], {"x": [1, 4]}, {"y": [1, 4]})
    with pytest.raises(ExportError, match=r"operator com\.microsoft\.Gelu \(node the_node\)"):
        to_tflite(job(model, tmp_path))
    assert not cache.exists()


def pretend(cache: Path, script: str, *, pins: str | None = None) -> Path:
    """Make an environment whose interpreter is a shell script that gets the job file as its third word."""
    folder = cache / "envs" / "onnx2tf"
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    record = {"requirements_sha256": pins or sha256_path(REQUIREMENTS)}
    (folder / "edgebench.json").write_text(json.dumps(record))
    return python


def test_an_environment_of_other_pins_is_not_used(cache: Path) -> None:
    """Only an environment made from this release's requirements counts as there."""
    assert environment_python() is None
    python = pretend(cache, "exit 0", pins="of an older release")
    assert environment_python() is None
    shutil.rmtree(cache)
    assert pretend(cache, "exit 0") == environment_python() == python
    python.unlink()
    assert environment_python() is None


TRACEBACK = r"""printf '\033[31mERROR:\033[0m onnx_op_name: hidden\n'
echo Traceback:
echo '  File x'
echo 'some.module.ValueError: shapes differ'
exit 1"""
FAILURES = {
    "an exception": (TRACEBACK, "at the operator Gemm (node hidden): some.module.ValueError: shapes differ"),
    "a crash": ("echo some last words; kill -SEGV $$", "onnx2tf failed (-11): some last words"),
    "no result": ("exit 0", "onnx2tf failed (0)"),
    "a refusal": (
        'echo \'{"error": "cannot express X"}\' > "$(dirname "$3")/result.json"; exit 1',
        "m.onnx: cannot express X",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_conversion_says_where_it_stopped(kind: str, cache: Path, tmp_path: Path) -> None:
    """The node, the last exception or the last words of onnx2tf are in the error; no file is left."""
    script, words = FAILURES[kind]
    pretend(cache, script)
    with pytest.raises(ExportError) as caught:
        to_tflite(job(save_classifier(tmp_path / "m.onnx"), tmp_path))
    assert words in caught.value.message
    assert not (tmp_path / "m.tflite").exists()


def needs_interpreter() -> None:
    """Skip where there is no Python of the release that the pins have wheels for."""
    name = "python{}.{}".format(*PYTHON)
    if sys.version_info[:2] != PYTHON and shutil.which(name) is None:
        pytest.skip(f"the onnx2tf environment needs {name}: put it on PATH")


def left_in(cache: Path) -> list[str]:
    """Return what an attempt to create the environment left, besides its lock."""
    return [path.name for path in (cache / "envs").iterdir() if path.name != ".lock"]


def test_what_pip_refuses_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry the creation ends in pip's last lines and a hint; no half-made folder stays."""
    needs_interpreter()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ExportError, match="could not be created") as caught:
        create_environment()
    assert "No matching distribution" in caught.value.message
    assert "registry" in str(caught.value.hint)
    assert left_in(cache) == []
    assert environment_python() is None


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache below a plain file is an error that names the setting which moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="cannot be written") as caught:
        create_environment()
    assert "EDGEBENCH_CACHE" in str(caught.value.hint)


@pytest.fixture
def silent_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a package registry on loopback that accepts and never answers; pip is pointed at it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        for name in ("HTTP_PROXY", "http_proxy", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        yield server


def creating() -> subprocess.Popen[str]:
    """Start creating the environment in a process of its own."""
    code = "from edgebench.exporters.onnx2tf import create_environment; create_environment()"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_interrupted_creation_leaves_nothing_and_a_second_is_refused(
    cache: Path, silent_registry: socket.socket
) -> None:
    """While pip works a second creation is refused; Ctrl-C then leaves no folder and no process."""
    needs_interpreter()
    with creating() as process:
        connection, _ = silent_registry.accept()
        with connection:
            with pytest.raises(StorageError, match="another edgebench is creating"):
                create_environment()
            assert len(left_in(cache)) == 1
            process.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert left_in(cache) == []
    assert wait_until(lambda: not processes_of(cache))


def test_killed_creation_is_never_used_and_is_cleared(
    cache: Path, silent_registry: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed creation left is not taken for an environment, and the next creation removes it."""
    needs_interpreter()
    with creating() as process:
        connection, _ = silent_registry.accept()
        process.kill()
        process.communicate(timeout=30)
        connection.close()
    silent_registry.close()
    assert len(left_in(cache)) == 1
    assert environment_python() is None
    assert wait_until(lambda: not processes_of(cache), seconds=60)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ExportError):
        create_environment()
    assert left_in(cache) == []


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


@pytest.mark.acceptance
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


@pytest.mark.acceptance
@pytest.mark.assets
def test_an_old_opset_is_converted(environment: Path, assets: Path, tmp_path: Path) -> None:
    """CNTK's MNIST network of opset 7 answers alike on real digits; logits reach 8,000."""
    assert environment.exists()
    with gzip.open(assets / "mnist" / "data" / "t10k-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    made = convert(assets / "mnist" / "models" / "cntk_mnist.onnx", tmp_path, pixels[:64].astype(np.float32))
    assert borders(made) == ({"Input3": (1, 1, 28, 28)}, {"Plus214_Output_0": (1, 10)})


@pytest.mark.acceptance
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


@pytest.mark.acceptance
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


@pytest.mark.acceptance
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


@pytest.mark.acceptance
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


@pytest.mark.acceptance
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
