"""Everything a user can get wrong ends in one line, a hint and an exit code, through the real program."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from onnx import TensorProto, helper
from processes import edgebench, fails

MODEL = """
import torch
def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4))
"""


def npz(path: Path, **arrays: object) -> Path:
    """Write arrays to an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def good_data(path: Path, n: int = 32) -> Path:
    """Write n random samples of 16 numbers with labels of 4 classes."""
    rng = np.random.default_rng(0)
    return npz(path, x=rng.normal(size=(n, 16)).astype(np.float32), y=rng.integers(0, 4, n))


ZIP = b"PK\x03\x04\x14\0\0\0\x08"
MAGIC = {
    "onnx": b"\x08\x0a\x12\x07pytorch",
    "tflite": b"\x1c\0\0\0TFL3",
    "h5": b"\x89HDF\r\n\x1a\n",
    "keras": ZIP,
    "pt2": ZIP,
}
"""How good files of each kind begin."""


@pytest.mark.parametrize("suffix", MAGIC)
@pytest.mark.parametrize("content", ["empty", "random", "truncated"])
def test_a_file_that_is_no_model_is_named(suffix: str, content: str, tmp_path: Path) -> None:
    """Empty, random and truncated model files exit 2 with the file's name."""
    path = tmp_path / f"m.{suffix}"
    path.write_bytes({"empty": b"", "random": os.urandom(4096), "truncated": MAGIC[suffix]}[content])
    verb = ["benchmark"] if suffix == "tflite" else ["export", "--input-shape", "1,16"]
    fails(tmp_path, *verb, str(path), words=f"m.{suffix}")


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path) -> None:
    """The text file that one gets without Git LFS is called by its name."""
    path = tmp_path / "m.tflite"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    fails(tmp_path, "benchmark", str(path), words="LFS")


@pytest.mark.torch
def test_a_malicious_pickle_is_not_executed(tmp_path: Path) -> None:
    """A weights file whose unpickling would run a command is refused, and the command does not run."""
    pytest.importorskip("torch")
    (tmp_path / "model.py").write_text(MODEL)
    ran = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return subprocess.getoutput, (f"touch {ran}",)

    payload = pickle.dumps(Attack())
    (tmp_path / "plain.pt").write_bytes(payload)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3")
    for name in ("plain.pt", "zip.pt"):
        fails(tmp_path, "export", "model.py:build", "-w", name, "--input-shape", "1,16", words=name)
    assert not ran.exists()


@pytest.mark.torch
def test_nan_weights_are_refused_by_name(tmp_path: Path) -> None:
    """A weights file with a NaN exits 2 and names the tensor."""
    torch = pytest.importorskip("torch")
    (tmp_path / "model.py").write_text(MODEL)
    weight = torch.zeros(4, 16)
    weight[1, 2] = float("nan")
    torch.save({"1.weight": weight, "1.bias": torch.zeros(4)}, tmp_path / "w.pt")
    fails(tmp_path, "export", "model.py:build", "-w", "w.pt", "--input-shape", "1,16", words="1.weight")


def test_int8_without_calibration_data_is_refused(tmp_path: Path) -> None:
    """`--int8` alone exits 2 and says --calib-data; random numbers are taken only by name."""
    save_classifier(tmp_path / "m.onnx")
    words = fails(tmp_path, "export", "m.onnx", "-f", "onnx", "--int8", words="--calib-data")
    assert "--calib-random" in words


DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "d.npz"),
    "empty": (lambda path: npz(path, x=np.zeros((0, 16), np.float32), y=np.zeros(0, np.int64)), "d.npz"),
    "nan": (lambda path: npz(path, x=np.full((8, 16), np.nan, np.float32), y=np.zeros(8, np.int64)), "NaN"),
    "inf": (lambda path: npz(path, x=np.full((8, 16), np.inf, np.float32), y=np.zeros(8, np.int64)), "Inf"),
    "shape": (lambda path: npz(path, x=np.zeros((8, 17), np.float32), y=np.zeros(8, np.int64)), "17"),
    "labels": (lambda path: npz(path, x=np.zeros((8, 16), np.float32), y=np.zeros(7, np.int64)), "7"),
    "classes": (lambda path: npz(path, x=np.zeros((8, 16), np.float32), y=np.full(8, 99)), "99"),
    "objects": (lambda path: npz(path, x=np.array([{}, []], object), y=np.zeros(2, np.int64)), "d.npz"),
    "not a zip": (lambda path: path.write_bytes(b"no"), "d.npz"),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_that_does_not_fit_is_refused(kind: str, tmp_path: Path) -> None:
    """Data that is absent, empty, not finite, or of another shape or class count exits 2."""
    make, words = DATA[kind]
    make(tmp_path / "d.npz")
    save_classifier(tmp_path / "m.onnx")
    fails(tmp_path, "benchmark", "m.onnx", "--data", "d.npz", "--sessions", "1", "--calls", "5", words=words)


def test_an_operator_the_runtime_does_not_know_is_named(tmp_path: Path) -> None:
    """A graph with an unknown operator exits 2 and names operator and node."""
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_node", domain="example.invalid")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16]) for name in ("x", "y")]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.invalid", 1)]
    graph = helper.make_graph([node], "g", [value[0]], [value[1]])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    fails(tmp_path, "benchmark", "m.onnx", words="Frobnicate")
    assert "the_node" in fails(tmp_path, "export", "m.onnx", "-f", "onnx", words="Frobnicate")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """An output folder below a plain file exits 4 with the path; nothing is left beside it."""
    save_classifier(tmp_path / "m.onnx")
    (tmp_path / "file").write_text("")
    fails(tmp_path, "export", "m.onnx", "-f", "onnx", "-o", "file/out", words="file", code=4)


def test_a_full_disk_is_named_and_leaves_no_half_file(tmp_path: Path) -> None:
    """Exporting onto a file system that is full exits 4, and no artifact is there."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: run the tests as root to enable this one")
    try:
        save_classifier(tmp_path / "m.onnx", width=40_000)
        fails(tmp_path, "export", "m.onnx", "-f", "onnx", "-o", str(disk), words="disk is full", code=4)
        assert not list(disk.glob("*.onnx*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_runs_into_one_folder(tmp_path: Path) -> None:
    """A second export of the same name is refused until --overwrite, and the first file stays."""
    save_classifier(tmp_path / "m.onnx")
    argv = ("export", "m.onnx", "-f", "onnx", "-o", "out")
    assert edgebench(*argv, cwd=tmp_path).returncode == 0
    save_classifier(tmp_path / "m.onnx", seed=1)
    before = (tmp_path / "out" / "m.fp32.onnx").read_bytes()
    fails(tmp_path, *argv, words="--overwrite", code=4)
    assert (tmp_path / "out" / "m.fp32.onnx").read_bytes() == before
    assert edgebench(*argv, "--overwrite", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "name", ["q\"uo'te", "two words", "<script>alert(1)</script>", "größe-模型", "../../up", "a;b$(c)"]
)
def test_any_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    """Quotes, spaces, tags, other alphabets and paths in a name end up in no path, tag or command."""
    save_classifier(tmp_path / "m.onnx")
    good_data(tmp_path / "d.npz")
    done = edgebench("export", "m.onnx", "-f", "onnx", "--name", name, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    artifact = next((tmp_path / "out").glob("*.onnx"))
    argv = ("--data", "d.npz", "--sessions", "1", "--calls", "20", "-o", "run")
    done = edgebench("benchmark", str(artifact), *argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script>alert" not in page
    assert {path.name for path in tmp_path.iterdir()} <= {"m.onnx", "d.npz", "out", "run", "cache"}


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    """An .npz cut in the middle exits 2 with its name."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros((64, 16), np.float32), y=np.zeros(64, np.int64))
    (tmp_path / "d.npz").write_bytes(buffer.getvalue()[:2000])
    save_classifier(tmp_path / "m.onnx")
    fails(tmp_path, "benchmark", "m.onnx", "--data", "d.npz", words="d.npz")
