"""The loss ladder: a fault planted at each rung is found there, and named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.ladder_models import (
    STEPS,
    UNIT,
    Case,
    edit,
    make_case,
    save_overflowing,
    scale_dequantize,
    scale_weights,
)
from processes import edgebench

from edgebench.artifact import read_manifest, write_manifest
from edgebench.calibration.target import Target, local_target
from edgebench.errors import InputError
from edgebench.exporters.inspect import adopt
from edgebench.ladder.call import ladder, ladder_table
from edgebench.ladder.record import Cause, Ladder, Step
from edgebench.options import parse_preprocessing


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Return a classifier, its faultless Q/DQ file and its data."""
    return make_case(tmp_path_factory.mktemp("case"))


def climb(
    case: Case,
    *,
    quantized: Path | None = None,
    model: Path | None = None,
    fp32: Path | None = None,
    preprocessing: str | None = STEPS,
) -> Ladder:
    """Return the ladder of the case with one thing replaced."""
    return ladder(
        str(model or case.model),
        quantized or case.quantized,
        data=str(case.data),
        fp32=fp32 or model or case.model,
        preprocessing=preprocessing,
    )


def test_a_faultless_file_loses_nothing_on_any_rung(case: Case) -> None:
    """All four rungs answer right, each named with its runtime; nothing is blamed; layers come in order."""
    found = climb(case)
    assert [rung.step for rung in found.rungs] == [
        Step.FRAMEWORK,
        Step.EXPORTED,
        Step.QUANTIZED,
        Step.TARGET,
    ]
    assert [rung.accuracy for rung in found.rungs] == [1.0] * 4
    assert all("nnx" in rung.runtime.lower() for rung in found.rungs)
    assert found.blame.cause is Cause.NONE
    assert [layer.tensor for layer in found.layers] == ["image", "r1", "r2", "p", "f", "logits"]
    assert all(layer.alone_db is not None and layer.alone_db > 20 for layer in found.layers)
    assert "no rung loses" in ladder_table(found)


# --- preprocessing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (STEPS.replace("0.485, 0.456, 0.406", "0, 0, 0"), "ImageNet's mean and deviation"),
        (STEPS.replace("layout", "colour: bgr, layout"), "channels swapped to RGB"),
    ],
    ids=["wrong mean", "swapped channels"],
)
def test_wrong_inputs_of_the_source_are_named(case: Case, wrong: str, right: str) -> None:
    """A wrong mean and swapped channels are blamed on the preprocessing, with what would be right."""
    found = climb(case, preprocessing=wrong)
    assert found.rungs[0].accuracy is not None
    assert found.rungs[0].accuracy < 0.8
    assert found.blame.cause is Cause.PREPROCESSING
    assert right in found.blame.sentence
    assert "100.0 %" in found.blame.evidence[0]


@pytest.mark.parametrize(
    "wrong",
    [STEPS.replace("0.485, 0.456, 0.406", "0, 0, 0"), STEPS.replace("layout", "colour: bgr, layout")],
    ids=["wrong mean", "swapped channels"],
)
def test_a_manifest_that_declares_another_preprocessing_is_named(
    case: Case, tmp_path: Path, wrong: str
) -> None:
    """The rung `as declared` shows what the manifest's preprocessing costs, and is blamed."""
    quantized = tmp_path / "declared.w8a8.onnx"
    quantized.write_bytes(case.quantized.read_bytes())
    write_manifest(adopt(quantized, preprocessing=parse_preprocessing(wrong)), tmp_path)
    found = climb(case, quantized=quantized)
    assert found.rungs[-1].step is Step.DECLARED
    assert found.rungs[-1].drop is not None
    assert found.rungs[-1].drop > 0.2
    assert found.blame.cause is Cause.PREPROCESSING
    assert "manifest" in found.blame.sentence
    assert "instead of" in found.blame.evidence[0]


def test_calibration_data_prepared_otherwise_is_named(case: Case, tmp_path: Path) -> None:
    """Calibrated on x/255, fed normalised inputs: the calibration is blamed, and x/255 named."""
    quantized = case.quantize(case.model, tmp_path / "unit.onnx", UNIT)
    found = climb(case, quantized=quantized)
    assert found.blame.cause is Cause.PREPROCESSING
    assert "calibrated on x/255" in found.blame.sentence
    assert found.input_fit is not None
    assert found.input_fit.calibrated == pytest.approx((0, 1), abs=0.02)
    assert found.input_fit.clipped > 0.5


# --- conversion, quantization, kernel -------------------------------------------------------------


def test_a_converter_that_changed_the_function_is_named(case: Case, tmp_path: Path) -> None:
    """Weights changed in the exported fp32 file: the conversion is blamed, not what came after it."""
    changed = edit(case.model, tmp_path / "changed.onnx", lambda net: scale_weights(net, "w2", -1.0))
    quantized = case.quantize(changed, tmp_path / "changed.w8a8.onnx")
    found = climb(case, quantized=quantized, fp32=changed)
    assert found.blame.cause is Cause.CONVERSION
    assert found.rungs[1].drop is not None
    assert found.rungs[1].drop > 0.5


def test_a_saturated_layer_is_named(case: Case, tmp_path: Path) -> None:
    """Weights grown six times behind the calibration's back: their layer clips, and is named."""
    loud = edit(case.model, tmp_path / "loud.onnx", lambda net: scale_weights(net, "w2", 6.0))
    clipped = edit(case.quantized, tmp_path / "loud.w8a8.onnx", lambda net: scale_weights(net, "w2_scale", 6))
    found = climb(case, model=loud, quantized=clipped)
    assert (found.blame.cause, found.blame.layer) == (Cause.QUANTIZATION, "r2")
    assert "r2" in found.blame.sentence


@pytest.mark.parametrize(
    ("broken", "layer", "mismatch"),
    [("r1", "r1", True), ("w1", "r1", False), ("w2", "r2", False), ("image", "image", True)],
)
def test_a_broken_scale_is_named(case: Case, tmp_path: Path, broken: str, layer: str, mismatch: bool) -> None:
    """One DequantizeLinear's scale times four: quantization is blamed, and the layer it is in.

    Where it is an activation's, that its pair does not fit together is told too.
    """
    quantized = edit(case.quantized, tmp_path / "b.onnx", lambda net: scale_dequantize(net, broken, 4.0))
    found = climb(case, quantized=quantized)
    assert (found.blame.cause, found.blame.layer) == (Cause.QUANTIZATION, layer)
    assert bool(found.mismatches) is mismatch


def test_a_kernel_that_saturates_is_named(tmp_path: Path) -> None:
    """8-bit weights beside uint8 activations on x86 without VNNI: the kernel is blamed, and why is told."""
    if local_target() is not Target.X86_AVX2:
        pytest.skip("this processor adds 8×8-bit products exactly: run it on x86 without VNNI")
    model, quantized, data = save_overflowing(tmp_path)
    found = ladder(str(model), quantized, data=str(data), fp32=model)
    exact, optimized = found.rungs[-2:]
    assert exact.sqnr_db is not None
    assert optimized.sqnr_db is not None
    assert exact.sqnr_db > 30
    assert optimized.sqnr_db < 10
    assert found.blame.cause is Cause.KERNEL
    assert any("saturates" in line for line in found.blame.evidence)


# --- what else it takes and tells -----------------------------------------------------------------


def drop_labels(case: Case, folder: Path) -> Path:
    """Write the case's images without labels."""
    with np.load(case.data) as stored:
        np.savez(folder / "plain.npz", x=stored["x"])
    return folder / "plain.npz"


def test_without_labels_the_layers_and_the_noise_still_tell(case: Case, tmp_path: Path) -> None:
    """No accuracy, and a note; a broken scale is found by churn and noise alone."""
    quantized = edit(case.quantized, tmp_path / "b.onnx", lambda net: scale_dequantize(net, "r1", 4.0))
    data = str(drop_labels(case, tmp_path))
    found = ladder(str(case.model), quantized, data=data, fp32=case.model, preprocessing=STEPS)
    assert all(rung.accuracy is None and rung.drop is None for rung in found.rungs)
    assert any("no labels" in note for note in found.notes)
    assert (found.blame.cause, found.blame.layer) == (Cause.QUANTIZATION, "r1")


def test_answers_that_are_not_numbers_are_a_problem_of_their_rung(case: Case, tmp_path: Path) -> None:
    """A quantized file that answers NaN is blamed in words, and nothing breaks off."""
    quantized = edit(case.quantized, tmp_path / "nan.onnx", lambda net: scale_dequantize(net, "logits", 3e38))
    found = climb(case, quantized=quantized)
    assert found.rungs[2].problem is not None
    assert "NaN or infinity" in found.rungs[2].problem
    assert found.blame.cause is Cause.QUANTIZATION


def test_the_fp32_file_is_found_beside_or_made(case: Case, tmp_path: Path) -> None:
    """`m.fp32.onnx` with a manifest of the same source is taken; else one is made; both are said."""
    made = ladder(str(case.model), case.quantized, data=str(case.data), preprocessing=STEPS)
    assert any("made now" in note for note in made.notes)
    source = adopt(case.model).source
    for name, content in (("m.fp32.onnx", case.model), ("m.w8a8.onnx", case.quantized)):
        (tmp_path / name).write_bytes(content.read_bytes())
        artifact = adopt(tmp_path / name, preprocessing=parse_preprocessing(STEPS))
        write_manifest(replace(artifact, source=source), tmp_path)
    beside = ladder(str(case.model), tmp_path / "m.w8a8.onnx", data=str(case.data))
    assert any("m.fp32.onnx, which lies beside" in note for note in beside.notes)
    assert beside.rungs[0].accuracy == 1.0  # the manifest's preprocessing was taken
    assert [rung.step for rung in beside.rungs] == [rung.step for rung in made.rungs]


def test_a_file_changed_after_its_export_is_told(case: Case, tmp_path: Path) -> None:
    """A manifest that does not fit its file's hash is a note; its preprocessing still counts."""
    quantized = tmp_path / "m.w8a8.onnx"
    quantized.write_bytes(case.quantized.read_bytes())
    write_manifest(adopt(quantized, preprocessing=parse_preprocessing(STEPS)), tmp_path)
    edit(quantized, quantized, lambda net: scale_dequantize(net, "r1", 4.0))
    found = climb(case, quantized=quantized, preprocessing=None, fp32=case.model)
    assert any("changed after its export" in note for note in found.notes)
    manifest = read_manifest(quantized)
    assert manifest is not None
    assert manifest.preprocessing == parse_preprocessing(STEPS)


def test_what_does_not_fit_is_refused(case: Case, tmp_path: Path) -> None:
    """An absent file, a file of another kind and data of another shape are named."""
    with pytest.raises(InputError, match=r"none\.onnx: no such file"):
        climb(case, quantized=tmp_path / "none.onnx")
    with pytest.raises(InputError, match="not an artifact of a known kind"):
        climb(case, quantized=case.data)
    with pytest.raises(InputError, match="takes samples of shape"):
        climb(case, preprocessing=UNIT.replace(", layout: nchw", ""))


def test_the_verb_prints_a_table_and_exits_0_whatever_it_finds(case: Case, tmp_path: Path) -> None:
    """`edgebench ladder` names the blame on stdout, writes the JSON, and a loss is no failure."""
    quantized = edit(case.quantized, tmp_path / "b.onnx", lambda net: scale_dequantize(net, "r1", 4.0))
    options = ["--data", str(case.data), "--fp32", str(case.model), "--preprocessing", STEPS]
    argv = ["ladder", str(case.model), str(quantized), *options, "--samples", "60", "-o", "found.json"]
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "blame    quantization" in done.stdout
    assert "quantized, reference" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["samples"] == 60
    assert found["blame"]["cause"] == "quantization"
    assert found["blame"]["layer"] == "r1"
