"""From a source to artifacts with manifests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from models.random_images import images
from models.small_onnx import save_classifier

from edgebench.artifact import Artifact, Format, Precision, TensorIo, read_manifest
from edgebench.datasets import Dataset, Layout, Preprocessing
from edgebench.errors import ConfigError, ExportError, InputError, StorageError
from edgebench.exporters.export import ExportRequest, ExportResult, export, file_stem
from edgebench.exporters.source import open_source
from edgebench.storage import folder_lock, sha256_bytes, sha256_path

ALL = (Precision.FP32, Precision.FP16, Precision.W8A32, Precision.W8A8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache in the test's folder."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def vectors(count: int = 40, *, shift: float = 0.0) -> Dataset:
    """Return random vectors of 16 numbers, labels of four classes."""
    source = np.random.default_rng(1)
    x = source.normal(size=(count, 16)).astype(np.float32) + np.float32(shift)
    return Dataset("vectors", (x,), source.integers(0, 4, count), sha256_bytes(x.tobytes()))


def request(path: Path, out: Path, **settings: Any) -> ExportRequest:
    """Return a request for one model file: ONNX fp32 on random vectors where nothing else is said."""
    data = vectors()
    defaults: dict[str, Any] = {
        "formats": (Format.ONNX,),
        "precisions": (Precision.FP32,),
        "name": "net",
        "calibration": data,
        "parity_data": data,
    }
    return ExportRequest(source=open_source(str(path)), out=out, **{**defaults, **settings})


def by_precision(result: ExportResult) -> dict[Precision, Artifact]:
    """Return the artifacts by their precision."""
    return {artifact.precision: artifact for artifact in result.artifacts}


def test_each_precision_is_a_file_with_a_manifest(tmp_path: Path) -> None:
    """Four precisions of ONNX: sizes fall, hashes hold, figures and provenance stand in the manifest.

    A channel of this net has 20 weights, so that its own scale, zero point and bias weigh a lot.
    """
    path = save_classifier(tmp_path / "m.onnx", width=2048)
    made = by_precision(export(request(path, tmp_path / "out", precisions=ALL)))
    for precision, artifact in made.items():
        file = tmp_path / "out" / f"net.{precision}.onnx"
        assert read_manifest(file) == artifact
        assert artifact.sha256 == sha256_path(file)
        assert artifact.size_bytes == file.stat().st_size
        assert artifact.source.sha256 == sha256_path(path)
        assert artifact.inputs[0].shape == (-1, 16)
        assert artifact.outputs[0].dtype == "float32"
        assert artifact.parity is not None
        assert artifact.parity.samples == 40
        assert artifact.parity.agreement == pytest.approx(1.0, abs=0.1)
        assert {"edgebench", "onnxruntime"} <= set(artifact.versions)
    assert made[Precision.FP32].parity.sqnr_db is None or made[Precision.FP32].parity.sqnr_db > 100
    size = {precision: artifact.size_bytes for precision, artifact in made.items()}
    assert size[Precision.FP32] > 1.9 * size[Precision.FP16]
    assert size[Precision.FP32] > 2 * max(size[Precision.W8A8], size[Precision.W8A32])
    calibration = made[Precision.W8A8].calibration
    assert calibration is not None
    assert (calibration.data, calibration.samples) == ("vectors", 40)
    assert made[Precision.FP32].calibration is None


def test_every_artifact_keeps_to_the_onnx_standard(tmp_path: Path) -> None:
    """ONNX's own checker accepts each precision, its nodes in order."""
    path = save_classifier(tmp_path / "m.onnx", width=64)
    for artifact in export(request(path, tmp_path / "out", precisions=ALL)).artifacts:
        onnx.checker.check_model(onnx.load(tmp_path / "out" / artifact.path), full_check=True)


def test_int8_layers_run_on_integers(tmp_path: Path) -> None:
    """ONNX Runtime makes one integer operator of each Gemm with its Q/DQ nodes: none runs in float."""
    import onnxruntime as ort

    path = save_classifier(tmp_path / "m.onnx", width=64)
    export(request(path, tmp_path / "out", precisions=(Precision.W8A8,)))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(tmp_path / "out" / "net.w8a8.onnx", options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("QGemm") == 2
    assert "Gemm" not in operators


def test_weights_of_int8_are_per_channel(tmp_path: Path) -> None:
    """w8a8 ONNX holds int8 weights with one scale per output channel."""
    path = save_classifier(tmp_path / "m.onnx", width=64)
    export(request(path, tmp_path / "out", precisions=(Precision.W8A8,)))
    network = onnx.load(tmp_path / "out" / "net.w8a8.onnx")
    weights = [
        t for t in network.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2
    ]
    scales = {t.name: t for t in network.graph.initializer}
    assert len(weights) == 2
    for node in network.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in {w.name for w in weights}:
            assert list(scales[node.input[1]].dims) in ([64], [4])


def test_the_ranges_come_from_the_calibration_data(tmp_path: Path) -> None:
    """Another calibration set gives another file; the same one the same file."""
    path = save_classifier(tmp_path / "m.onnx")
    hashes = []
    for index, shift in enumerate((0.0, 0.0, 9.0)):
        settings = {"precisions": (Precision.W8A8,), "calibration": vectors(shift=shift)}
        hashes.append(export(request(path, tmp_path / str(index), **settings)).artifacts[0].sha256)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.torch
@pytest.mark.parametrize("io", list(TensorIo))
def test_tflite_takes_and_gives_float_or_int8(model: Path, tmp_path: Path, io: TensorIo) -> None:
    """`--io int8` gives int8 inputs and outputs with scale and zero point, `float` gives floats."""
    pytest.importorskip("litert_torch", reason="needs pip install 'edgebench[torch]'")
    data = images(channels_last=True)
    source = open_source(f"{model}:build")
    result = export(
        ExportRequest(
            source=source,
            formats=(Format.TFLITE,),
            precisions=(Precision.W8A8, Precision.FP16, Precision.W8A32),
            out=tmp_path / "out",
            name="net",
            calibration=data,
            parity_data=data,
            preprocessing=Preprocessing(layout=Layout.NCHW),
            io=io,
        )
    )
    made = by_precision(result)
    spec = made[Precision.W8A8].inputs[0]
    assert (spec.name, spec.shape) == ("image", (1, 3, 8, 8))
    assert (spec.dtype == "int8") == (io is TensorIo.INT8)
    assert (spec.quantization is not None) == (io is TensorIo.INT8)
    assert made[Precision.W8A8].parity.sqnr_db > 15
    assert made[Precision.FP16].parity.sqnr_db > 50
    assert made[Precision.W8A8].preprocessing.layout is Layout.NCHW


def test_int8_asks_for_data(tmp_path: Path) -> None:
    """w8a8 without data is refused with both options; random numbers are used only when asked for."""
    path = save_classifier(tmp_path / "m.onnx")
    settings = {"precisions": (Precision.W8A8,), "calibration": None, "parity_data": None}
    with pytest.raises(ConfigError) as caught:
        export(request(path, tmp_path / "out", **settings))
    assert "--calib-data" in str(caught.value)
    assert "--calib-random" in str(caught.value)
    (artifact,) = export(request(path, tmp_path / "out", **settings, calib_random=True)).artifacts
    assert artifact.calibration is not None
    assert artifact.calibration.data == "random"
    assert artifact.parity.data == "random"


def test_few_of_many_samples_are_used(tmp_path: Path) -> None:
    """`calibration_samples` bounds what is used, and the manifest says how many."""
    path = save_classifier(tmp_path / "m.onnx")
    settings = {"precisions": (Precision.W8A8,), "calibration_samples": 10}
    (artifact,) = export(request(path, tmp_path / "out", **settings)).artifacts
    assert artifact.calibration.samples == 10


def test_tensorrt_is_skipped_with_the_reason(tmp_path: Path) -> None:
    """Without an NVIDIA GPU every precision of TensorRT is listed as skipped; the rest is made."""
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU; run the test on one without")
    path = save_classifier(tmp_path / "m.onnx")
    result = export(request(path, tmp_path / "out", formats=(Format.TENSORRT, Format.ONNX)))
    assert [(skip.format, skip.precision) for skip in result.skipped] == [(Format.TENSORRT, Precision.FP32)]
    assert "NVIDIA" in result.skipped[0].reason
    assert [artifact.format for artifact in result.artifacts] == [Format.ONNX]


def test_a_format_without_its_tools_is_skipped_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX to TFLite without onnx2tf: listed beside what was made; alone, it is the error."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    path = save_classifier(tmp_path / "m.onnx")
    result = export(request(path, tmp_path / "out", formats=(Format.ONNX, Format.TFLITE)))
    assert "doctor --fix onnx2tf" in result.skipped[0].reason
    with pytest.raises(InputError, match="doctor --fix onnx2tf"):
        export(request(path, tmp_path / "two", formats=(Format.TFLITE,)))


def test_nothing_is_overwritten_in_silence(tmp_path: Path) -> None:
    """An artifact of the same name is refused before any work, and replaced when asked for."""
    path = save_classifier(tmp_path / "m.onnx")
    first = request(path, tmp_path / "out")
    export(first)
    save_classifier(path, seed=1)
    before = sha256_path(tmp_path / "out" / "net.fp32.onnx")
    with pytest.raises(StorageError, match="exists already"):
        export(replace(first, source=open_source(str(path))))
    assert sha256_path(tmp_path / "out" / "net.fp32.onnx") == before
    (artifact,) = export(replace(first, source=open_source(str(path)), overwrite=True)).artifacts
    assert artifact.sha256 == sha256_path(tmp_path / "out" / "net.fp32.onnx") != before


def test_two_exports_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    """While another export holds the folder, this one is refused."""
    path = save_classifier(tmp_path / "m.onnx")
    with folder_lock(tmp_path / "out"), pytest.raises(StorageError, match="another edgebench run"):
        export(request(path, tmp_path / "out"))


def test_an_export_with_wrong_outputs_fails(tmp_path: Path) -> None:
    """fp16 of a model whose weights exceed float16's range answers infinity: it fails, nothing is placed."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx"))
    weights = onnx.numpy_helper.to_array(network.graph.initializer[0]) * np.float32(1e6)
    network.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w1"))
    onnx.save(network, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"outputs are wrong|infinity"):
        export(request(tmp_path / "m.onnx", tmp_path / "out", precisions=(Precision.FP16,)))
    assert not list((tmp_path / "out").glob("*.onnx*"))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("net", "net"),
        ("a b/c", "a-b-c"),
        ("../../up", "up"),
        ("größe-模型", "größe-模型"),
        ("<script>", "script"),
        ("...", "model"),
        ("", "model"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_become_file_names(name: str, stem: str) -> None:
    """Whatever a model is called, its file's name is letters, digits, dots, dashes and underscores."""
    assert file_stem(name) == stem
