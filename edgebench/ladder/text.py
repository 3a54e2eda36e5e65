"""A ladder as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.ladder.blame import fit_words, short_name
from edgebench.ladder.noise import EXACT_DB
from edgebench.ladder.preprocessing import misfits
from edgebench.ladder.record import Hypothesis, Ladder, Layer, Rung
from edgebench.ladder.worst import worst_layers
from edgebench.reports.units import NONE, fixed, number

_TRIED = 3


def ladder_text(found: Ladder) -> str:
    """Return rungs, worst layers, tried preprocessings and the blame."""
    header = ("rung", "top-1 %", "drop pp", "same class %", "churn %", "SQNR dB", "max error", "runtime")
    parts = [f"{found.artifact}, made of {found.model}, on {found.samples} samples of {found.data}", ""]
    parts += _aligned([header, *map(_rung, found.rungs)])
    parts += [f"  {rung.step}: {rung.problem}" for rung in found.rungs if rung.problem]
    parts += ["  each rung against the one above, on the same samples", *_layers(found)]
    parts += _tried(found.hypotheses)
    if found.input_fit is not None and misfits(found.input_fit.clipped, found.input_fit.used):
        parts += ["", fit_words(found.input_fit)]
    parts += ["", f"blame    {found.blame.sentence}", *(f"         {line}" for line in found.blame.evidence)]
    return "\n".join(parts)


def _rung(rung: Rung) -> tuple[str, ...]:
    exact = rung.sqnr_db is None and rung.max_abs_error is not None
    return (
        rung.step.value,
        _share(rung.accuracy),
        _share(rung.drop),
        _share(rung.agreement),
        _share(rung.churn),
        "exact" if exact else fixed(rung.sqnr_db, 1),
        number(rung.max_abs_error),
        rung.runtime,
    )


def _layers(found: Ladder) -> list[str]:
    if not found.layers:
        return []
    shown = worst_layers(found.layers)
    header = ("tensor", "alone dB", "accumulated dB", "noise added %", "max error", "operator")
    of = f"{len(shown)} worst of {len(found.layers)} tensors on {found.layer_samples} samples"
    return ["", f"{of}, in the order of computing", *_aligned([header, *map(_layer, shown)])]


def _layer(layer: Layer) -> tuple[str, ...]:
    name = short_name(layer.tensor)
    alone = NONE if layer.alone_db is None else _decibel(layer.alone_db)
    added = fixed(100 * layer.added, 1)
    return (
        name,
        alone,
        _decibel(layer.accumulated_db),
        added,
        number(layer.max_abs_error),
        layer.node if layer.node.startswith(layer.operator) else f"{layer.operator}  {layer.node}",
    )


def _tried(hypotheses: Sequence[Hypothesis]) -> list[str]:
    if not hypotheses:
        return []
    best = "; ".join(f"{h.words} {_share(h.accuracy)} %" for h in hypotheses[:_TRIED])
    return ["", f"the framework with other preprocessings, the best {_TRIED} of {len(hypotheses)}: {best}"]


def _decibel(value: float) -> str:
    return "exact" if value >= EXACT_DB else fixed(value, 1)


def _share(value: float | None) -> str:
    return fixed(None if value is None else 100 * value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text in columns: the first and the last to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
