"""One graph's ranges: how steady they are, what is odd about them, what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from onnx import helper, numpy_helper
from onnx_builders import normal, save

from edgebench.artifact import Format
from edgebench.calibration.methods import Method
from edgebench.calibration.samples import write_samples
from edgebench.errors import DataError, InputError, ModelError
from edgebench.exporters.graph_ranges import Ranges, RangesJob, find_ranges


def job(folder: Path, model: Path, *arrays: np.ndarray, piece: int = 16, **settings: Any) -> RangesJob:
    """Return the job of watching a file on samples that were written in pieces."""
    count = len(arrays[0])
    pieces = [[array[i : i + piece] for array in arrays] for i in range(0, count, piece)]
    write_samples(folder / "samples", count, pieces)
    settings = {"method": Method.MSE, "stability": True, **settings}
    return RangesJob(model, Format.ONNX, folder / "samples", **settings)


def vectors(count: int = 64) -> np.ndarray:
    """Return random vectors of 16 numbers."""
    return np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)


def two_inputs(folder: Path) -> Path:
    """Write a model of the inputs apple [n, 4] and pear [n, 4]."""
    nodes = [
        helper.make_node("MatMul", ["apple", "w"], ["product"]),
        helper.make_node("Add", ["product", "pear"], ["y"]),
    ]
    weights = {"w": normal(4, 4)}
    return save(folder / "two.onnx", nodes, {"apple": ["n", 4], "pear": ["n", 4]}, {"y": ["n", 4]}, weights)


@pytest.mark.parametrize("method", list(Method))
def test_the_ranges_do_not_depend_on_the_pieces(tmp_path: Path, method: Method) -> None:
    """Samples written one, seven or all at a time give the same table, bit for bit."""
    model = save_classifier(tmp_path / "m.onnx", width=4096)
    found: list[Ranges] = [
        find_ranges(job(tmp_path, model, vectors(), piece=piece, method=method)) for piece in (1, 7, 64)
    ]
    assert found[0] == found[1] == found[2]
    taken = 1366 + 2 * method.exact
    assert found[0].table.tensors["r"].values == 64 * taken, "every third of 4,096 values, and the extremes"


def test_stability_is_small_for_like_samples_and_large_for_one_odd_part(tmp_path: Path) -> None:
    """Each fourth sample a hundred times larger: that tensor's range moves much, and a note names it."""
    model = save_classifier(tmp_path / "m.onnx")
    steady = find_ranges(job(tmp_path, model, vectors(400)))
    assert steady.notes == ()
    assert all(0 < tensor.spread < 0.25 for tensor in steady.table.tensors.values())
    odd = vectors(400)
    odd[::4] *= 100
    found = find_ranges(job(tmp_path, model, odd))
    assert found.table.tensors["x"].spread > 0.5
    (note,) = found.notes
    assert "ranges move much as a quarter of the samples is left out" in note
    assert "x (" in note
    unasked = find_ranges(job(tmp_path, model, odd, stability=False))
    assert unasked.notes == ()
    assert unasked.table.tensors["x"].spread is None
    assert unasked.table.tensors["x"].range == found.table.tensors["x"].range


def test_a_tensor_that_is_always_zero_is_named(tmp_path: Path) -> None:
    """Biases of −1000 before a ReLU: the tensor is named once, and has an empty range."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx"))
    bias = next(tensor for tensor in network.graph.initializer if tensor.name == "b1")
    bias.CopyFrom(numpy_helper.from_array(np.full(8, -1000, np.float32), "b1"))
    onnx.save(network, tmp_path / "m.onnx")
    found = find_ranges(job(tmp_path, tmp_path / "m.onnx", vectors()))
    assert found.notes == ("onnx: always zero on the calibration samples: r",)
    assert (found.table.tensors["r"].range.highest, found.table.tensors["r"].zeros) == (0.0, 1.0)


def test_nan_names_the_tensor_and_the_sample_of_the_data(tmp_path: Path) -> None:
    """A logarithm of a negative number on the data's sample 57, whatever its place among those chosen."""
    node = helper.make_node("Log", ["x"], ["y"], name="log")
    model = save(tmp_path / "log.onnx", [node], {"x": ["n", 4]}, {"y": ["n", 4]})
    numbers = tuple(range(7, 107, 10))
    values = np.ones((10, 4), np.float32)
    values[numbers.index(57), 2] = -1
    with pytest.raises(DataError, match="the tensor y is NaN or infinite on calibration sample 57"):
        find_ranges(job(tmp_path, model, values, numbers=numbers))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(8, 4)], r"takes 2 inputs \(apple, pear\), the data has 1"),
        ([(8, 4), (8, 5)], r"input pear takes samples of shape \[4\], the data's have \[5\]"),
        ([(8, 4), (8, 2, 2)], r"input pear takes samples of shape \[4\], the data's have \[2, 2\]"),
    ],
    ids=["number", "size", "rank"],
)
def test_data_that_does_not_fit_the_inputs_is_refused(
    tmp_path: Path, shapes: Sequence[tuple[int, ...]], words: str
) -> None:
    """Too few arrays, another size, another rank: the input is named with both shapes."""
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    with pytest.raises(DataError, match=words):
        find_ranges(job(tmp_path, two_inputs(tmp_path), *arrays))


def test_arrays_in_another_order_than_the_inputs_are_refused(tmp_path: Path) -> None:
    """The inputs' own names in another order would be mixed up in silence; other names say nothing."""
    model, array = two_inputs(tmp_path), np.ones((8, 4), np.float32)
    with pytest.raises(DataError, match="in the order pear, apple, the model takes apple, pear"):
        find_ranges(job(tmp_path, model, array, array, names=("pear", "apple")))
    for names in (("apple", "pear"), ("a", "b"), ()):
        assert set(find_ranges(job(tmp_path, model, array, array, names=names)).table.tensors) >= {"y"}


def test_a_quantized_model_is_refused(tmp_path: Path) -> None:
    """A graph with quantized operators is called so, and what can be done is said."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    weights = {"scale": np.float32([0.1])[0].reshape(()), "zero": np.uint8([0])[0].reshape(())}
    model = save(tmp_path / "q.onnx", nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, weights)
    with pytest.raises(ModelError, match="already quantized: 2 of its 2 operators") as caught:
        find_ranges(job(tmp_path, model, np.ones((8, 4), np.float32)))
    assert "edgebench benchmark" in str(caught.value)


def test_little_memory_makes_coarser_bins_or_a_refusal(tmp_path: Path) -> None:
    """The table says how many bins there were; less than the least is refused with what is needed."""
    model = save_classifier(tmp_path / "m.onnx", width=2048)
    wanted = job(tmp_path, model, vectors())
    assert find_ranges(wanted).table.bins == 4096
    assert find_ranges(replace(wanted, memory_bytes=1_000_000)).table.bins < 4096
    with pytest.raises(InputError, match="too little for the onnx graph"):
        find_ranges(replace(wanted, memory_bytes=1000))
