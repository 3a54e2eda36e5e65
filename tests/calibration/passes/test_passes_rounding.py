"""Rounding of weights: what is lost, the grid they lie on, and the means that the bias takes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import layers, read_matrix
from edgebench.calibration.passes.moments import moments
from edgebench.calibration.passes.rounding import round_rows, round_weights, top_of
from tests.calibration.passes.networks import answers, model_of, quantize, residual_network, samples, session


def correlated(columns: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Return 16 rows of weights and the second moments of inputs that vary together."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4096, 8)) @ rng.normal(size=(8, columns)) + 0.1 * rng.normal(
        size=(4096, columns)
    )
    return rng.normal(size=(16, columns)), inputs.T @ inputs / len(inputs)


def test_errors_are_made_up_for_by_later_weights() -> None:
    """On inputs that vary together, less than a tenth of rounding to nearest's error is left."""
    rows, loss = correlated()
    scales = np.abs(rows).max(axis=1, keepdims=True) / 64
    nearest = np.rint(rows / scales) * scales
    found = round_rows(rows, loss, 64)

    def lost(after: np.ndarray) -> float:
        return float((((after - rows) @ loss) * (after - rows)).sum())

    assert lost(found) < 0.1 * lost(nearest)


@pytest.mark.parametrize("bits", [7, 8])
def test_rows_lie_on_a_grid_whose_end_they_reach(bits: int) -> None:
    """Each row is integers times one scale, the largest of them being the grid's last."""
    rows, loss = correlated()
    found = round_rows(rows, loss, top_of(bits))
    scales = np.abs(found).max(axis=1, keepdims=True) / top_of(bits)
    np.testing.assert_allclose(found / scales, np.rint(found / scales), atol=1e-9)


def test_a_row_of_zeros_stays_zero_and_unused_inputs_do_no_harm() -> None:
    """A dead output and an input that is always zero give finite weights, and zeros remain zeros."""
    rows, loss = correlated()
    rows[3] = 0
    loss[:, 5] = loss[5] = 0
    found = round_rows(rows, loss, 64)
    assert np.isfinite(found).all()
    assert not found[3].any()


def test_inputs_that_are_never_anything_but_zero_give_plain_rounding() -> None:
    """Without any signal the weights are still within one step of what they were."""
    rows, loss = correlated()
    found = round_rows(rows, np.zeros_like(loss), 64)
    assert np.abs(found - rows).max() <= np.abs(rows).max(axis=1).max() / 64


def test_a_loss_that_is_all_errors_of_float32_gives_plain_rounding() -> None:
    """Inputs that never vary leave a loss that is negative in some directions: nothing is made of it."""
    rows, _ = correlated()
    noise = np.random.default_rng(0).normal(size=(48, 48)) * 1e-9
    found = round_rows(rows, noise + noise.T, 64)
    assert np.abs(found - rows).max() <= np.abs(rows).max(axis=1).max() / 64


def test_the_quantizer_finds_the_same_integers() -> None:
    """Onnxruntime's 7 bits per channel represent the rounded weights exactly."""
    model = residual_network()
    rounded = round_weights(model, moments(model, layers(model), samples(16)), bits=7)
    names = [name for node in model.graph.node for name in node.output]
    made = quantize(rounded, dict.fromkeys(["x", *names], Range(-4.0, 4.0)), [], bits=7)
    stored = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    for layer in layers(rounded):
        rows = read_matrix(rounded, layer)
        integers = stored[f"{layer.weight}_quantized"].reshape(rows.shape).astype(np.float64)
        again = integers * stored[f"{layer.weight}_scale"].astype(np.float64)[:, None]
        np.testing.assert_allclose(again, rows, rtol=1e-5, atol=1e-7)


def test_the_bias_takes_the_mean_of_the_error() -> None:
    """A dense layer's mean answer on the samples is the float one's after rounding to 7 bits."""
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.normal(size=(6, 20)).astype(np.float32), "w"),
        numpy_helper.from_array(np.zeros(6, np.float32), "b"),
    ]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    model = model_of(nodes, [1, 20], [1, 6], constants)
    given = [[(rng.normal(size=(1, 20)) + 3).astype(np.float32)] for _ in range(200)]
    rounded = round_weights(model, moments(model, layers(model), given), bits=7)
    shift = answers(session(rounded), given).mean(axis=0) - answers(session(model), given).mean(axis=0)
    assert np.abs(shift).max() < 1e-4
