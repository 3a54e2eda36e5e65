"""A model's calibration table, and exports that take it in place of data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from keras_conversions import framework, saved
from models.random_images import images
from models.small_onnx import save_classifier
from onnx import numpy_helper

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import Method
from edgebench.calibration.table import read_table
from edgebench.datasets import Dataset, Layout, Preprocessing
from edgebench.errors import ConfigError, InputError, StorageError
from edgebench.exporters.calibrate_model import CalibrateRequest, calibrate_model
from edgebench.exporters.calibration import CalibrationSettings
from edgebench.exporters.conversion import convert
from edgebench.exporters.export import ExportRequest, export
from edgebench.exporters.graph_hash import graph_sha256
from edgebench.exporters.source import open_source
from edgebench.storage import sha256_bytes, sha256_path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache in the test's folder."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))


def vectors(count: int = 64) -> Dataset:
    """Return random vectors of 16 numbers without labels."""
    x = np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)
    return Dataset("vectors", (x,), None, sha256_bytes(x.tobytes()))


def request(model: Path, out: Path, **settings: Any) -> CalibrateRequest:
    """Return the request to calibrate an ONNX file on random vectors."""
    given = {"formats": (Format.ONNX,), "data": vectors(), **settings}
    return CalibrateRequest(source=open_source(str(model)), out=out, **given)


def int8(model: Path, out: Path, **settings: Any) -> ExportRequest:
    """Return the request for a w8a8 ONNX file."""
    given = {"formats": (Format.ONNX,), "precisions": (Precision.W8A8,), "name": "net", **settings}
    return ExportRequest(source=open_source(str(model)), out=out, **given)


class Heard(list[str]):
    """What progress said."""

    def __call__(self, message: str, *, done: int | None = None, total: int | None = None) -> None:
        """Keep the message."""
        del done, total
        self.append(message)


def test_the_table_says_what_was_watched_and_on_what(tmp_path: Path) -> None:
    """Hashes, data, samples, method, preprocessing, versions and each tensor's facts stand in the file."""
    model = save_classifier(tmp_path / "m.onnx")
    steps = Preprocessing(scale=0.5)
    table = calibrate_model(request(model, tmp_path / "t.json", samples=40, preprocessing=steps))
    assert read_table(tmp_path / "t.json") == table
    assert (table.data, table.fingerprint) == ("vectors", vectors().fingerprint)
    assert (table.samples, table.method, table.preprocessing) == (40, Method.MSE, steps)
    assert {"edgebench", "onnxruntime", "numpy"} <= set(table.versions)
    (graph,) = table.graphs
    assert set(graph.tensors) == {"x", "h", "r", "logits"}
    assert graph.tensors["h"] == graph.tensors["r"], "the ReLU is fused into what comes before it"
    seen = graph.tensors["r"]
    assert (seen.lowest, seen.values) == (0.0, 40 * 8)
    assert 0.3 < seen.zeros < 0.7
    assert seen.range.highest == pytest.approx(seen.highest, rel=0.1)


def uneven(count: int = 64) -> Dataset:
    """Return random vectors whose number 5 is forty times the others, and whose number 9 is always 0.5."""
    x = vectors(count).inputs[0].copy()
    x[:, 5] *= 40
    x[:, 9] = 0.5
    return Dataset("uneven", (x,), None, sha256_bytes(x.tobytes()))


def test_channels_stand_beside_their_tensor_and_odd_ones_are_named(tmp_path: Path) -> None:
    """The wide channel and the dead one by number; the tensors' own ranges are those found without."""
    model = save_classifier(tmp_path / "m.onnx")
    settings = CalibrationSettings(Method.PERCENTILE, stability=True, per_channel=True)
    table = calibrate_model(request(model, tmp_path / "t.json", data=uneven(), settings=settings))
    plain = replace(settings, per_channel=False)
    whole = calibrate_model(request(model, tmp_path / "u.json", data=uneven(), settings=plain))
    (graph,), (alone,) = table.graphs, whole.graphs
    assert {name: replace(t, channels=None) for name, t in graph.tensors.items()} == alone.tensors
    own = graph.tensors["x"].channels
    assert own is not None
    assert (own.axis, len(own.ranges), len(own.spread), graph.channel_bins) == (1, 16, 16, 1024)
    assert own.highest == tuple(uneven().inputs[0].max(axis=0).tolist())
    wide = next(note for note in table.notes if "wider" in note)
    assert wide.startswith("onnx: channel 5 of x is ")
    assert "onnx: dead channels, of one value on all samples: x: 9 (of 16)" in table.notes
    assert not any("channel" in note for note in whole.notes)


def test_channels_keep_to_the_bound_on_memory(tmp_path: Path) -> None:
    """The tensors of the most channels are watched as wholes, and a note names them."""
    model = save_classifier(tmp_path / "m.onnx", width=512)
    for bound, left in ((None, ()), (10**6, ("r",))):
        settings = CalibrationSettings(per_channel=True, memory_bytes=bound, fresh=True)
        out = tmp_path / f"{bound}.json"
        table = calibrate_model(request(model, out, settings=settings))
        (graph,) = table.graphs
        assert all((graph.tensors[name].channels is None) == (name in left) for name in ("x", "r", "logits"))
        note = "onnx: too many channels for the memory, watched as wholes only: r"
        assert (note in table.notes) == bool(left)


def test_a_table_gives_the_file_that_its_data_would_have_given(tmp_path: Path) -> None:
    """The table with the samples that round weights: the same int8 file, the same calibration recorded."""
    model = save_classifier(tmp_path / "m.onnx", width=64)
    calibrate_model(request(model, tmp_path / "t.json"))
    both = int8(model, tmp_path / "a", calib_table=tmp_path / "t.json", calibration=vectors())
    (by_both,) = export(both).artifacts
    (by_data,) = export(int8(model, tmp_path / "b", calibration=vectors())).artifacts
    assert by_both.sha256 == by_data.sha256
    assert by_both.calibration == by_data.calibration
    assert by_both.calibration is not None
    assert by_both.calibration.method == "mse"


def test_a_table_alone_gives_the_ranges_and_says_what_it_cannot_give(tmp_path: Path) -> None:
    """Without data: the table's ranges and weights rounded to the nearest, and a note that says so."""
    model = save_classifier(tmp_path / "m.onnx", width=64)
    calibrate_model(request(model, tmp_path / "t.json"))
    alone = export(int8(model, tmp_path / "a", calib_table=tmp_path / "t.json"))
    (by_data,) = export(int8(model, tmp_path / "b", calibration=vectors())).artifacts
    given, *_ = activation_scales(tmp_path / "a" / alone.artifacts[0].path)
    (graph,) = read_table(tmp_path / "t.json").graphs
    width = graph.tensors["x"].range.highest - graph.tensors["x"].range.lowest
    assert given == pytest.approx(width / 255, rel=1e-5)
    assert any("With --calib-data beside it" in note for note in alone.notes)
    assert "weights rounded by calibration samples" in by_data.steps
    assert "weights rounded by calibration samples" not in alone.artifacts[0].steps


def activation_scales(path: Path) -> list[float]:
    """Return the scales of a file's QuantizeLinear nodes."""
    network = onnx.load(path)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    return [
        float(constants[node.input[1]]) for node in network.graph.node if node.op_type == "QuantizeLinear"
    ]


def test_the_method_decides_the_ranges(tmp_path: Path) -> None:
    """Another method gives another file, which says so; a table of another method than asked is refused."""
    model = save_classifier(tmp_path / "m.onnx", width=64)
    made = [
        export(int8(model, tmp_path / m, calibration=vectors(), calib_method=m)).artifacts[0]
        for m in (Method.MIN_MAX, Method.MOVING_AVERAGE)
    ]
    assert made[0].sha256 != made[1].sha256
    assert [artifact.calibration.method for artifact in made] == ["min-max", "moving-average"]
    calibrate_model(request(model, tmp_path / "t.json", settings=CalibrationSettings(Method.ENTROPY)))
    table = {"calib_table": tmp_path / "t.json"}
    (artifact,) = export(int8(model, tmp_path / "e", **table)).artifacts
    assert artifact.calibration.method == "entropy"
    with pytest.raises(ConfigError, match="found by entropy, and percentile is asked for"):
        export(int8(model, tmp_path / "p", **table, calib_method=Method.PERCENTILE))


def test_what_was_watched_once_is_not_watched_again(tmp_path: Path) -> None:
    """A second export, another precision beside it, a table: from the cache; other data or fresh: anew."""
    model, again = save_classifier(tmp_path / "m.onnx"), "calibrate onnx: from the cache"
    first, second, table, other, fresh = Heard(), Heard(), Heard(), Heard(), Heard()
    with_data = {"calibration": vectors()}
    export(int8(model, tmp_path / "a", **with_data), progress=first)
    both = (Precision.W8A32, Precision.W8A8)
    export(int8(model, tmp_path / "b", **with_data, precisions=both), progress=second)
    unsteady = CalibrationSettings(stability=False)
    calibrate_model(request(model, tmp_path / "t.json", settings=unsteady), progress=table)
    export(int8(model, tmp_path / "c", calibration=vectors(63)), progress=other)
    export(int8(model, tmp_path / "d", **with_data, fresh=True), progress=fresh)
    assert [again in said for said in (first, second, table, other, fresh)] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_notes_are_kept_with_what_is_cached(tmp_path: Path) -> None:
    """Few samples are told of by the export that watched and by the one that did not have to."""
    model = save_classifier(tmp_path / "m.onnx")
    told = [export(int8(model, tmp_path / n, calibration=vectors(9))).notes for n in ("a", "b")]
    assert told[0] == told[1]
    assert "9 calibration samples are few: ranges want 32 or more" in told[0]


def test_a_table_of_another_model_is_refused(tmp_path: Path) -> None:
    """Other weights, other hash: nothing is exported, and both hashes are named."""
    calibrate_model(request(save_classifier(tmp_path / "m.onnx"), tmp_path / "t.json"))
    other = save_classifier(tmp_path / "other.onnx", seed=1)
    with pytest.raises(ConfigError, match="made for another model"):
        export(int8(other, tmp_path / "out", calib_table=tmp_path / "t.json"))
    assert not list((tmp_path / "out").glob("*.onnx"))


def test_a_table_of_another_preprocessing_is_refused(tmp_path: Path) -> None:
    """The key that differs is named before any work."""
    model = save_classifier(tmp_path / "m.onnx")
    calibrate_model(request(model, tmp_path / "t.json"))
    scaled = {"preprocessing": Preprocessing(scale=0.5)}
    with pytest.raises(ConfigError, match=r"another preprocessing: scale 1\.0, and here scale 0\.5"):
        export(int8(model, tmp_path / "out", calib_table=tmp_path / "t.json", **scaled))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="contradict"):
        export(int8(model, tmp_path / "out", calib_table=tmp_path / "t.json", calib_random=True))


def test_a_table_is_not_written_over_in_silence(tmp_path: Path) -> None:
    """An existing file is refused before any work, and replaced when asked for."""
    (tmp_path / "t.json").write_text("mine")
    wanted = request(save_classifier(tmp_path / "m.onnx"), tmp_path / "t.json")
    with pytest.raises(StorageError, match="exists already"):
        calibrate_model(wanted)
    assert (tmp_path / "t.json").read_text() == "mine"
    assert calibrate_model(replace(wanted, overwrite=True)) == read_table(tmp_path / "t.json")


def test_formats_that_cannot_be_made_are_notes_or_the_error(tmp_path: Path) -> None:
    """ONNX to TFLite without onnx2tf: a note beside the ONNX graph; alone, the error. TensorRT has none."""
    model = save_classifier(tmp_path / "m.onnx")
    both = request(model, tmp_path / "t.json", formats=(Format.ONNX, Format.TFLITE))
    assert any("doctor --fix onnx2tf" in note for note in calibrate_model(both).notes)
    with pytest.raises(InputError, match="doctor --fix onnx2tf"):
        calibrate_model(request(model, tmp_path / "u.json", formats=(Format.TFLITE,)))
    with pytest.raises(ConfigError, match="nothing was calibrated: tensorrt"):
        calibrate_model(request(model, tmp_path / "v.json", formats=(Format.TENSORRT,)))


def test_a_tensor_of_zeros_is_quantized_all_the_same(tmp_path: Path) -> None:
    """Where every sample is zero the int8 file still runs, and the notes say what was odd."""
    x = np.zeros((40, 16), np.float32)
    data = Dataset("zeros", (x,), None, sha256_bytes(x.tobytes()))
    made = export(int8(save_classifier(tmp_path / "m.onnx"), tmp_path / "out", calibration=data))
    assert made.artifacts[0].precision is Precision.W8A8
    assert "every value of the model's input is 0 in the calibration data" in made.notes
    assert any("always zero" in note and "x" in note for note in made.notes)


def test_a_graphs_hash_is_of_what_it_computes(tmp_path: Path) -> None:
    """Constants and nodes by other names: the same; another weight, another name of a result: another."""
    path = save_classifier(tmp_path / "m.onnx")

    def changed(old: str, new: str) -> str:
        network = onnx.load(path)
        for node in network.graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
            node.name = new if node.name == old else node.name
        for tensor in network.graph.initializer:
            tensor.name = new if tensor.name == old else tensor.name
        onnx.save(network, tmp_path / "n.onnx")
        return graph_sha256(tmp_path / "n.onnx", Format.ONNX)

    mine = graph_sha256(path, Format.ONNX)
    assert mine == changed("w1", "const_fold_opt__142") == changed("hidden", "another")
    assert mine != changed("h", "other_hidden")
    assert mine != graph_sha256(save_classifier(tmp_path / "o.onnx", seed=1), Format.ONNX)


@pytest.mark.torch
def test_pytorch_converts_to_the_same_graphs_each_time(model: Path, tmp_path: Path) -> None:
    """One table of both graphs serves a later export to both, which needs no data: the hashes hold."""
    pytest.importorskip("litert_torch", reason="needs pip install 'edgebench[torch]'")
    source = open_source(f"{model}:build", input_shapes=[(1, 3, 8, 8)])
    data, steps = images(count=48, channels_last=True), Preprocessing(layout=Layout.NCHW)
    formats = (Format.ONNX, Format.TFLITE)
    table = calibrate_model(CalibrateRequest(source, formats, data, tmp_path / "t.json", preprocessing=steps))
    assert [graph.runtime for graph in table.graphs] == list(formats)
    result = export(
        ExportRequest(
            source=source,
            formats=formats,
            precisions=(Precision.FP32, Precision.W8A8),
            out=tmp_path / "out",
            name="net",
            calib_table=tmp_path / "t.json",
            preprocessing=steps,
        )
    )
    fp32 = [artifact for artifact in result.artifacts if artifact.precision is Precision.FP32]
    files = [(tmp_path / "out" / artifact.path, artifact.format) for artifact in fp32]
    assert [graph_sha256(*file) for file in files] == [graph.sha256 for graph in table.graphs]
    for artifact in result.artifacts:
        assert artifact.sha256 == sha256_path(tmp_path / "out" / artifact.path)
        assert artifact.parity.sqnr_db is None or artifact.parity.sqnr_db > 15


@pytest.mark.tensorflow
@pytest.mark.parametrize("fmt", [Format.ONNX, Format.TFLITE])
def test_keras_converts_to_the_same_graph_each_time(tmp_path: Path, fmt: Format) -> None:
    """Two conversions of a network with batch normalization: one hash, however constants are numbered."""
    keras = framework("keras")
    layers = [keras.Input((8, 8, 3))]
    for width in (4, 8, 12):
        layers += [
            keras.layers.Conv2D(width, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    model = saved(keras.Sequential([*layers, keras.layers.Flatten()]), tmp_path / "m.keras")
    hashes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = convert(open_source(str(model)), fmt, tmp_path / name, None, None)
        hashes.append(graph_sha256(made.base, fmt))
    assert hashes[0] == hashes[1]
