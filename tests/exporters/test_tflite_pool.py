"""Global pooling as MEAN: the same answers, and only where it is the whole image's mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="needs edgebench[torch] or [tensorflow]")

from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.tflite_pool import mean_pools
from tests.calibration.tflite_networks import FUNCTIONS, Network, answers, classifier, images


def kinds(content: bytes) -> list[str]:
    """Return the file's operators."""
    return [operator.kind for operator in TfliteGraph(content).operators]


def test_the_mean_is_the_same_as_the_pooling(tmp_path: Path) -> None:
    """A classifier answers the same with MEAN in the place of its pooling, under the same names."""
    before = classifier(tmp_path / "before.tflite")
    after = tmp_path / "after.tflite"
    after.write_bytes(mean_pools(before.read_bytes()))
    old, new = (TfliteGraph(path.read_bytes()) for path in (before, after))
    assert kinds(after.read_bytes()) == [
        "MEAN" if kind == "AVERAGE_POOL_2D" else kind for kind in kinds(before.read_bytes())
    ]
    names = [[graph.name(operator.outputs[0]) for operator in graph.operators] for graph in (old, new)]
    assert names[0] == names[1]
    given = images(8, 8, 8, 3)
    np.testing.assert_allclose(answers(after, given), answers(before, given), atol=1e-6)


@pytest.mark.parametrize(
    "changed", [{"filterHeight": 2}, {"fusedActivationFunction": FUNCTIONS["RELU"]}, {"padding": 0}]
)
def test_other_pooling_stays_as_it_is(changed: dict[str, int]) -> None:
    """Pooling of parts, with an activation or with padding is not touched: the file is itself."""
    net = Network(1, 4, 4, 8)
    options = {"strideH": 4, "strideW": 4, "filterHeight": 4, "filterWidth": 4, "padding": 1} | changed
    y = net.operator("AVERAGE_POOL_2D", [net.x], "y", [1, 1, 1, 8], "Pool2DOptions", **options)
    content = net.content(y)
    assert mean_pools(content) == content


def test_pooling_that_stays_float_is_not_touched(tmp_path: Path) -> None:
    """What is not quantized has no scale to lose: the file is itself."""
    content = classifier(tmp_path / "m.tflite").read_bytes()
    assert mean_pools(content, floats=["pooled"]) == content
    assert "MEAN" in kinds(mean_pools(content, floats=["logits"]))
