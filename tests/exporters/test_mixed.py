"""Mixed precision: an accuracy budget held by the fewest float layers, or said not to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from models.mixed_models import PLANTED, save_case

from edgebench.artifact import Artifact, Format, Precision, read_manifest
from edgebench.datasets import Dataset, load_dataset
from edgebench.errors import ConfigError, DataError, InputError
from edgebench.exporters.export import ExportRequest, ExportResult, export
from edgebench.exporters.mixed_budget import mixed_settings
from edgebench.exporters.source import open_source


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache in the test's folder."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """Return a model of which int8 destroys one layer, its nodes without names, and labelled images."""
    model, data = save_case(tmp_path_factory.mktemp("planted"), planted=True, names=False)
    return model, load_dataset(str(data))


def made(
    model: Path, data: Dataset | None, out: Path, drop: str, max_float: str = "50%", **more: Any
) -> ExportResult:
    """Export a model to w8a8 ONNX with a budget."""
    settings: dict[str, Any] = {"formats": (Format.ONNX,), "precisions": (Precision.W8A8,), **more}
    return export(
        ExportRequest(
            source=open_source(str(model)),
            out=out,
            name="net",
            calibration=data,
            parity_data=data,
            mixed=mixed_settings(drop, max_float),
            **settings,
        )
    )


@pytest.fixture(scope="module")
def held(
    planted: tuple[Path, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportResult, Path]:
    """Return what the planted model's export with a budget of half a point gave, and its folder."""
    out = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_CACHE", str(out / "cache"))
        return made(*planted, out, "0.5pp"), out


def floats(artifact: Artifact) -> Sequence[str]:
    """Return the layers that an artifact keeps in float."""
    assert artifact.mixed is not None
    return artifact.mixed.trial.floats


def test_the_layer_that_int8_destroys_stays_float(
    planted: tuple[Path, Dataset], held: tuple[ExportResult, Path]
) -> None:
    """One layer costs 20 points: it alone is float, the budget is held, and the manifest says how."""
    result, out = held
    (artifact,) = result.artifacts
    assert result.held
    assert artifact.mixed is not None
    assert floats(artifact) == (PLANTED,)
    assert artifact.mixed.trials[0].floats == ()
    assert artifact.mixed.trials[0].drop > 0.1
    assert artifact.mixed.trial.drop <= artifact.mixed.allowed == 0.005
    assert artifact.mixed.trial.samples == len(planted[1]) // 2
    assert artifact.mixed.trial.size_bytes == artifact.size_bytes
    assert artifact.calibration is not None
    assert artifact.calibration.samples == len(planted[1]) // 2
    assert read_manifest(out / "net.w8a8.onnx") == artifact
    assert any("not proven" in note and "more labels" in note for note in result.notes)


def test_onnx_runtime_leaves_the_float_layer_in_float(
    held: tuple[ExportResult, Path], tmp_path: Path
) -> None:
    """A float Conv between int8 ones is still one when ONNX Runtime has optimized the file."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(held[1] / "net.w8a8.onnx", options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("Conv") + operators.count("FusedConv") == 1
    assert operators.count("QLinearConv") == 3


def test_the_same_request_gives_the_same_bytes(
    planted: tuple[Path, Dataset], held: tuple[ExportResult, Path], tmp_path: Path
) -> None:
    """Another export chooses the same layers by the same trials, and writes the same file."""
    first, second = held[0].artifacts[0], made(*planted, tmp_path, "0.5pp").artifacts[0]
    assert first.sha256 == second.sha256
    assert first.mixed == second.mixed


def test_data_without_labels_is_refused(planted: tuple[Path, Dataset], tmp_path: Path) -> None:
    """A budget on the accuracy needs labels; nothing is converted first."""
    model, data = planted
    with pytest.raises(DataError, match="has no labels"):
        made(model, replace(data, labels=None), tmp_path / "out", "1pp")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("settings", [{}, {"calib_random": True}])
def test_no_data_is_refused(planted: tuple[Path, Dataset], tmp_path: Path, settings: dict[str, Any]) -> None:
    """Without data, or with random numbers, there is nothing to measure a drop on."""
    with pytest.raises(ConfigError, match=r"needs (labelled )?data"):
        made(planted[0], None, tmp_path / "out", "1pp", **settings)


def test_too_few_samples_are_refused(planted: tuple[Path, Dataset], tmp_path: Path) -> None:
    """Thirty samples leave fifteen to measure on."""
    model, data = planted
    assert data.labels is not None
    few = replace(data, inputs=(data.inputs[0][:30],), labels=data.labels[:30])
    with pytest.raises(DataError, match="has 30 samples"):
        made(model, few, tmp_path / "out", "1pp")


def test_a_budget_without_int8_is_refused(planted: tuple[Path, Dataset], tmp_path: Path) -> None:
    """Nothing but fp32 is made: the budget has nothing to hold."""
    with pytest.raises(ConfigError, match="is for w8a8"):
        made(*planted, tmp_path / "out", "1pp", precisions=(Precision.FP32,))


def test_labels_of_other_classes_are_refused(planted: tuple[Path, Dataset], tmp_path: Path) -> None:
    """A label that the model has no class for ends the export with a word on it."""
    model, data = planted
    assert data.labels is not None
    with pytest.raises(InputError, match="does not fit the model, which has 6 classes"):
        made(model, replace(data, labels=data.labels + 9), tmp_path / "out", "1pp")
