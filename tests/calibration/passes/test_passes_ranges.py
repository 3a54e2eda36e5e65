"""The ranges of summands: narrower, and nothing that counts is lost."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper

from edgebench.calibration.methods import Method
from edgebench.calibration.passes.ranges import summand_ranges
from tests.calibration.passes.networks import answers, model_of, residual_network, samples, session


def test_a_summand_needs_no_range_that_the_relu_throws_away() -> None:
    """Clipping each summand to its range changes no answer, and it is narrower."""
    model, given = residual_network(), samples(32)
    ranges = summand_ranges(model, given, Method.MIN_MAX)
    assert set(ranges) == {"second0_y", "second1_y"}
    clipped = residual_network()
    for name, found in ranges.items():
        add = next(node for node in clipped.graph.node if name in node.input)
        add.input[list(add.input).index(name)] = f"{name}_clipped"
        place = list(clipped.graph.node).index(add)
        for suffix, value in (("low", found.lowest), ("high", found.highest)):
            tensor = helper.make_tensor(f"{name}_{suffix}", 1, [], [value])
            clipped.graph.initializer.append(tensor)
        bounds = [name, f"{name}_low", f"{name}_high"]
        clipped.graph.node.insert(place, helper.make_node("Clip", bounds, [f"{name}_clipped"]))
    wanted = answers(session(model), given)
    np.testing.assert_allclose(answers(session(clipped), given), wanted, atol=1e-4)
    lowest = _lowest(model, given, "second0_y")
    assert lowest < ranges["second0_y"].lowest * 1.2


def test_a_graph_without_sums_has_none() -> None:
    """Where no convolution's result is only added before a ReLU, the samples are not even read."""
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [1, 4], [1, 4], [])
    assert summand_ranges(model, iter([]), Method.MSE) == {}


def _lowest(model: ModelProto, given: list[list[np.ndarray]], name: str) -> float:
    tapped = ModelProto()
    tapped.CopyFrom(model)
    del tapped.graph.output[:]
    tapped.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    return float(answers(session(tapped), given).min())
