"""PyTorch factories and archives to ONNX and TFLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgebench.artifact import Format
from edgebench.errors import ExportError, InputError
from edgebench.exporters import parity
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.inspect import describe
from edgebench.exporters.source import open_source

torch = pytest.importorskip("torch", reason="needs pip install 'edgebench[torch]'")
pytestmark = pytest.mark.torch

from edgebench.exporters import onnx_file, tflite_file, torch_source  # noqa: E402 - needs torch

Convert = Callable[[ConversionJob], ConversionResult]


def job(
    model: Path, factory: str, out: Path, *arrays: np.ndarray, shape: tuple[int, ...] = ()
) -> ConversionJob:
    """Return a job for one factory of the test's file, with samples or a shape."""
    source = open_source(f"{model}:{factory}", input_shapes=[shape] if shape else [])
    samples = None
    if arrays:
        samples = out.with_suffix(".npz")
        np.savez(samples, **{f"in_{index}": array for index, array in enumerate(arrays)})
    return ConversionJob(source, out, samples)


def noise(*shape: int) -> np.ndarray:
    """Return normally distributed float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def reference(result: ConversionResult) -> list[np.ndarray]:
    """Return the source's own answers, output by output."""
    assert result.reference is not None
    with np.load(result.reference) as stored:
        return [stored[f"out_{index}"] for index in range(len(stored.files))]


def test_onnx_has_an_open_batch_and_the_models_answers(model: Path, tmp_path: Path) -> None:
    """Names are forward's, the batch is open and called so, and the answers are the module's."""
    x = noise(5, 3, 8, 8)
    result = torch_source.to_onnx(job(model, "build", tmp_path / "m.onnx", x))
    session = onnx_file.open_session(tmp_path / "m.onnx", "m")
    (entry,) = session.get_inputs()
    assert (entry.name, entry.shape) == ("image", ["batch", 3, 8, 8])
    np.testing.assert_allclose(onnx_file.answer(session, [x])[0], reference(result)[0], atol=1e-5)


def test_onnx_tells_nothing_of_its_makers_machine(model: Path, tmp_path: Path) -> None:
    """The exporter's stack traces, with the maker's paths, are not shipped."""
    torch_source.to_onnx(job(model, "build", tmp_path / "m.onnx", shape=(1, 3, 8, 8)))
    content = (tmp_path / "m.onnx").read_bytes()
    assert str(model.parent).encode() not in content
    assert b"site-packages" not in content
    assert not onnx.load(tmp_path / "m.onnx").graph.node[0].metadata_props


def test_tflite_keeps_axes_and_answers(model: Path, tmp_path: Path) -> None:
    """TFLite takes channels first as the module does, one sample a call, and answers alike."""
    x = noise(5, 3, 8, 8)
    result = torch_source.to_tflite(job(model, "build", tmp_path / "m.tflite", x))
    interpreter = tflite_file.open_interpreter(tmp_path / "m.tflite", "m")
    (inputs,), _ = tflite_file.tensor_specs(interpreter)
    assert (inputs.name, inputs.shape) == ("image", (1, 3, 8, 8))
    given = np.concatenate([tflite_file.answer(interpreter, [x[i : i + 1]])[0] for i in range(5)])
    np.testing.assert_allclose(given, reference(result)[0], atol=1e-5)


@pytest.mark.parametrize("convert", [torch_source.to_onnx, torch_source.to_tflite])
def test_inputs_and_outputs_keep_names_and_order(model: Path, tmp_path: Path, convert: Convert) -> None:
    """Two inputs and two named outputs come in the module's order, not the alphabet's."""
    fmt = "onnx" if convert is torch_source.to_onnx else "tflite"
    path = tmp_path / f"m.{fmt}"
    x, y = noise(1, 4), noise(1, 4) + 5
    result = convert(job(model, "two", path, x, y))
    if fmt == "onnx":
        session = onnx_file.open_session(path, "m")
        specs = [
            onnx_file.session_specs(entries) for entries in (session.get_inputs(), session.get_outputs())
        ]
        given = onnx_file.answer(session, [x, y])
    else:
        interpreter = tflite_file.open_interpreter(path, "m")
        specs = list(tflite_file.tensor_specs(interpreter))
        given = tflite_file.answer(interpreter, [x, y])
    assert [[spec.name for spec in side] for side in specs] == [["zebra", "apple"], ["second", "first"]]
    for wanted, got in zip(reference(result), given, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("convert", [torch_source.to_onnx, torch_source.to_tflite])
def test_tokens_are_taken_as_integers(model: Path, tmp_path: Path, convert: Convert) -> None:
    """A text model takes tokens as integers and a mask as floats, in both formats."""
    fmt = Format.ONNX if convert is torch_source.to_onnx else Format.TFLITE
    path = tmp_path / f"m.{fmt}"
    tokens = np.random.default_rng(0).integers(0, 20, (4, 7))
    mask = np.ones((4, 7), np.float32)
    result = convert(job(model, "text", path, tokens, mask))
    assert describe(path, fmt).inputs[0].dtype in ("int64", "int32")
    given = parity.answers(path, fmt, [tokens, mask])
    np.testing.assert_allclose(given[0], reference(result)[0], atol=1e-5)


def test_an_archive_goes_to_both_formats(tmp_path: Path) -> None:
    """A .pt2 with an open batch becomes ONNX with an open batch and TFLite with batch 1."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes={"input": {0: batch}})
    torch.export.save(program, tmp_path / "m.pt2")
    x = noise(6, 4)
    np.savez(tmp_path / "s.npz", in_0=x)
    for convert, name in ((torch_source.to_onnx, "m.onnx"), (torch_source.to_tflite, "m.tflite")):
        source = open_source(str(tmp_path / "m.pt2"))
        result = convert(ConversionJob(source, tmp_path / name, tmp_path / "s.npz"))
        np.testing.assert_allclose(reference(result)[0], module(torch.from_numpy(x)).detach(), atol=1e-6)
    assert onnx_file.open_session(tmp_path / "m.onnx", "m").get_inputs()[0].shape == ["batch", 4]


@pytest.mark.parametrize(
    ("convert", "target"), [(torch_source.to_onnx, "ONNX"), (torch_source.to_tflite, "TFLite")]
)
def test_an_operator_that_the_target_lacks_is_named(
    model: Path, tmp_path: Path, convert: Convert, target: str
) -> None:
    """Eigenvalues exist in neither format: operator and node are named."""
    with pytest.raises(
        ExportError, match=rf"{target} cannot express the operator aten.linalg_eig.*node linalg_eig"
    ):
        convert(job(model, "eigen", tmp_path / "m.out", shape=(1, 4, 4)))


def test_a_fixed_batch_is_told(model: Path, tmp_path: Path) -> None:
    """A module that depends on its batch is exported for one sample, and a note says so."""
    result = torch_source.to_onnx(job(model, "fixed", tmp_path / "m.onnx", shape=(1, 4, 4)))
    assert any("batch is fixed at 1: the module fails on two samples (" in note for note in result.notes)
    assert onnx_file.open_session(tmp_path / "m.onnx", "m").get_inputs()[0].shape == [1, 4, 4]


def test_the_modules_own_example_tells_the_shape(model: Path, tmp_path: Path) -> None:
    """With `example_inputs` neither data nor --input-shape is needed; random samples are compared."""
    result = torch_source.to_onnx(job(model, "with_example", tmp_path / "m.onnx"))
    assert reference(result)[0].shape == (8, 5)
    assert result.samples is not None


@pytest.mark.parametrize(
    ("factory", "shape", "words"),
    [
        ("build", (), "--input-shape"),
        ("build", (1, 4, 8, 8), "fails on inputs of shape"),
        ("two", (1, 4), "takes 2 inputs"),
        ("nothing", (1, 4), "returned NoneType"),
        ("fails", (1, 4), "no such luck"),
    ],
)
def test_what_cannot_be_built_or_run_is_one_line(
    model: Path, tmp_path: Path, factory: str, shape: tuple[int, ...], words: str
) -> None:
    """An unknown or wrong shape, a missing input, a factory that fails or returns nothing."""
    with pytest.raises(InputError) as caught:
        torch_source.to_onnx(job(model, factory, tmp_path / "m.onnx", shape=shape))
    assert words in str(caught.value)
    assert "\n" not in caught.value.message
