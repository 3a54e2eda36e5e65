"""Pipelines that run in seconds, and what a run of one has left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from models.small_onnx import save_classifier
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgebench.storage import sha256_path

ONNX = """\
schema_version: 1
name: tiny
model: {model: m.onnx}
data: {calibration: c.npz, evaluation: e.npz}
export: {formats: [onnx], precisions: [fp32, w8a8]}
benchmark: {sessions: 2, calls: 30}
gates: [size <= 1MB]
"""
TORCH = """\
schema_version: 1
name: tiny
model: {model: nets.py:student}
data: {train: t.npz, evaluation: e.npz}
compress:
  distil: {teacher: {model: nets.py:teacher, epochs: 2}, epochs: 2}
  prune: {sparsity: 0.5, finetune_epochs: 1}
export: {formats: [onnx], precisions: [fp32]}
benchmark: {sessions: 1, calls: 30}
gates: [size <= 1MB]
"""
NETS = """\
from torch import nn
def student():
    return nn.Linear(16, 4)
def teacher():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
"""


def write_onnx_pipeline(folder: Path, **changes: str) -> Path:
    """Write p.yaml and what it names into `folder`; return its path. changes: a key's line anew, or none."""
    folder.mkdir(parents=True, exist_ok=True)
    save_classifier(folder / "m.onnx")
    write_data(folder / "c.npz", seed=1)
    write_data(folder / "e.npz", seed=2)
    return _write(folder / "p.yaml", ONNX, changes)


def write_torch_pipeline(folder: Path, **changes: str) -> Path:
    """Write p.yaml that trains, distils, prunes and fine-tunes, and what it names; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nets.py").write_text(NETS)
    write_data(folder / "t.npz", seed=1, samples=256)
    write_data(folder / "e.npz", seed=2)
    return _write(folder / "p.yaml", TORCH, changes)


def write_data(path: Path, *, seed: int, samples: int = 32) -> Path:
    """Write samples of 16 numbers with labels of 4 classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 16)).astype(np.float32)
    np.savez(path, x=x, y=np.arange(samples) % 4)
    return path


def run_folders(cwd: Path, name: str = "tiny") -> list[Path]:
    """Return the folders of a pipeline's runs, oldest first."""
    return sorted((cwd / "runs" / name).iterdir())


def artifacts(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each model file of a run."""
    return {path.name: sha256_path(path) for path in (run / "artifacts").glob("*.onnx")}


def assert_whole(run: Path) -> None:
    """Assert that a run came to its end and that its manifest tells the truth about every file."""
    manifest = json.loads((run / "manifest.json").read_bytes())
    assert manifest["finished"] is True
    found = {
        path.relative_to(run).as_posix(): sha256_path(path)
        for path in run.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", ".lock")
    }
    assert manifest["files"] == found
    assert {"verdict.json", "report.html", "evidence.json", "results.csv", "config.resolved.yaml"} <= set(
        found
    )
    assert json.loads((run / "evidence.json").read_bytes())["measurements"]


def leftovers(cwd: Path) -> list[str]:
    """Return what unfinished work has left below `cwd`: half-written files, working folders, scratch."""
    hidden = [path for path in cwd.rglob(".*") if path.name != ".lock"]
    return [str(path.relative_to(cwd)) for path in [*hidden, *(cwd / "tmp").glob("*")]]


def save_image_classifier(path: Path) -> Path:
    """Write an ONNX model of gray images, 4×4 pixels, float32[batch, 4, 4, 1], and 4 classes."""
    weights = numpy_helper.from_array(np.eye(16, 4, dtype=np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 4, 1])
    y = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "images", [x], [y], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def write_image_folders(folder: Path) -> Path:
    """Write 4 classes of 4 gray images, 4×4 pixels."""
    rng = np.random.default_rng(0)
    for label in "abcd":
        (folder / label).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(rng.integers(0, 255, (4, 4), np.uint8)).save(folder / label / f"{index}.png")
    return folder


def _write(path: Path, text: str, changes: dict[str, str]) -> Path:
    lines = text.splitlines(keepends=True)
    for key, line in changes.items():
        lines = [old for old in lines if not old.startswith(f"{key}:")]
        lines += [f"{line}\n"] if line else []
    path.write_text("".join(lines))
    return path
