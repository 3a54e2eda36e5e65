"""Mixed precision of TFLite files: the layers named stay float, and the search finds which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models.small_tflite import save_tflite, weights

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.datasets import Dataset
from edgebench.exporters.export import ExportRequest, export
from edgebench.exporters.mixed_budget import mixed_settings
from edgebench.exporters.source import open_source
from edgebench.exporters.tflite_file import open_interpreter


def planted(folder: Path) -> tuple[Path, Dataset]:
    """Write a classifier of which int8 destroys the first layer; return it, and data that it is sure of.

    Two equal inputs are multiplied by large weights of opposite sign, whose scale leaves nothing of others.
    """
    constants = weights()
    inputs = np.random.default_rng(3).normal(size=(4000, 16)).astype(np.float32)
    inputs[:, 1] = inputs[:, 0]
    hidden = np.maximum(inputs @ constants["w1"].T + constants["b1"], 0)
    constants["b2"] -= (hidden @ constants["w2"].T + constants["b2"]).mean(0)
    scores = hidden @ constants["w2"].T + constants["b2"]
    constants["w1"][:, 0] += 400
    constants["w1"][:, 1] -= 400
    ordered = np.sort(scores, 1)
    sure = np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")[:300]
    data = Dataset("planted", (inputs[sure],), scores[sure].argmax(1), "planted")
    return save_tflite(folder / "net.tflite", constants=constants), data


@pytest.mark.parametrize("io", [TensorIo.FLOAT, TensorIo.INT8])
def test_the_layer_that_int8_destroys_stays_float(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, io: TensorIo
) -> None:
    """The first dense layer computes in float, the second in int8; inputs and outputs are as asked for."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    model, data = planted(tmp_path)
    result = export(
        ExportRequest(
            source=open_source(str(model)),
            formats=(Format.TFLITE,),
            precisions=(Precision.W8A8,),
            out=tmp_path / "out",
            name="net",
            calibration=data,
            parity_data=data,
            mixed=mixed_settings("1pp", "90%"),
            io=io,
        )
    )
    (artifact,) = result.artifacts
    assert artifact.mixed is not None
    assert artifact.mixed.trials[0].drop > 0.1
    assert (result.held, artifact.mixed.trial.floats) == (True, ("h",))
    assert artifact.mixed.trial.float_share == pytest.approx(0.8)
    wanted = "int8" if io is TensorIo.INT8 else "float32"
    assert {spec.dtype for spec in (*artifact.inputs, *artifact.outputs)} == {wanted}
    tensors = open_interpreter(tmp_path / "out" / "net.w8a8.tflite", "net").get_tensor_details()
    kinds = {tuple(tensor["shape"]): tensor["dtype"] for tensor in tensors if len(tensor["shape"]) == 2}
    assert kinds[8, 16] is np.float32
    assert kinds[4, 8] is np.int8
