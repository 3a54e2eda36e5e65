"""The self-test of gates: each must pass what is good and fail what is bad. Pure.

A gate that no effect makes fail guards nothing, and one that no effect makes pass stops everything. Both
look like working gates until the day they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgebench.artifact import Precision
from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples, Validity
from edgebench.reports.cases import Case
from edgebench.reports.estimates import applies
from edgebench.reports.gates import Gate
from edgebench.reports.injections import injection_of
from edgebench.reports.judge import judge
from edgebench.reports.subjects import Key, key_of, subjects
from edgebench.reports.synthetic import synthetic_cases
from edgebench.reports.verdict import Answer, GateResult

SCHEMA = 1
"""1: the first."""

MOST_FACTOR = 1000.0
"""Beyond this lies no slowdown of what was measured, but a bound in another unit than was meant."""


@dataclass(frozen=True, slots=True)
class Planted:
    """An effect, in words, and what the gate answered to it. value: in the gate's unit."""

    effect: str
    answer: Answer
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One gate on one artifact. passes, fails: the smallest planted effect to which it does.

    problem: why the gate cannot pass or cannot fire; None where it can do both.
    """

    gate: str
    artifact: str
    device: str
    passes: Planted | None
    fails: Planted | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class GatesCheck:
    """What a file of gates can do. source: the run they were held against, or `made from nothing`."""

    source: str
    checks: tuple[GateCheck, ...]
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def sound(self) -> bool:
        """Return whether every gate can pass and can fire."""
        return all(check.problem is None for check in self.checks)


def check_gates(gates: Sequence[Gate], cases: Sequence[Case] | None, source: str) -> GatesCheck:
    """Return for each gate whether it passes good evidence and fails bad.

    cases: the measurements of a run, in which effects up to a thousandfold are planted; None for
    evidence made from nothing for each gate, and effects up to ten-thousandfold.
    """
    checks: list[GateCheck] = []
    for gate in gates:
        found = [case for case in cases or synthetic_cases(gate) if gate.covers(case.measurement)]
        asked = [case for case in found if _applies(gate, case)]
        if not asked:
            why = "it applies to none: nothing is held against itself" if found else "no artifact matches it"
            checks.append(GateCheck(str(gate), "", "", None, None, f"cannot fire: {why}"))
        most = MOST_FACTOR if cases else float("inf")
        checks += [_check(gate, case, most) for case in (asked if cases else asked[:1])]
    return GatesCheck(source, tuple(checks), tuple(_idle(gates)))


def cases_of(
    evidence: Evidence, samples: Mapping[Key, LatencySamples], answers: Mapping[Key, Answers]
) -> tuple[Case, ...]:
    """Return a case for each measurement of a run; an INVALID one counts as valid.

    What is asked is whether the gates can answer, not whether this run may.
    """
    valid = tuple(
        replace(m, validity=Validity.VALID, validity_reasons=(), disturbances=())
        for m in evidence.measurements
    )
    counted = replace(evidence, measurements=valid)
    return tuple(Case(counted, samples, answers, key_of(m)) for m in valid)


def _applies(gate: Gate, case: Case) -> bool:
    found = subjects(case.evidence, case.samples, case.answers)
    return any(applies(gate.question, subject) for subject in found if subject.key == case.key)


def _check(gate: Gate, case: Case, most: float) -> GateCheck:
    case = _alone(case)
    injection = injection_of(gate.question, case)
    plain = _planted(gate, case, "as it is")
    steps = [step for step in injection.steps if step <= most]
    good, best = _first(gate, case, Answer.PASS, steps, worse=False, plain=plain)
    bad, worst = _first(gate, case, Answer.FAIL, steps, worse=True, plain=plain)
    return GateCheck(str(gate), *case.key, good, bad, _problem(good, bad, best, worst))


def _problem(good: Planted | None, bad: Planted | None, best: Planted, worst: Planted) -> str | None:
    """Return why a gate is no gate; best, worst: what it answers to the largest effects."""
    if good is None and bad is None:
        return f"cannot answer: {worst.reason}"
    if bad is None:
        return f"cannot fire: even {worst.effect} it is {worst.answer}: {worst.reason}"
    if good is None:
        return f"cannot pass: even {best.effect} it is {best.answer}: {best.reason}"
    return None


def _alone(case: Case) -> Case:
    """Return the case without the measurements that it is not held against."""
    own = case.measurement.artifact
    kept = [
        m
        for m in case.evidence.measurements
        if key_of(m) == case.key
        or m.artifact.id == case.evidence.baseline
        or (m.artifact.format is own.format and m.artifact.precision is Precision.FP32)
    ]
    return replace(case, evidence=replace(case.evidence, measurements=tuple(kept)))


def _first(
    gate: Gate, case: Case, wanted: Answer, steps: Sequence[float], *, worse: bool, plain: Planted
) -> tuple[Planted | None, Planted]:
    """Return the smallest effect that is answered as wanted, or None, and what the largest is answered.

    More of an effect never undoes what less of it did, so the steps are halved, not walked.
    """
    injection = injection_of(gate.question, case)
    plant = injection.worse if worse else injection.better

    def at(index: int) -> Planted:
        amount = steps[index]
        return _planted(gate, plant(case, amount), injection.told(amount, worse=worse))

    last = at(len(steps) - 1)
    if plain.answer is wanted:
        return plain, last
    if last.answer is not wanted:
        return None, last
    low, high, found = -1, len(steps) - 1, last
    while high - low > 1:
        middle = (low + high) // 2
        answered = at(middle)
        low, high, found = (low, middle, answered) if answered.answer is wanted else (middle, high, found)
    return found, last


def _planted(gate: Gate, case: Case, effect: str) -> Planted:
    result = _answer(gate, case)
    return Planted(effect, result.answer, result.value, result.reason)


def _answer(gate: Gate, case: Case) -> GateResult:
    verdict = judge(case.evidence, [replace(gate, on=None, devices=())], case.samples, case.answers)
    return next(v.gates[0] for v in verdict.artifacts if (v.artifact, v.device) == case.key)


def _idle(gates: Sequence[Gate]) -> Iterator[str]:
    """Yield a note for each gate that another one, as strict and of the same artifacts, makes needless."""
    for index, gate in enumerate(gates):
        for place, other in enumerate(gates):
            twins = _covers(gate, other)
            if place != index and _covers(other, gate) and (not twins or place < index):
                yield f"`{gate}` decides nothing: `{other}` is as strict"
                break


def _covers(strict: Gate, gate: Gate) -> bool:
    """Return whether what passes `strict` passes `gate` too."""
    return (
        strict.question == gate.question
        and strict.on in (None, gate.on)
        and strict.devices in ((), gate.devices)
        and strict.confidence >= gate.confidence
        and gate.operator.holds(strict.stored_bound, gate.stored_bound)
    )
