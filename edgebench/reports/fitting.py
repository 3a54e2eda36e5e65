"""Whether gates fit the run they are held against: a misspelt name must not leave a gate out in silence."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edgebench.artifact import Artifact, Format, Precision
from edgebench.errors import ConfigError
from edgebench.reports.gates import Gate
from edgebench.reports.quantities import Quantity
from edgebench.reports.subjects import Subject


def check_gates_fit(gates: Sequence[Gate], found: Sequence[Subject]) -> None:
    """Raise ConfigError for a pattern that no artifact matches, or a metric asked the wrong way round."""
    check_patterns(gates, [subject.measurement.artifact for subject in found])
    for gate in gates:
        if gate.quantity is Quantity.METRIC and gate.question.metric is None:
            _check_direction(gate, found)


def _check_direction(gate: Gate, found: Sequence[Subject]) -> None:
    records = (subject.measurement.accuracy for subject in found)
    metric = next((record.metric for record in records if record is not None and record.metric), None)
    if metric is not None and gate.operator.is_floor != metric.more_is_better:
        better = "more" if metric.more_is_better else "less"
        raise ConfigError(
            f"gate {str(gate)!r} would pass what is worse: of {metric.name} {better} is better",
            hint="--metric-better says which way a metric of your own counts" if metric.sha256 else None,
        )


def check_patterns(gates: Sequence[Gate], artifacts: Sequence[Artifact]) -> None:
    """Raise ConfigError, with the nearest name, for a pattern that no artifact matches."""
    names = sorted({artifact.id for artifact in artifacts})
    for gate in gates:
        known = gate.on is None or gate.on in {*Precision, *Format}
        if known or any(map(gate.matches, artifacts)):
            continue
        words = (*names, *Precision, *Format)
        near = difflib.get_close_matches(str(gate.on), words, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"the run's artifacts: {', '.join(names)}"
        raise ConfigError(f"gate {str(gate)!r}: no artifact matches {gate.on!r}", hint=hint)
