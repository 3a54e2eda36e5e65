"""The page's tables of figures: speed, size and accuracy, and accuracy by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgebench.benchmark import accuracy
from edgebench.benchmark.evidence import Answers, Evidence
from edgebench.reports.cells import Cell, fact_cell, footnotes, latency_cell, latency_unit, share_cell
from edgebench.reports.markup import Markup, broken, scroll, tag
from edgebench.reports.quantities import Quantity
from edgebench.reports.results import MeasuredArtifact, Results, class_name
from edgebench.reports.subjects import Key
from edgebench.reports.units import NONE, fixed, number, unit_text

_CLASSES_SHOWN = 30
_FEW = 3


def figures_section(results: Results) -> Markup:
    """Return speed and cost, and size and accuracy, each artifact in a row."""
    return tag(
        "section",
        tag("h2", "Figures"),
        tag("p", "In brackets stands the two-sided 95 % interval; for load, first call and memory, "
            "which are medians over the sessions, the smallest and the largest. ",
            " ".join(footnotes(results))),
        tag("h3", "Size and accuracy"),
        _size_table(results),
        tag("h3", "Speed and memory"),
        _speed_table(results),
    )  # fmt: skip


def _size_table(results: Results) -> Markup:
    quantities = (Quantity.TOP1, Quantity.DROP, Quantity.CHURN)
    names = ("artifact", "size", "shrink", "top-1 (%)", "drop (pp)", "churn (%)", "samples")
    rows = [
        [
            fact_cell(results, artifact, Quantity.SIZE),
            fact_cell(results, artifact, Quantity.SHRINK),
            *(share_cell(results, artifact, quantity) for quantity in quantities),
            Cell(f"{artifact.samples:,}" if artifact.samples else NONE),
        ]
        for artifact in results.artifacts
    ]
    return _table(results, names, rows)


def _speed_table(results: Results) -> Markup:
    unit = latency_unit(results)
    shown = unit_text(unit)
    percentiles = (Quantity.P50, Quantity.P90, Quantity.P99)
    names = ("artifact", *(f"{q} ({shown})" for q in percentiles), "load (ms)", "first call (ms)")
    rows = [
        [
            *(latency_cell(results, artifact, quantity, unit) for quantity in percentiles),
            _session_cell(results, artifact, Quantity.LOAD, 1),
            _session_cell(results, artifact, Quantity.FIRST, 1),
            _session_cell(results, artifact, Quantity.MEMORY, 1e6),
            _calls_cell(artifact),
        ]
        for artifact in results.artifacts
    ]
    return _table(results, (*names, "peak memory (MB)", "calls"), rows)


def _calls_cell(artifact: MeasuredArtifact) -> Cell:
    sessions = f"in {artifact.sessions} session{'' if artifact.sessions == 1 else 's'}"
    return Cell(f"{artifact.calls:,}", sessions) if artifact.calls else Cell(NONE)


def _session_cell(results: Results, artifact: MeasuredArtifact, quantity: Quantity, scale: float) -> Cell:
    """Return a median over the sessions, with the smallest and the largest."""
    row = results.find(artifact, quantity)
    ends = [results.find(artifact, f"{quantity}[{end}]") for end in ("least", "most")]
    low, high = (number(None if end is None else end.value / scale) for end in ends)
    return Cell(NONE) if row is None else Cell(number(row.value / scale), f"{low} to {high}")


def _table(results: Results, names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Return a table with an artifact's name before each row of cells."""
    heads = [tag("th", name, scope="col", class_="num" if i else None) for i, name in enumerate(names)]
    body = [
        tag("tr", _name(artifact, with_device=results.several_devices), *(_cell(cell) for cell in cells))
        for artifact, cells in zip(results.artifacts, rows, strict=True)
    ]
    return scroll(tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body)))


def _name(artifact: MeasuredArtifact, *, with_device: bool) -> Markup:
    remarks = [artifact.device] if with_device else []
    remarks += ["baseline"] if artifact.is_baseline else []
    remarks += [artifact.validity] if artifact.validity != "VALID" else []
    remarks += [f"not measured: {artifact.failure}"] if artifact.failure else []
    return tag("th", broken(artifact.artifact), *(tag("small", remark) for remark in remarks), scope="row")


def _cell(cell: Cell) -> Markup:
    return tag("td", cell.value, tag("small", cell.interval) if cell.interval else None, class_="num")


def classes_section(evidence: Evidence, results: Results, answers: Mapping[Key, Answers]) -> Markup | None:
    """Return top-1 of each class for each artifact, or None where nothing was answered."""
    keys = [(a.artifact, a.device) for a in results.artifacts if (a.artifact, a.device) in answers]
    keys = [key for key in keys if answers[key].targets is None]
    widest = max((answers[key].logits.shape[1] for key in keys), default=0)
    keys = [key for key in keys if answers[key].logits.shape[1] == widest]
    if not keys:
        return None
    counted = [accuracy.per_class(answers[key].logits, answers[key].labels) for key in keys]
    shares = np.array([100 * right / np.maximum(total, 1) for right, total in counted])
    totals = counted[0][1]
    chosen = _chosen(shares, totals)
    record = next(m.accuracy for m in evidence.measurements if m.artifact.id == keys[0][0])
    lowest = [_lowest(row, chosen) for row in shares]
    rows = [
        tag(
            "tr",
            tag("th", class_name(record, c), scope="row"),
            tag("td", f"{totals[c]:,}", class_="num"),
            *(_share(shares[i, c], lowest=c in lowest[i]) for i in range(len(keys))),
        )
        for c in chosen
    ]
    heads = [
        tag("th", broken(name), scope="col", class_="right") for name in ("samples", *(k[0] for k in keys))
    ]
    head = tag("thead", tag("tr", tag("th", "class", scope="col"), *heads))
    return tag(
        "section",
        tag("h2", "Accuracy by class"),
        tag("p", f"Top-1 in percent; each artifact's lowest class is underlined. {_omitted(chosen, totals)}"),
        scroll(tag("table", head, tag("tbody", *rows))),
    )


def _chosen(shares: np.ndarray, totals: np.ndarray) -> list[int]:
    """Return the classes to show, in their order: all, or those worst on any artifact."""
    present = [c for c in range(len(totals)) if totals[c]]
    worst = sorted(present, key=lambda c: (shares[:, c].min(), c))[:_CLASSES_SHOWN]
    return sorted(worst)


def _lowest(shares: np.ndarray, chosen: Sequence[int]) -> list[int]:
    """Return the classes with the lowest share, where few of them share that place."""
    worst = min(shares[c] for c in chosen)
    found = [c for c in chosen if shares[c] == worst]
    return found if len(found) <= _FEW else []


def _omitted(chosen: Sequence[int], totals: np.ndarray) -> str:
    present, absent = int((totals > 0).sum()), int((totals == 0).sum())
    parts = [f"The {len(chosen)} worst of {present} classes are shown."] if len(chosen) < present else []
    parts += [f"{absent} classes have no sample in the evaluation data."] if absent else []
    return " ".join(parts)


def _share(share: float, *, lowest: bool) -> Markup:
    text = tag("span", fixed(share, 1), class_="low") if lowest else fixed(share, 1)
    return tag("td", text, class_="num share", style=f"--p: {share:.1f}%")
