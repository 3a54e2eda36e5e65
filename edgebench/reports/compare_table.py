"""A comparison as text for a terminal."""

from __future__ import annotations

from edgebench.reports.compare import Compared
from edgebench.reports.units import Dimension, percent, stored_text


def compare_table(found: Compared) -> str:
    """Return a comparison's percentiles, its accuracy and what they show, in words."""
    how = "in turn, block by block" if found.in_turn else "apart from each other"
    lines = [
        f"{found.candidate} against {found.baseline} on {found.device}",
        f"{found.sessions} sessions, timed {how}; intervals at {percent(found.confidence)}",
        "",
        f"{'':<4} {'baseline':>10} {'candidate':>10} {'ratio':>7}  {'interval':<16}",
    ]
    for one in found.percentiles:
        lower, upper = one.interval.lower, one.interval.upper
        ends = "–" if lower is None or upper is None else f"{lower:.3f} – {upper:.3f}"
        times = (stored_text(value, Dimension.TIME) for value in (one.baseline_ns, one.candidate_ns))
        first, second = times
        lines.append(
            f"{one.percentile:<4} {first:>10} {second:>10} {one.ratio:>7.3f}  {ends:<16} {one.words}"
        )
    if found.accuracy is not None:
        drop, ends_pp = found.accuracy.drop_pp, found.accuracy.interval
        ends = f"{_signed(ends_pp.lower)} to {_signed(ends_pp.upper)}"
        lines.append(f"top-1 drop {_signed(drop)} pp ({ends}), {found.accuracy.samples:,} samples")
    return "\n".join(lines)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
