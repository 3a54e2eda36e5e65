"""Simulated measurements that end when they are decided: the product's own looks, judge and stop.

Timings are drawn from a law in place of a device; all else is what `edgebench benchmark --until-decided`
does with them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import latency_laws as laws
import numpy as np

from edgebench.artifact import Artifact, Format, Precision, SourceRecord
from edgebench.benchmark.evidence import DeviceFacts, Evidence, LatencySamples, Measurement, Session, Timing
from edgebench.benchmark.looks import Stop
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.stopping import Outlook, Rounds, Until
from edgebench.progress import silent
from edgebench.reports.deciding import outlook
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.gates import Gate
from edgebench.reports.judge import judge
from edgebench.reports.verdict import Answer, Verdict

NS = 1e7
"""A law's 1 is so many nanoseconds: 10 ms, the length of a call."""
_TIMING = Timing("a law", "1", "CPU", batch=1, threads=1, affinity=(0,), timed="a draw")
_ARTIFACT = Artifact(
    "m", "m.onnx", Format.ONNX, Precision.FP32, "0", 1, (), (), SourceRecord("a law", "onnx", "0")
)
_DEVICE = DeviceFacts("local:cpu", "a law", "none", 1, 1, "none")
_KEY = (_ARTIFACT.id, _DEVICE.uri)


class Simulated:
    """One measurement. latency_ns: int64[sessions, calls], all that there is time for."""

    def __init__(self, latency_ns: np.ndarray, gates: tuple[Gate, ...]) -> None:
        self.most, self.calls = latency_ns.shape
        self._latency, self._gates = latency_ns, gates
        self._rounds = Rounds(Until(self._decide, np.inf), BenchmarkRequest((), Path()), silent)
        self.taken = 0

    def run(self) -> Verdict:
        """Take sessions until it is decided, or all are taken; return the verdict on those."""
        for index in self._rounds.indices(self._evidence):
            if index == self.most:
                break
            self.taken = index + 1
        return self._judged(self._evidence())

    @property
    def decided(self) -> bool:
        """Return whether it ended because all gates were decided."""
        return self._rounds.looks.stop is Stop.DECIDED

    def _decide(self, evidence: Evidence) -> Outlook:
        return outlook(self._judged(evidence))

    def _judged(self, evidence: Evidence) -> Verdict:
        taken = self._latency[: self.taken].ravel()
        session = np.repeat(np.arange(self.taken), self.calls)
        return judge(evidence, self._gates, {_KEY: LatencySamples(taken, session, taken[:0])}, {})

    def _evidence(self) -> Evidence:
        first = Session(0, "", 1, 1, 1, None, self.calls, 0, "", _TIMING)
        sessions = tuple(replace(first, index=index) for index in range(self.taken))
        measured = Measurement(_ARTIFACT, _DEVICE, sessions=sessions)
        return Evidence("m", "", "", (measured,), None, looks=self._rounds.looks)


def decided(  # noqa: PLR0917 - what is drawn, what is asked of it, for how long
    law: laws.Law, q: float, limit: float, sessions: int, calls: int, rng: np.random.Generator
) -> tuple[Answer, int]:
    """Return what a gate that asks the quantile `q` to be at most `limit` says, and after how many calls."""
    drawn = np.rint(NS * law.draw(rng, sessions, calls)).astype(np.int64)
    gate = parse_gate(f"p{100 * q:g} <= {NS * limit:.6f}ns")
    simulated = Simulated(drawn, (gate,))
    verdict = simulated.run()
    return verdict.artifacts[0].gates[0].answer, simulated.taken * calls
