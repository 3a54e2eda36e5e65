"""The samples that a conversion gets, and the source's answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgebench.artifact import TensorSpec
from edgebench.errors import DataError, ModelError
from edgebench.exporters.samples import full_shapes, read_samples, samples_or_random, write_reference

IMAGE = TensorSpec("image", (-1, -1, -1, 3), "float32")
TOKENS = TensorSpec("tokens", (-1, 5), "int64")


def test_samples_come_back_in_their_order(tmp_path: Path) -> None:
    """in_0, in_1, … in_10 are read by number, not by name."""
    arrays = {f"in_{index}": np.full((2, 1), index) for index in range(11)}
    np.savez(tmp_path / "s.npz", **arrays)
    assert [int(x[0, 0]) for x in read_samples(tmp_path / "s.npz")] == list(range(11))
    assert read_samples(None) == ()


@pytest.mark.parametrize("given", [(1, 8, 9, 3), (8, 9, 3), (4, 8, 9, 3)])
def test_open_dimensions_come_from_the_option(given: Sequence[int]) -> None:
    """--input-shape closes what the model leaves open, with or without a batch; the batch becomes 1."""
    assert full_shapes("m", [IMAGE], [given], ()) == ((1, 8, 9, 3),)


def test_open_dimensions_come_from_the_samples_else() -> None:
    """Where the option says nothing of an input, its samples do."""
    samples = (np.zeros((2, 8, 9, 3)), np.zeros((2, 5)))
    assert full_shapes("m", [IMAGE, TOKENS], [], samples) == ((1, 8, 9, 3), (1, 5))
    assert full_shapes("m", [IMAGE, TOKENS], [(1, 4, 4, 3)], samples) == ((1, 4, 4, 3), (1, 5))


def test_dimensions_that_stay_open_are_asked_for() -> None:
    """An input whose size nobody says is named, and the hint is the option that says it."""
    with pytest.raises(ModelError, match="image leaves dimensions open") as caught:
        full_shapes("m", [IMAGE], [], ())
    assert caught.value.hint is not None
    assert "--input-shape" in caught.value.hint


@pytest.mark.parametrize("given", [(1, 8, 9, 4), (8, 9), (1, 1, 8, 9, 3), ()])
def test_a_shape_that_contradicts_the_model_is_refused(given: Sequence[int]) -> None:
    """--input-shape is never ignored: one that the model cannot take is an error with both shapes."""
    with pytest.raises(ModelError, match=r"image has the shape \[-1, -1, -1, 3\]"):
        full_shapes("m", [IMAGE], [given], ())


def test_more_shapes_than_inputs_are_refused() -> None:
    """A second --input-shape for a model of one input is an error."""
    with pytest.raises(ModelError, match="takes 1 inputs, --input-shape gives 2"):
        full_shapes("m", [TOKENS], [(1, 5), (1, 5)], ())


def test_a_batch_fixed_above_one_is_refused() -> None:
    """A model that takes 4 samples at once, no more and no less, is an error that names the input."""
    with pytest.raises(ModelError, match="input x is fixed at 4"):
        full_shapes("m", [TensorSpec("x", (4, 5), "float32")], [], ())


@pytest.mark.parametrize(("batch", "calls"), [(-1, [32, 32, 6]), (1, [1] * 70)])
def test_the_source_answers_in_its_own_batches(batch: int, calls: list[int], tmp_path: Path) -> None:
    """An open batch is fed 32 samples at a time, a fixed one of 1 one at a time; all answers are kept."""
    seen: list[int] = []

    def double(values: list[np.ndarray]) -> list[np.ndarray]:
        seen.append(len(values[0]))
        assert values[0].dtype == np.int64
        return [2 * values[0], values[0].sum(axis=1)]

    samples = (np.arange(350, dtype=np.float32).reshape(70, 5),)
    spec = TensorSpec("tokens", (batch, 5), "int64")
    path = write_reference(tmp_path / "m.onnx", samples, [spec], double)
    assert path is not None
    with np.load(path) as stored:
        assert stored["out_0"].dtype == np.float32
        np.testing.assert_array_equal(stored["out_0"], 2 * samples[0])
        np.testing.assert_array_equal(stored["out_1"], samples[0].sum(axis=1))
    assert seen == calls


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ((np.zeros((2, 6)),), r"tokens takes samples of shape \[5\], the data's have \[6\]"),
        ((np.zeros((2, 5, 1)),), r"tokens takes samples of shape \[5\], the data's have \[5, 1\]"),
        ((np.zeros((2, 5)), np.zeros((2, 5))), r"takes 1 inputs \(tokens\), the data has 2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    samples: tuple[np.ndarray, ...], words: str, tmp_path: Path
) -> None:
    """Samples of another shape or number than the inputs are an error with both."""
    with pytest.raises(DataError, match=words):
        write_reference(tmp_path / "m.onnx", samples, [TOKENS], lambda values: values)


def test_random_samples_are_written_once_and_the_same(tmp_path: Path) -> None:
    """Without samples, reproducible ones are drawn: floats that vary, integers of 0 and 1."""
    drawn = [
        samples_or_random(None, tmp_path / name, [(1, 2, 2, 3), (1, 5)], [IMAGE, TOKENS])
        for name in ("a.onnx", "b.onnx")
    ]
    for path, (image, tokens) in drawn:
        assert image.shape == (8, 2, 2, 3)
        assert image.dtype == np.float32
        assert image.std() > 0.5
        assert set(np.unique(tokens)) == {0, 1}
        for kept, array in zip(read_samples(path), (image, tokens), strict=True):
            np.testing.assert_array_equal(kept, array)
    np.testing.assert_array_equal(drawn[0][1][0], drawn[1][1][0])


def test_given_samples_are_taken_as_they_are(tmp_path: Path) -> None:
    """With samples, their file is named again and nothing is drawn."""
    np.savez(tmp_path / "s.npz", in_0=np.ones((3, 5)))
    path, (tokens,) = samples_or_random(tmp_path / "s.npz", tmp_path / "m.onnx", [(1, 5)], [TOKENS])
    assert path == tmp_path / "s.npz"
    np.testing.assert_array_equal(tokens, np.ones((3, 5)))
    assert not (tmp_path / "m.onnx.samples.npz").exists()
