"""edgebench calibrate through the real program: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from models.small_onnx import save_classifier
from processes import edgebench, fails
from tiny_pipelines import write_onnx_pipeline


def write(folder: Path, *, count: int = 64, **more: np.ndarray) -> tuple[str, ...]:
    """Write a model and data into a folder; return the arguments that calibrate one on the other."""
    save_classifier(folder / "m.onnx", width=4096)
    x = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32)
    np.savez(folder / "c.npz", **{"x": x, **more})
    return ("calibrate", "m.onnx", "--calib-data", "c.npz", "-f", "onnx", "-o", "t.json")


def test_calibrate_then_export(tmp_path: Path) -> None:
    """Two commands: the table is summed up on stdout, and the export needs no data any more."""
    done = edgebench(*write(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "t.json  mse, 64 samples of c.npz" in done.stdout
    assert "onnx: 4 tensors, 4096 bins each" in done.stdout
    assert "its range moves by" in done.stdout
    export = ("export", "m.onnx", "-f", "onnx", "--int8", "--calib-table", "t.json", "-o", "out", "--json")
    done = edgebench(*export, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["calibration"]["data"] == "c.npz"


def test_channels_are_summed_up(tmp_path: Path) -> None:
    """`--per-channel` says how many channels there were; a wide one is a note on stderr."""
    argv = write(tmp_path, count=32)
    x = np.random.default_rng(0).normal(size=(32, 16)).astype(np.float32)
    x[:, 3] *= 50
    np.savez(tmp_path / "c.npz", x=x)
    done = edgebench(*argv, "--per-channel", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 tensors, 4096 bins each; 8212 channels of 4 of them, 1024 bins each" in done.stdout
    assert "note: onnx: channel 3 of x is " in done.stderr


def test_json_is_the_tables_file(tmp_path: Path) -> None:
    """`--json` prints what was written, and `--quiet` leaves stderr to the notes."""
    argv = write(tmp_path, count=8)
    done = edgebench(*argv, "--json", "--quiet", "--method", "percentile", cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads((tmp_path / "t.json").read_text())
    assert done.stderr.splitlines() == [
        "note: 8 calibration samples are few: ranges want 32 or more",
    ]


def test_the_table_is_the_same_for_any_number_of_threads(tmp_path: Path) -> None:
    """One, two and five threads, each with a cache of its own: the same file, bit for bit."""
    argv, tables = write(tmp_path), []
    for threads in ("1", "2", "5"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ORT_NUM_THREADS")
        more = {**dict.fromkeys(names, threads), "EDGEBENCH_CACHE": str(tmp_path / f"cache{threads}")}
        done = edgebench(*argv, "--overwrite", cwd=tmp_path, **more)
        assert done.returncode == 0, done.stderr
        assert "from the cache" not in done.stderr
        tables.append((tmp_path / "t.json").read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_bad_input_is_one_line_and_a_hint(tmp_path: Path) -> None:
    """Wrong data, options, models and tables, each exits 2 and names what is wrong."""
    argv = write(tmp_path)
    np.savez(tmp_path / "wide.npz", x=np.zeros((40, 17), np.float32))
    fails(tmp_path, *argv[:3], "wide.npz", *argv[4:], words="[17]")
    np.savez(tmp_path / "two.npz", a=np.zeros((40, 16), np.float32), b=np.zeros((40, 16), np.float32))
    fails(tmp_path, *argv[:3], "two.npz", *argv[4:], words="takes 1 inputs (x), the data has 2")
    fails(tmp_path, *argv, "--max-calib-memory", "much", words="--max-calib-memory 'much'")
    fails(tmp_path, *argv, "--max-calib-memory", "1KB", words="hint: --max-calib-memory")
    fails(tmp_path, *argv, "--method", "magic", words="'magic' is not one of")
    fails(tmp_path, "calibrate", "m.onnx", "-o", "t.json", words="--calib-data")
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    fails(tmp_path, "calibrate", "m.tflite", *argv[2:], words="take format tflite")
    assert not (tmp_path / "t.json").exists()
    export = ("export", "m.onnx", "-f", "onnx", "--int8", "--calib-table", "t.json")
    assert "hint: calibrate again" in fails(tmp_path, *export, words="t.json: no such file")
    fails(tmp_path, *export, "--calib-method", "magic", words="--calib-method: unknown 'magic'")


def test_an_int8_file_is_called_quantized(tmp_path: Path) -> None:
    """Calibrating, or quantizing, what was quantized already exits 2 and says what can be done."""
    argv = write(tmp_path)
    done = edgebench(
        "export", "m.onnx", "-f", "onnx", "--int8", "--calib-data", "c.npz", "-o", "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    again = "out/m.w8a8.onnx"
    words = fails(tmp_path, "calibrate", again, *argv[2:], words="already quantized")
    assert "edgebench benchmark" in words
    fails(tmp_path, "export", again, "-f", "onnx", "-p", "w8a32", "-o", "two", words="already quantized")


@pytest.mark.parametrize("key", ["calibration_table: t.json", "calibration_method: entropy"])
def test_a_pipeline_takes_a_table_or_a_method(tmp_path: Path, key: str) -> None:
    """With a table no calibration data is named; the manifest says which method there was."""
    argv = write(tmp_path, y=np.zeros(64, np.int64))
    calibration = "" if "table" in key else "calibration: c.npz, "
    if "table" in key:
        assert edgebench(*argv, "--method", "entropy", cwd=tmp_path).returncode == 0
    (tmp_path / "p.yaml").write_text(
        "schema_version: 1\nname: tiny\nmodel: {model: m.onnx}\n"
        f"data: {{{calibration}evaluation: c.npz}}\n"
        f"export: {{formats: [onnx], precisions: [w8a8], {key}}}\n"
        "benchmark: {sessions: 1, calls: 20}\ngates: [size <= 1MB]\n"
    )
    done = edgebench("run", "p.yaml", cwd=tmp_path)
    assert done.returncode in (0, 1, 3), done.stderr
    (manifest,) = tmp_path.glob("runs/**/artifacts/*.json")
    assert json.loads(manifest.read_text())["calibration"]["method"] == "entropy"
    (evidence,) = tmp_path.glob("runs/**/evidence.json")
    notes = " ".join(json.loads(evidence.read_text())["notes"])
    assert "the int8 accuracy may read too high" in notes


def test_a_pipeline_bounds_the_memory_of_calibrating(tmp_path: Path) -> None:
    """`export.calibration_memory` too small for the graph ends the run with code 2 and what suffices."""
    write_onnx_pipeline(tmp_path)
    argv = ("run", "p.yaml", "export.calibration_memory=10KB")
    said = fails(tmp_path, *argv, words="0.01 MB is too little for the onnx graph: 3 tensors")
    assert "`export.calibration_memory` in a pipeline" in said
