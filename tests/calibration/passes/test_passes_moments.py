"""Moments: the vectors taken are those that the layer multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgebench.calibration.passes.layers import layers, read_matrix
from edgebench.calibration.passes.moments import moments
from edgebench.calibration.passes.windows import vectors
from tests.calibration.passes.networks import answers, model_of, samples, session

_CONVOLUTIONS: list[dict[str, Any]] = [
    {"pads": [1, 1, 1, 1]},
    {"strides": [2, 2], "pads": [0, 1, 1, 0]},
    {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
    {"group": 2, "pads": [1, 1, 1, 1]},
    {"group": 4, "strides": [2, 1]},
]


@pytest.mark.parametrize("settings", _CONVOLUTIONS)
def test_vectors_times_weights_are_what_the_convolution_gives(settings: dict[str, Any]) -> None:
    """With strides, padding on one side, dilation and groups, the windows are the runtime's own."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(8, 4 // settings.get("group", 1), 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], **settings)
    model = model_of([node], [1, 4, 6, 6], [1, 8, 0, 0], [numpy_helper.from_array(weight, "w")])
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    image = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    (layer,) = layers(model)
    groups = layer.windows.groups
    wanted = answers(session(model), [[image]])[0].reshape(groups, 8 // groups, -1)
    rows = read_matrix(model, layer).reshape(groups, 8 // groups, -1)
    found = np.einsum("god,gpd->gop", rows, vectors(layer.windows, image[0]))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_moments_are_those_of_the_vectors() -> None:
    """Mean and second moments over samples equal those computed from all rows at once."""
    rng = np.random.default_rng(0)
    constants = [numpy_helper.from_array(rng.normal(size=(5, 3)).astype(np.float32), "w")]
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 4, 5], [1, 4, 3], constants)
    given = samples(50, (4, 5))
    found = moments(model, layers(model), given)["y"]
    rows = np.concatenate([sample[0].reshape(-1, 5) for sample in given]).astype(np.float64)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.mean[0], rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.second[0], rows.T @ rows / len(rows), rtol=1e-4)
    np.testing.assert_allclose(found.covariance[0], np.cov(rows.T, bias=True), rtol=1e-2, atol=1e-2)
