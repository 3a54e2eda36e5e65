"""The verdict in words, and text made safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgebench.reports.verdict import Answer, ArtifactVerdict, Decision, GateResult, Verdict

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
SYMBOLS = {"GO": "✓", "PASS": "✓", "NO-GO": "✗", "FAIL": "✗", "INCONCLUSIVE": "?"}
"""A sign for each answer and decision, so that nothing rests on colour."""

OTHER_DEVICE = "a measurement on a device that it names"
"""What would settle a gate whose devices were not measured."""


def printable(text: object) -> str:
    """Return text on one line, control and direction characters shown as �: fit for XML and terminals."""
    return _UNPRINTABLE.sub("\ufffd", re.sub(r"\s*[\r\n]+\s*", " ", str(text)))


def shortened(text: object, length: int) -> str:
    """Return text cut in its middle to `length` characters, so that its ending stays."""
    whole = printable(text)
    if len(whole) <= length:
        return whole
    tail = (length - 1) * 2 // 3
    return f"{whole[: length - 1 - tail]}…{whole[-tail:]}"


def headline(verdict: Verdict) -> str:
    """Return why the run is GO, NO-GO or INCONCLUSIVE, in one sentence."""
    count = len(verdict.artifacts)
    if verdict.decision is Decision.GO:
        gates = sum(len(artifact.gates) for artifact in verdict.artifacts)
        return f"{_all(gates, 'gate')} on {_plural(count, 'artifact')}, each at the confidence it asks for."
    blamed = [a for a in verdict.artifacts if a.decision is verdict.decision]
    if not blamed:
        return f"{_none_measured(verdict.unanswered)}."
    kind = Answer.FAIL if verdict.decision is Decision.NO_GO else Answer.INCONCLUSIVE
    verb = ("fails", "fail") if verdict.decision is Decision.NO_GO else ("is undecided", "are undecided")
    first = blamed[0]
    more = f", and {len(blamed) - 1} more" if len(blamed) > 1 else ""
    return (
        f"{len(blamed)} of {_plural(count, 'artifact')} {verb[len(blamed) > 1]}: "
        f"{first.artifact}{on_device(verdict, first.device)}, because {_because(first, kind)}{more}."
    )


def on_device(verdict: Verdict, device: str) -> str:
    """Return ` · device`, to follow an artifact's name, where the run has several devices, else nothing."""
    return f" · {device}" if len({artifact.device for artifact in verdict.artifacts}) > 1 else ""


def summary_counts(verdict: Verdict) -> str:
    """Return how many artifacts got which decision: `5 GO, 1 NO-GO`."""
    decisions = [artifact.decision for artifact in verdict.artifacts]
    return ", ".join(f"{decisions.count(d)} {d}" for d in Decision if d in decisions)


def wanting(verdict: Verdict) -> tuple[GateResult, ...]:
    """Return the gates that did not pass, failures first."""
    results = [result for artifact in verdict.artifacts for result in artifact.gates]
    failed = [result for result in results if result.answer is Answer.FAIL]
    return (*failed, *(result for result in results if result.answer is Answer.INCONCLUSIVE))


def join(parts: Iterable[object], separator: str = ", ") -> str:
    """Return the parts' texts with a separator, or – where there are none."""
    return separator.join(map(str, parts)) or "–"


def _none_measured(unanswered: Sequence[str]) -> str:
    more = f" (and {_plural(len(unanswered) - 1, 'other gate')})" if len(unanswered) > 1 else ""
    return f"No device was measured that the gate {unanswered[0]} names{more}"


def _because(artifact: ArtifactVerdict, kind: Answer) -> str:
    blamed = [result for result in artifact.gates if result.answer is kind]
    if not blamed:
        return artifact.reasons[0] if artifact.reasons else "it was not measured validly"
    reason = f"{blamed[0].reason} and the gate is {blamed[0].gate}"
    return reason + (f" (and {_plural(len(blamed) - 1, 'other gate')})" if len(blamed) > 1 else "")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _all(count: int, noun: str) -> str:
    return f"The one {noun} passes" if count == 1 else f"All {count} {noun}s pass"
