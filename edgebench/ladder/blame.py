"""Which rung is to blame, from figures alone.

A rung loses where its accuracy falls by more than chance explains, where more than a tenth of the best
classes change, or where its answers hold more than a tenth of noise (fp32 answers: a ten-thousandth).
Of several that lose, the one with the greatest loss is blamed; on a tie the higher one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgebench.ladder.preprocessing import misfits
from edgebench.ladder.record import Anatomy, Blame, Cause, Hypothesis, Layer, Mismatch, RangeFit, Rung, Step
from edgebench.reports.units import fixed, number

CHANCE = 0.05
"""A drop with a smaller p-value is more than chance."""
_CHANCE_OF_A_GUESS = 0.01
"""Shared by all the preprocessings that are tried."""
_MOST_CHURN = 0.10
_LEAST_DB = {Step.EXPORTED: 40.0}
_LEAST_QUANTIZED_DB = 10.0
_ROUNDING = 1e-4
"""Absolute differences up to this are rounding, however small the signal is."""
_CAUSES = {
    Step.EXPORTED: Cause.CONVERSION,
    Step.QUANTIZED: Cause.QUANTIZATION,
    Step.TARGET: Cause.KERNEL,
    Step.DECLARED: Cause.PREPROCESSING,
}
_HIGH_NOISE_DB = 20.0
_NEAR_DB = 6.0
_NAME = 48


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that blame is judged by."""

    rungs: tuple[Rung, ...]
    anatomy: Anatomy
    hypotheses: tuple[Hypothesis, ...] = ()
    input_fit: RangeFit | None = None
    declared: str | None = None
    """How the artifact's manifest and the source's preprocessing differ, in words."""
    saturates: bool = False
    """Whether this machine's 8-bit arithmetic saturates."""


def blame(found: Findings) -> Blame:
    """Return the cause of the greatest loss, with its evidence; Cause.NONE where nothing is lost."""
    losing = [rung for rung in found.rungs if loses(rung)]
    guess, gain = _best_guess(found), 0.0
    if guess is not None and found.rungs[0].accuracy is not None:
        gain = guess.accuracy - found.rungs[0].accuracy
    worst = max(losing, key=_severity, default=None)
    if guess is not None and (worst is None or gain >= (worst.drop or 0.0)):
        return _wrong_preprocessing(guess, found.rungs[0], gain)
    if worst is None:
        return Blame(Cause.NONE, _nothing(found.rungs))
    judged = {
        Step.EXPORTED: _conversion,
        Step.QUANTIZED: _quantization,
        Step.TARGET: _kernel,
        Step.DECLARED: _declared,
    }
    return judged[worst.step](worst, found)


def loses(rung: Rung) -> bool:
    """Whether a rung loses more than it may against the one above."""
    if rung.problem is not None:
        return True
    if rung.max_abs_error is None or rung.max_abs_error <= _ROUNDING:
        return False
    if rung.drop is not None and rung.p_value is not None and rung.drop > 0 and rung.p_value < CHANCE:
        return True
    least = _LEAST_DB.get(rung.step, _LEAST_QUANTIZED_DB)
    noisy = rung.sqnr_db is not None and rung.sqnr_db < least
    return noisy or (rung.churn is not None and rung.churn > _MOST_CHURN)


def worst_layer(layers: Sequence[Layer]) -> Layer | None:
    """Return the layer that adds most: the noisiest by itself, else the one that adds most noise.

    Of layers as noisy as the noisiest, give or take 6 dB, the first: the others read what it made.
    """
    if not layers:
        return None
    alone = [layer for layer in layers if layer.alone_db is not None]
    if not alone:
        return max(layers, key=lambda layer: layer.added)
    lowest = min(layer.alone_db or 0.0 for layer in alone)
    if lowest >= _HIGH_NOISE_DB:
        return next(layer for layer in alone if layer.alone_db == lowest)
    return next(layer for layer in alone if (layer.alone_db or 0.0) <= min(lowest + _NEAR_DB, _HIGH_NOISE_DB))


def _severity(rung: Rung) -> tuple[float, float, float]:
    """Return what orders losses: the drop, where it is more than chance, the churn, else the noise."""
    if rung.problem is not None:
        return (2.0, 1.0, 0.0)
    known = rung.drop is not None and rung.p_value is not None and rung.p_value < CHANCE
    drop = max(rung.drop or 0.0, 0.0) if known else 0.0
    return (drop, rung.churn or 0.0, -(rung.sqnr_db or 0.0) if rung.churn is None else 0.0)


def _best_guess(found: Findings) -> Hypothesis | None:
    first = found.rungs[0].accuracy
    limit = _CHANCE_OF_A_GUESS / max(1, len(found.hypotheses))
    better = [h for h in found.hypotheses if first is not None and h.accuracy > first and h.p_value < limit]
    return max(better, key=lambda h: h.accuracy, default=None)


def _wrong_preprocessing(guess: Hypothesis, first: Rung, gain: float) -> Blame:
    as_given = f"{_share(first.accuracy)} as given"
    return Blame(
        Cause.PREPROCESSING,
        f"preprocessing: the framework's own model is {_points(gain)} better with {guess.words}",
        (f"top-1 {as_given}, {_share(guess.accuracy)} with {guess.words} (by chance: {guess.p_value:.1g})",),
    )


def _conversion(rung: Rung, found: Findings) -> Blame:
    del found
    return Blame(
        Cause.CONVERSION,
        f"conversion: the exported fp32 artifact computes another function than the source{_loss(rung)}",
        (_figures(rung), f"a faithful fp32 conversion shows {_LEAST_DB[Step.EXPORTED]:.0f} dB and more"),
    )


def _quantization(rung: Rung, found: Findings) -> Blame:
    fit, broken = found.input_fit, _worst_mismatch(found.anatomy.mismatches)
    layer = worst_layer(found.anatomy.layers)
    if broken is None and fit is not None and misfits(fit.clipped, fit.used):
        return _wrong_calibration(rung, fit, found.declared)
    evidence = [_figures(rung)]
    named = layer.tensor if layer else None
    if broken is not None:
        named = broken.tensor
        evidence.append(
            f"{broken.tensor}: QuantizeLinear has the scale {number(broken.quantize_scale)}, "
            f"DequantizeLinear {number(broken.dequantize_scale)}"
        )
    if layer is not None:
        evidence.append(layer_words(layer))
    where = f", most of it at {short_name(named)}" if named else ""
    return Blame(Cause.QUANTIZATION, f"quantization{_loss(rung)}{where}", tuple(evidence), named)


def _wrong_calibration(rung: Rung, fit: RangeFit, declared: str | None) -> Blame:
    like = f"; it looks calibrated on {fit.like}" if fit.like else ""
    return Blame(
        Cause.PREPROCESSING,
        f"preprocessing of the calibration data: the quantized input {fit.tensor} does not hold the inputs "
        f"that the model gets{like}{_loss(rung)}",
        (fit_words(fit), *([declared] if declared else []), _figures(rung)),
        fit.tensor,
    )


def _kernel(rung: Rung, found: Findings) -> Blame:
    evidence = [_figures(rung)]
    if found.saturates and found.anatomy.wide_weights:
        evidence.append(
            "int8 weights of 8 bits beside 8-bit activations: this processor (x86 without VNNI) adds two "
            "such products in 16 bits, which saturates; 7-bit weights do not"
        )
    return Blame(
        Cause.KERNEL,
        f"kernel: {rung.runtime} computes the quantized file otherwise than its plain arithmetic does"
        f"{_loss(rung)}",
        tuple(evidence),
    )


def _declared(rung: Rung, found: Findings) -> Blame:
    fit = found.input_fit
    quantized = next((r for r in found.rungs if r.step is Step.QUANTIZED and loses(r)), None)
    if quantized is not None and fit is not None and misfits(fit.clipped, fit.used):
        # One mistake at the export did both: what the file was calibrated on is past mending by a manifest.
        return _wrong_calibration(quantized, fit, found.declared)
    return Blame(
        Cause.PREPROCESSING,
        f"preprocessing: the artifact's manifest declares another than the source's{_loss(rung)}",
        (found.declared or "", _figures(rung)),
    )


def _worst_mismatch(mismatches: Sequence[Mismatch]) -> Mismatch | None:
    return max(
        mismatches,
        key=lambda m: abs(m.quantize_scale - m.dequantize_scale) / m.quantize_scale,
        default=None,
    )


def short_name(tensor: str) -> str:
    """Return a tensor's name as it is shown: without the modules of the classes on its path, its end only."""
    parts = [part.rpartition(".")[2] if part.count(".") > 1 else part for part in tensor.split("/")]
    short = "/".join(parts)
    return short if len(short) <= _NAME else f"…{short[1 - _NAME :]}"


def fit_words(fit: RangeFit) -> str:
    """Return what a quantized input holds beside what it gets."""
    low, high = (number(end) for end in fit.calibrated)
    least, most = (number(end) for end in fit.seen)
    lost, used = fixed(100 * fit.clipped, 1), fixed(100 * fit.used, 1)
    return (
        f"{fit.tensor} was calibrated on {low} to {high}, the inputs lie in {least} to {most}: "
        f"{lost} % of their values are clipped, and they span {used} % of the range"
    )


def layer_words(layer: Layer) -> str:
    """Return how noisy a layer is."""
    name = short_name(layer.tensor)
    if layer.alone_db is not None:
        return f"{name} ({layer.operator}): {layer.alone_db:.1f} dB of signal over error by itself"
    return (
        f"{name} ({layer.operator}): {layer.accumulated_db:.1f} dB of signal over error, "
        f"{fixed(100 * layer.added, 1)} % of noise more than its inputs"
    )


def _loss(rung: Rung) -> str:
    if rung.problem is not None:
        return f" ({rung.problem})"
    if rung.drop is not None and rung.drop > 0:
        return f" ({_points(rung.drop)} of accuracy lost)"
    return f" ({fixed(100 * rung.churn, 1)} % of the best classes changed)" if rung.churn else ""


def _figures(rung: Rung) -> str:
    if rung.problem is not None:
        return rung.problem
    parts = [f"{rung.sqnr_db:.1f} dB of signal over error" if rung.sqnr_db is not None else "no error"]
    if rung.drop is not None and rung.p_value is not None:
        parts.append(f"drop {_points(rung.drop)} (by chance: {rung.p_value:.1g})")
    if rung.churn is not None:
        parts.append(f"{fixed(100 * rung.churn, 1)} % of the best classes changed")
    return f"{rung.step}: {', '.join(parts)}"


def _nothing(rungs: Sequence[Rung]) -> str:
    below = [rung for rung in rungs if rung.max_abs_error is not None]
    if not below:
        return "no rung could be compared"
    most = min(below, key=lambda rung: (-(rung.churn or 0.0), rung.sqnr_db or math.inf))
    churn = "" if most.churn is None else f", {fixed(100 * most.churn, 1)} % of the best classes changed"
    ratio = "no error" if most.sqnr_db is None else f"{most.sqnr_db:.1f} dB"
    most_changed = f"most changes at `{most.step}`: {ratio}{churn}"
    return f"no rung loses more than these samples can show; {most_changed}"


def _points(share: float) -> str:
    return f"{fixed(100 * share, 1)} points"


def _share(share: float | None) -> str:
    return f"{fixed(None if share is None else 100 * share, 1)} %"
