"""What is still open in a measurement that goes on: its evidence judged, as it will be in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.evidence_files import load_run
from edgebench.benchmark.stopping import Outlook
from edgebench.reports.gates import RELATIVE, Gate
from edgebench.reports.judge import judge
from edgebench.reports.quantities import OF_WORKLOADS
from edgebench.reports.verdict import Answer, GateResult, Settler, Verdict
from edgebench.reports.words import OTHER_DEVICE


@dataclass(frozen=True, slots=True)
class Decider:
    """Judges the evidence of a run whose timings and answers lie in `folder`, by `gates`.

    within: half the width of an interval, as a share of its value, that is narrow enough; None for none.
    """

    folder: Path
    gates: Sequence[Gate]
    within: float | None = None

    def __call__(self, evidence: Evidence) -> Outlook:
        """Return which gates are open, but for those on what is measured after the sessions.

        Raises ConfigError where none applies.
        """
        asked = [gate for gate in self.gates if gate.quantity not in OF_WORKLOADS]
        return outlook(judge(evidence, asked, *load_run(self.folder, evidence)), self.within)


def outlook(verdict: Verdict, within: float | None = None) -> Outlook:
    """Return the verdict's open gates in words, with the artifact and what would settle them. Pure."""
    waiting: list[str] = []
    stuck = [f"{gate} (needed: {OTHER_DEVICE})" for gate in verdict.unanswered]
    wide = False
    for artifact in verdict.artifacts:
        for result in artifact.gates:
            if result.answer is Answer.INCONCLUSIVE:
                needed = f" (needed: {result.needed})" if result.needed else ""
                words = f"{result.gate} of {result.artifact}{needed}"
                waits = result.settled_by is Settler.SESSIONS
                (waiting if waits else stuck).append(words)
                wide = wide or (waits and not (within is not None and is_narrow(result, within)))
    return Outlook(tuple(waiting), tuple(stuck), narrow=bool(waiting) and not wide)


def is_narrow(result: GateResult, within: float) -> bool:
    """Return whether half the width of a result's interval is `within` of its value, a share, or less."""
    lower, value, upper = result.interval.lower, result.value, result.interval.upper
    if lower is None or value is None or upper is None:
        return False
    whole = 100 + value if result.unit == RELATIVE else value  # +3 % is 1.03 times the baseline
    return (upper - lower) / 2 <= within * abs(whole)
