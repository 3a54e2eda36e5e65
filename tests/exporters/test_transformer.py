"""A text model of two inputs, embeddings, masks, norms and attention, through the export to int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models.token_transformer import texts

from edgebench import api
from edgebench.artifact import Format
from edgebench.exporters.parity import answers

pytest.importorskip("torch", reason="needs edgebench[torch]")

FACTORY = Path(__file__).parents[1] / "models" / "token_transformer.py"


def exported(folder: Path, factory: str, fmt: str, **settings: object) -> tuple[Path, Path, tuple[str, ...]]:
    """Return the fp32 and the w8a8 file of a factory, and the steps that made the latter."""
    np.savez(folder / "calibration.npz", **texts(64, 1))
    result = api.export(
        f"{FACTORY}:{factory}",
        out=folder,
        formats=fmt,
        precisions="fp32,w8a8",
        calib_data=str(folder / "calibration.npz"),
        name="net",
        **settings,  # type: ignore[arg-type]
    )
    fp32, int8 = result.artifacts
    return folder / fp32.path, folder / int8.path, int8.steps


def decibels(paths: tuple[Path, Path], fmt: Format) -> float:
    """Return the signal over noise of the second file's answers to texts that calibrated nothing."""
    held_back = tuple(texts(256, 2).values())
    wanted, found = (answers(path, fmt, held_back)[0].astype(np.float64) for path in paths)
    return float(10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()))


def test_an_onnx_text_model_keeps_its_answers(tmp_path: Path) -> None:
    """With a mask of −∞: 20 dB, all weights but a small last layer's in int8."""
    fp32, int8, steps = exported(tmp_path, "infinite", "onnx")
    assert "in float: all of the transformer but products with constants" in steps
    large = [t for t in onnx.load(int8).graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert max(int(np.prod(t.dims)) for t in large) < 64 * 64
    assert decibels((fp32, int8), Format.ONNX) > 20


def test_a_tflite_text_model_keeps_its_answers(tmp_path: Path) -> None:
    """With a mask of −∞, and floats in and out: 25 dB, and the file less than 0.4 of fp32."""
    pytest.importorskip("litert_torch", reason="needs edgebench[torch]")
    fp32, int8, steps = exported(tmp_path, "infinite", "tflite")
    assert "in float: all of the transformer but products with constants" in steps
    assert int8.stat().st_size < 0.4 * fp32.stat().st_size
    assert decibels((fp32, int8), Format.TFLITE) > 25


def test_a_tflite_text_model_in_integers_alone_runs(tmp_path: Path) -> None:
    """Asked for int8 outputs, the mask's range does not swallow the scores: the answers stay near."""
    pytest.importorskip("litert_torch", reason="needs edgebench[torch]")
    fp32, int8, _ = exported(tmp_path, "huge", "tflite", io="int8")
    assert decibels((fp32, int8), Format.TFLITE) > 8
