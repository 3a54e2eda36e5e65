"""Manifests of earlier versions still read."""

from __future__ import annotations

from pathlib import Path

from edgebench.artifact import SCHEMA, Format, Precision, read_manifest, write_manifest

FIRST = """\
{"name": "net", "path": "net.w8a8.onnx", "format": "onnx", "precision": "w8a8", "sha256": "00",
 "size_bytes": 9,
 "inputs": [{"name": "x", "shape": [-1, 16], "dtype": "float32", "quantization": null}],
 "outputs": [{"name": "y", "shape": [-1, 4], "dtype": "float32", "quantization": null}],
 "source": {"model": "m.onnx", "kind": "onnx", "sha256": "11", "weights": null, "weights_sha256": null},
 "preprocessing": {"resize": null, "colour": null, "scale": 1.0, "mean": [], "std": [], "layout": null},
 "steps": ["a"], "calibration": {"data": "c.npz", "fingerprint": "22", "samples": 256, "method": "mse"},
 "parity": null, "versions": {"edgebench": "0.1.0"}, "schema": 1}
"""
"""As version 0.1.0 wrote it, before `mixed`."""


def test_a_manifest_of_schema_1_reads(tmp_path: Path) -> None:
    """What it says is there; what it could not say is absent."""
    (tmp_path / "net.w8a8.onnx.json").write_text(FIRST)
    artifact = read_manifest(tmp_path / "net.w8a8.onnx")
    assert artifact is not None
    assert (artifact.format, artifact.precision, artifact.schema) == (Format.ONNX, Precision.W8A8, 1)
    assert artifact.calibration is not None
    assert artifact.mixed is None


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Written again, the old manifest keeps its number; a new one has today's."""
    (tmp_path / "net.w8a8.onnx.json").write_text(FIRST)
    artifact = read_manifest(tmp_path / "net.w8a8.onnx")
    assert artifact is not None
    write_manifest(artifact, tmp_path)
    assert read_manifest(tmp_path / "net.w8a8.onnx") == artifact
    assert SCHEMA >= 2
