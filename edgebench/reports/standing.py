"""Which answers stand when many gates are asked at once: a FAIL that chance explains does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgebench.benchmark.multiplicity import shared, standing_fails
from edgebench.reports import plans
from edgebench.reports.estimates import estimate, from_answers, from_file, from_sessions
from edgebench.reports.gates import Gate
from edgebench.reports.quantities import Estimate
from edgebench.reports.subjects import Subject
from edgebench.reports.verdict import Answer, GateResult, Settler


def answer_of(gate: Gate, found: Estimate) -> Answer:
    """Return where the interval lies: inside the bound, outside, or astride."""
    near, far = (found.upper, found.lower) if not gate.operator.is_floor else (found.lower, found.upper)
    if near is not None and gate.operator.holds(near, gate.stored_bound):
        return Answer.PASS
    if far is not None and not gate.operator.holds(far, gate.stored_bound):
        return Answer.FAIL
    return Answer.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Answered:
    """A gate's result on a subject, and the estimate behind it."""

    subject: Subject
    gate: Gate
    found: Estimate
    result: GateResult

    @property
    def may_err(self) -> bool:
        """Return whether the answer is drawn from a sample, and so by chance may be wrong."""
        return not self.found.problem and not from_file(self.gate.quantity)

    def fails_at(self, confidence: float) -> bool:
        """Return whether it fails with bounds at this confidence, higher than the gate's own."""
        if self.result.answer is not Answer.FAIL:
            return False
        surer = estimate(self.subject, self.gate.question, confidence)
        return answer_of(self.gate, surer) is Answer.FAIL


def standing(answered: Sequence[list[Answered]]) -> list[list[Answered]]:
    """Return the answers with each FAIL taken back that chance may explain, so many gates being open.

    Gates that pass do not count: they did not fail, and are known not to be near it.
    """
    asked = [
        one
        for of_subject in answered
        for one in of_subject
        if one.may_err and one.result.answer is not Answer.PASS
    ]
    stand = standing_fails([one.fails_at for one in asked], [one.gate.confidence for one in asked])
    weak = [
        one
        for one, stands in zip(asked, stand, strict=True)
        if one.result.answer is Answer.FAIL and not stands
    ]
    return [
        [_taken_back(one, len(asked)) if any(one is w for w in weak) else one for one in of_subject]
        for of_subject in answered
    ]


def _taken_back(one: Answered, asked: int) -> Answered:
    surer = replace(one.gate, confidence=shared(one.gate.confidence, asked))
    reason = f"{one.result.reason}, but of {asked} gates that do not pass one may fail so by chance"
    needed = plans.to_settle(one.subject, surer, one.found)
    drawn = one.gate.quantity
    settler = Settler.SESSIONS if from_sessions(drawn) else Settler.OTHER
    settler = Settler.SAMPLES if from_answers(drawn) else settler
    taken = replace(one.result, answer=Answer.INCONCLUSIVE, reason=reason, needed=needed, settled_by=settler)
    return replace(one, result=taken)
