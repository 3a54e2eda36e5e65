"""How near two sets of answers are, and from where on an export is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.artifact import Parity, Precision
from edgebench.errors import ExportError
from edgebench.exporters.parity import against_source, check, compare


def rows(count: int = 10, classes: int = 4) -> np.ndarray:
    """Return normally distributed answers float32[count, classes]."""
    return np.random.default_rng(0).normal(size=(count, classes)).astype(np.float32)


def test_equal_answers_have_no_error() -> None:
    """The same answers: error 0, cosine 1, agreement 1, and no ratio, since there is no noise."""
    parity = compare("d", [rows()], [rows()])
    assert (parity.max_abs_error, parity.sqnr_db, parity.agreement) == (0.0, None, 1.0)
    assert parity.cosine == pytest.approx(1.0)
    assert parity.samples == 10


def test_the_figures_are_those_of_their_definitions() -> None:
    """A tenth of noise in amplitude is 20 dB; the largest difference and the agreement are counted."""
    wanted = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 3.0]], np.float32)
    got = wanted * np.float32(1.1)
    got[3] = [3.3, 1.1]
    parity = compare("d", [wanted], [got])
    assert parity.agreement == 0.75
    assert parity.max_abs_error == pytest.approx(2.3)
    assert compare("d", [wanted], [wanted * np.float32(1.1)]).sqnr_db == pytest.approx(20.0, abs=1e-4)


def test_the_worst_output_counts() -> None:
    """Of two outputs the worse one gives the figures."""
    parity = compare("d", [rows(), rows()], [rows(), rows() * np.float32(0.5)])
    assert parity.sqnr_db == pytest.approx(10 * np.log10(4), abs=1e-4)


def test_answers_that_are_no_scores_have_no_agreement() -> None:
    """An image as answer has no best class."""
    image = np.ones((3, 4, 4, 2), np.float32)
    assert compare("d", [image], [image]).agreement is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "0 outputs"),
        ([rows(9)], "shape"),
        ([np.full((10, 4), np.nan, np.float32)], "NaN"),
        ([np.full((10, 4), np.inf, np.float32)], "infinity"),
    ],
)
def test_answers_of_another_form_are_wrong(given: list[np.ndarray], words: str) -> None:
    """Missing outputs, other shapes, NaN and infinity are errors whatever the precision."""
    with pytest.raises(ExportError, match=words):
        compare("d", [rows()], given)


def test_outputs_of_as_many_rows_as_the_values_let_through_are_left_out() -> None:
    """A detector's quantized file finds 9 boxes for the source's 10: told, the other output is compared."""
    boxes, scores = rows(), rows()
    found, notes = against_source("d", Precision.W8A8, [boxes, scores], [boxes[:9], scores])
    assert found is not None
    assert found.max_abs_error == 0
    assert notes == ("output 0 is not compared with the source's: 9 rows, in the source 10",)
    none, notes = against_source("d", Precision.W8A8, [boxes], [boxes[:9]])
    assert none is None
    assert len(notes) == 1
    with pytest.raises(ExportError, match="shape"):
        against_source("d", Precision.FP32, [boxes], [boxes[:9]])
    with pytest.raises(ExportError, match="2 outputs"):
        against_source("d", Precision.W8A8, [boxes], [boxes[:9], boxes])


def figures(sqnr_db: float | None, error: float = 1.0) -> Parity:
    """Return figures with this ratio."""
    return Parity("d", 10, error, 0.9, sqnr_db, 0.9)


@pytest.mark.parametrize(("precision", "wrong", "right"), [("fp32", 39.0, 41.0), ("fp16", 19.0, 21.0)])
def test_a_float_export_that_is_another_function_fails(precision: str, wrong: float, right: float) -> None:
    """fp32 below 40 dB and fp16 below 20 dB fail; above, nothing is said."""
    with pytest.raises(ExportError, match="outputs are wrong"):
        check(figures(wrong), Precision(precision))
    assert check(figures(right), Precision(precision)) == ()


def test_quantized_noise_is_told_and_does_not_fail() -> None:
    """int8 with more than a tenth of noise in its power gets a note; accuracy decides later."""
    (note,) = check(figures(9.0), Precision.W8A8)
    assert "9.0 dB" in note
    assert check(figures(11.0), Precision.W8A8) == ()


def test_rounding_of_a_tiny_signal_is_no_error() -> None:
    """Differences up to 1e-4 pass, even where the whole signal is no larger."""
    assert check(figures(3.0, error=5e-5), Precision.FP32) == ()
