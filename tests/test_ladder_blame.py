"""Blame from figures alone, and the figures themselves."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.datasets import Dataset, Preprocessing
from edgebench.ladder.blame import Findings, blame, loses, worst_layer
from edgebench.ladder.noise import EXACT_DB, Noise
from edgebench.ladder.preprocessing import fit_input, hypotheses, misfits
from edgebench.ladder.record import Anatomy, Cause, Layer, Rung, Step
from edgebench.ladder.rungs import mcnemar


def rung(step: Step, **figures: float | None) -> Rung:
    """Return a rung that differs a little from the one above."""
    return Rung(step, "a runtime", **{"max_abs_error": 0.1, "sqnr_db": 50.0, "churn": 0.0, **figures})  # type: ignore[arg-type]


def layer(tensor: str, alone_db: float | None, added: float = 0.0) -> Layer:
    """Return a layer by its noise."""
    return Layer(tensor, "Conv", tensor, 10.0, alone_db, 1.0, added)


def test_mcnemar_is_the_tail_of_fair_coins() -> None:
    """Five worse and none better has p = 1/32; as many better as worse is no evidence."""
    assert mcnemar(5, 0) == 1 / 32
    assert mcnemar(0, 0) == 1
    assert mcnemar(10, 10) > 0.5


@pytest.mark.parametrize(
    ("figures", "lost"),
    [
        ({}, False),
        ({"drop": 0.02, "p_value": 0.03}, True),
        ({"drop": 0.02, "p_value": 0.3}, False),
        ({"drop": -0.02, "p_value": 1.0}, False),
        ({"churn": 0.11}, True),
        ({"sqnr_db": 9.0}, True),
        ({"sqnr_db": -60.0, "max_abs_error": 1e-5}, False),
    ],
)
def test_a_rung_loses_by_accuracy_churn_or_noise(figures: dict[str, float], lost: bool) -> None:
    """More than chance, a tenth of the classes, or a tenth of noise; rounding is none."""
    assert loses(rung(Step.QUANTIZED, **figures)) is lost


def test_an_fp32_conversion_is_held_to_40_db() -> None:
    """What a quantized file may, an exported fp32 file may not."""
    assert loses(rung(Step.EXPORTED, sqnr_db=35.0))
    assert not loses(rung(Step.QUANTIZED, sqnr_db=35.0))


def test_the_greatest_loss_is_blamed_and_on_a_tie_the_higher_rung() -> None:
    """A kernel that loses ten points outweighs a quantization of five; equal churn blames the first."""
    first = Rung(Step.FRAMEWORK, "a runtime", accuracy=0.9)
    five, ten = ({"drop": share, "p_value": 0.001} for share in (0.05, 0.10))
    rungs = (first, rung(Step.QUANTIZED, **five), rung(Step.TARGET, **ten))
    assert blame(Findings(rungs, Anatomy())).cause is Cause.KERNEL
    tied = (first, rung(Step.EXPORTED, churn=0.5), rung(Step.QUANTIZED, churn=0.5, sqnr_db=-3.0))
    assert blame(Findings(tied, Anatomy())).cause is Cause.CONVERSION


@pytest.mark.parametrize(("quantized", "named"), [(0.3, "calibrated on x/255"), (0.0, "manifest declares")])
def test_a_wrong_calibration_is_named_before_the_manifest_that_declares_it(
    quantized: float, named: str
) -> None:
    """Inputs as declared lose most: the file that was calibrated so too is to be made anew, and is blamed."""
    lost = {"drop": quantized, "p_value": 0.001} if quantized else {}
    rungs = (
        Rung(Step.FRAMEWORK, "a runtime", accuracy=0.9),
        rung(Step.QUANTIZED, **lost),
        rung(Step.TARGET),
        rung(Step.DECLARED, drop=0.5, p_value=0.001),
    )
    fit = fit_input(
        "x", (0.0, 1.0), np.linspace(-2, 2, 101, dtype=np.float32), {"x/255": np.linspace(0, 1, 9)}
    )
    found = blame(Findings(rungs, Anatomy(), input_fit=fit, declared="the manifest declares scale 1/255"))
    assert found.cause is Cause.PREPROCESSING
    assert named in found.sentence
    assert "the manifest declares scale 1/255" in found.evidence


def test_of_layers_about_as_noisy_the_first_is_the_worst() -> None:
    """What reads a broken tensor is broken too; without figures of their own, the added noise counts."""
    layers = [layer("fine", 40.0), layer("broken", -2.0), layer("reader", -4.0), layer("last", 30.0)]
    found = worst_layer(layers)
    assert found is not None
    assert found.tensor == "broken"
    found = worst_layer([layer("a", None, 0.1), layer("b", None, 0.4), layer("c", None, 0.2)])
    assert found is not None
    assert found.tensor == "b"
    assert worst_layer([]) is None


def test_noise_is_added_up_over_samples() -> None:
    """Two samples give the ratio of both together; no error is `exact`; NaN counts as an error."""
    noise = Noise()
    assert noise.sqnr_db == EXACT_DB
    noise.add(np.array([3.0, 4.0]), np.array([3.0, 4.0]))
    noise.add(np.array([5.0]), np.array([4.0]))
    assert noise.sqnr_db == pytest.approx(10 * np.log10(50))
    noise.add(np.array([1.0]), np.array([np.nan]))
    assert noise.largest == 2.0


def test_a_range_is_compared_with_what_fills_it() -> None:
    """0–1 for inputs of ±2 misfits and looks like x/255; ±2 for inputs of ±2 fits; ±200 is hardly used."""
    inputs = np.linspace(-2, 2, 101, dtype=np.float32)
    others = {"x/255": np.linspace(0, 1, 101, dtype=np.float32), "unscaled": np.linspace(0, 255, 101)}
    wrong = fit_input("x", (0.0, 1.0), inputs, others)
    assert misfits(wrong.clipped, wrong.used)
    assert wrong.like == "x/255"
    right = fit_input("x", (-2.0, 2.0), inputs, others)
    assert not misfits(right.clipped, right.used)
    wide = fit_input("x", (-200.0, 200.0), inputs, others)
    assert misfits(wide.clipped, wide.used)
    assert wide.clipped == 0


def test_tokens_have_no_other_preprocessing() -> None:
    """Indices are not scaled; images are, and their channels swapped; what is declared is not tried."""
    tokens = Dataset("t", (np.zeros((4, 7), np.int64),), None, "f")
    assert hypotheses(Preprocessing(), tokens, [0, 1]) == {}
    images = Dataset("i", (np.full((4, 2, 2, 3), 200, np.uint8),), None, "f")
    tried = hypotheses(Preprocessing(scale=1 / 255), images, [0, 1])
    assert "channels swapped to BGR" in tried
    assert "x/255" not in tried
