"""What is still open in a measurement that goes on: its evidence judged, as it will be in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.evidence_files import load_run
from edgebench.benchmark.stopping import Outlook
from edgebench.reports.gates import Gate
from edgebench.reports.judge import judge
from edgebench.reports.quantities import OF_WORKLOADS
from edgebench.reports.verdict import Answer, Settler, Verdict


@dataclass(frozen=True, slots=True)
class Decider:
    """Judges the evidence of a run whose timings and answers lie in `folder`, by `gates`."""

    folder: Path
    gates: Sequence[Gate]

    def __call__(self, evidence: Evidence) -> Outlook:
        """Return which gates are open, but for those on what is measured after the sessions.

        Raises ConfigError where none applies.
        """
        asked = [gate for gate in self.gates if gate.quantity not in OF_WORKLOADS]
        return outlook(judge(evidence, asked, *load_run(self.folder, evidence)))


def outlook(verdict: Verdict) -> Outlook:
    """Return the verdict's open gates in words, with the artifact and what would settle them. Pure."""
    waiting: list[str] = []
    stuck: list[str] = []
    for artifact in verdict.artifacts:
        for result in artifact.gates:
            if result.answer is Answer.INCONCLUSIVE:
                needed = f" (needed: {result.needed})" if result.needed else ""
                words = f"{result.gate} of {result.artifact}{needed}"
                (waiting if result.settled_by is Settler.SESSIONS else stuck).append(words)
    return Outlook(tuple(waiting), tuple(stuck))
