"""TFLite files as sources: the float file itself is the fp32 base, quantized ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models.small_tflite import save_tflite, weights
from tiny_pipelines import write_onnx_pipeline

from edgebench import api
from edgebench.artifact import Format, Precision
from edgebench.calibration.table import read_table
from edgebench.datasets import Dataset
from edgebench.errors import InputError, ModelError
from edgebench.exporters.calibrate_model import CalibrateRequest, calibrate_model
from edgebench.exporters.export import ExportRequest, ExportResult, export
from edgebench.exporters.source import open_source
from edgebench.exporters.tflite_renew import renewed
from edgebench.exporters.tflite_source import check_float
from edgebench.storage import sha256_bytes, sha256_path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache in the test's folder."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def vectors(*shape: int, count: int = 64, scale: float = 1.0) -> Dataset:
    """Return random samples without labels."""
    x = np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32) * np.float32(scale)
    return Dataset("vectors", (x,), None, sha256_bytes(x.tobytes()))


def exported(model: Path, out: Path, data: Dataset, **settings: Any) -> ExportResult:
    """Export a TFLite file on data."""
    given: dict[str, Any] = {
        "formats": (Format.TFLITE,),
        "precisions": (Precision.FP32, Precision.W8A8),
        "calibration": data,
        **settings,
    }
    return export(ExportRequest(open_source(str(model)), out=out, name="net", parity_data=data, **given))


@pytest.mark.parametrize("signature", [True, False])
@pytest.mark.parametrize("old_codes", [True, False])
def test_a_float_file_is_quantized(signature: bool, old_codes: bool, tmp_path: Path) -> None:
    """With a signature or not, operators numbered in either way: fp32 is the file, w8a8 is near it."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    model = save_tflite(tmp_path / "m.tflite", signature=signature, old_codes=old_codes)
    fp32, int8 = exported(model, tmp_path / "out", vectors(16)).artifacts
    assert fp32.sha256 == sha256_path(model)
    assert fp32.steps == ("TFLite as it is",)
    assert [spec.name for spec in (*int8.inputs, *int8.outputs)] == ["x", "logits"]
    assert int8.parity is not None
    assert int8.parity.sqnr_db is not None
    assert int8.parity.sqnr_db > 30
    assert int8.calibration is not None


def test_a_file_that_is_read_already_is_not_written_anew(tmp_path: Path) -> None:
    """With a signature and operators as numbered today the bytes stay."""
    content = save_tflite(tmp_path / "m.tflite", signature=True).read_bytes()
    assert renewed(content) is content


def test_other_formats_are_skipped_or_refused(tmp_path: Path) -> None:
    """TFLite is not made into ONNX: skipped beside TFLite, and refused with what to do where asked alone."""
    model = save_tflite(tmp_path / "m.tflite")
    result = api.export(str(model), out=tmp_path / "out", formats="onnx,tflite")
    assert [artifact.format for artifact in result.artifacts] == [Format.TFLITE]
    assert result.skipped[0].reason == "tflite is not converted to onnx"
    with pytest.raises(InputError, match="not converted to onnx") as caught:
        api.export(str(model), out=tmp_path / "two", formats="onnx")
    assert caught.value.hint == "take format tflite, or export the model that it was made from"


def test_a_pipeline_exports_it_to_tflite_alone(tmp_path: Path) -> None:
    """A pipeline of both formats skips ONNX; one of ONNX alone is refused before any work."""
    write_onnx_pipeline(tmp_path, model="model: {model: m.tflite}", export="export: {precisions: [fp32]}")
    save_tflite(tmp_path / "m.tflite")
    run = api.run(tmp_path / "p.yaml", out=tmp_path / "runs")
    assert [path.name for path in (run / "artifacts").glob("*.tflite")] == ["tiny.fp32.tflite"]
    with pytest.raises(InputError, match="a TFLite file is not converted to onnx"):
        api.run(tmp_path / "p.yaml", overrides=("export.formats=[onnx]",), out=tmp_path / "runs")


def test_a_calibration_table_is_made_of_it_and_taken(tmp_path: Path) -> None:
    """`calibrate` watches the file, and an export takes the table in place of data."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    model = save_tflite(tmp_path / "m.tflite")
    formats = (Format.ONNX, Format.TFLITE)
    calibrate_model(CalibrateRequest(open_source(str(model)), formats, vectors(16), tmp_path / "t.json"))
    table = read_table(tmp_path / "t.json")
    assert list(table.graphs[0].tensors) == ["x", "h", "logits"]
    assert "skipped onnx: tflite is not converted to it for calibrating" in table.notes
    given = {"calib_table": tmp_path / "t.json", "precisions": (Precision.W8A8,)}
    by_table = exported(model, tmp_path / "a", vectors(16), **given)
    by_data = exported(model, tmp_path / "b", vectors(16), precisions=(Precision.W8A8,))
    assert by_table.artifacts[0].sha256 == by_data.artifacts[0].sha256


def test_a_ladder_begins_with_the_file_itself(tmp_path: Path) -> None:
    """The framework's rung is LiteRT on the file, the exported one is exact, and layers are compared."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    model, data = save_tflite(tmp_path / "m.tflite"), vectors(16)
    exported(model, tmp_path / "out", data, precisions=(Precision.W8A8,))
    np.savez(tmp_path / "d.npz", x=data.inputs[0])
    found = api.ladder(str(model), tmp_path / "out" / "net.w8a8.tflite", data=str(tmp_path / "d.npz"))
    assert found.rungs[0].runtime.startswith("LiteRT")
    assert found.rungs[1].max_abs_error == 0
    assert found.rungs[2].sqnr_db is not None
    assert found.rungs[2].sqnr_db > 30
    assert [layer.tensor for layer in found.layers] == ["h", "logits"]


def test_int8_weights_in_a_float_graph_are_refused(tmp_path: Path) -> None:
    """A file that computes in float32 with int8 weights is called quantized, with what can be done."""
    rough = {name: np.rint(array * 100).astype(np.int8) for name, array in weights().items()}
    constants = {**weights(), "w1": rough["w1"], "w2": rough["w2"]}
    model = save_tflite(tmp_path / "m_float32.tflite", constants=constants, scale=0.01)
    with pytest.raises(ModelError, match="computes in float32: 93% of its weights are int8") as caught:
        check_float(model)
    assert "edgebench benchmark" in str(caught.value.hint)
    assert "float model" in str(caught.value.hint)


def test_a_quantized_file_is_refused(tmp_path: Path) -> None:
    """The w8a8 file of an export is no source of another."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    exported(save_tflite(tmp_path / "m.tflite"), tmp_path / "out", vectors(16))
    with pytest.raises(ModelError, match="already quantized: 3 of its 5 computed tensors are int8"):
        exported(tmp_path / "out" / "net.w8a8.tflite", tmp_path / "two", vectors(16))


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    """An infinite weight is refused by the weight's name."""
    constants = weights()
    constants["w2"][1, 2] = np.inf
    with pytest.raises(ModelError, match="'w2' hold NaN or infinity"):
        check_float(save_tflite(tmp_path / "m.tflite", constants=constants))


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "data", "settings"),
    [
        ("mlperf_tiny_ic/models/pretrainedResnet.tflite", vectors(32, 32, 3, count=8, scale=50.0), {}),
        ("mnist/models/aeq_conv_fc_mnist.tflite", vectors(28, 28, 1, count=8), {}),
        # Without samples its weights are rounded to the nearest: by samples takes a minute.
        (
            "ultraface_dev/models/version-slim-320_without_postprocessing.tflite",
            vectors(240, 320, 3, count=8),
            {"calibration": None, "calib_random": True},
        ),
    ],
    ids=["resnet8", "mnist", "ultraface"],
)
def test_real_float_files_are_quantized(
    name: str, data: Dataset, settings: dict[str, Any], assets: Path, tmp_path: Path
) -> None:
    """MLPerf Tiny's ResNet, without signature; one with; and one whose shapes the graph computes itself."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    (made,) = exported(assets / name, tmp_path, data, precisions=(Precision.W8A8,), **settings).artifacts
    assert made.parity is not None
    assert made.parity.sqnr_db is not None
    assert made.parity.sqnr_db > 15
    assert made.size_bytes < 0.4 * (assets / name).stat().st_size


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mlperf_tiny_kws/models/kws_ref_model_float32.tflite", "computes in float32: 84% .* int8"),
        ("mlperf_tiny_kws/models/kws_ref_model.tflite", "14 of its 14 computed tensors are int8"),
        ("mobilenet_v1_025/mobilenet_v1_0.25_224_quant.tflite", "computed tensors are uint8"),
        ("mnist/models/aeq_mnist_quantized.tflite", "100% of its weights are int8"),
    ],
)
def test_real_quantized_files_are_refused(name: str, words: str, assets: Path) -> None:
    """Quantized files of others are called so, whatever their name says."""
    with pytest.raises(ModelError, match=f"already quantized.*{words}"):
        check_float(assets / name)
