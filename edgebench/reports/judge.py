"""The verdict: gates held against evidence. Pure: no file, no device, no clock.

A gate passes where the whole interval meets its bound, fails where the whole interval misses it, and
is inconclusive in between. The interval's ends are one-sided bounds, each at the gate's confidence,
since a gate asks about one side only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgebench.benchmark.comparable import OF_THE_RUNTIME, unlike
from edgebench.benchmark.criteria import criteria_sha256
from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples, Validity
from edgebench.benchmark.multiplicity import shared
from edgebench.benchmark.statistics import quantile_supported
from edgebench.errors import ConfigError
from edgebench.reports import plans
from edgebench.reports.declaration import declaration_notes, hold_against
from edgebench.reports.estimates import (
    applies,
    estimate,
    from_answers,
    from_clock,
    from_file,
    from_sessions,
    from_timings,
    session_estimates,
)
from edgebench.reports.fitting import check_gates_fit
from edgebench.reports.gates import Gate
from edgebench.reports.quantities import Estimate, Quantity
from edgebench.reports.standing import Answered, answer_of, standing
from edgebench.reports.subjects import Key, Subject, subjects
from edgebench.reports.units import exact_percent, value_text
from edgebench.reports.verdict import (
    Answer,
    ArtifactVerdict,
    Decision,
    GateResult,
    Interval,
    Settler,
    Verdict,
)


def judge(
    evidence: Evidence,
    gates: Sequence[Gate],
    samples: Mapping[Key, LatencySamples],
    answers: Mapping[Key, Answers],
) -> Verdict:
    """Return the decision on every artifact and on the run.

    samples, answers: by artifact id and device URI. The run is GO where every judged artifact is GO,
    NO-GO where one is NO-GO, else INCONCLUSIVE, also where a gate is about devices alone that were not
    measured. Raises ConfigError where no gate applies to any artifact, or a pattern matches none.
    """
    found = subjects(evidence, samples, answers)
    check_gates_fit(gates, found)
    answered = standing([_judge_gates(subject, gates) for subject in found])
    judged = tuple(
        _judge_artifact(subject, tuple(one.result for one in gates_of))
        for subject, gates_of in zip(found, answered, strict=True)
        if gates_of
    )
    if not judged:
        names = ", ".join(subject.key[0] for subject in found) or "none"
        raise ConfigError(
            f"no gate applies to any artifact: {'; '.join(map(str, gates)) or 'there are no gates'}",
            hint=f"the run's artifacts: {names}",
        )
    unanswered = tuple(
        str(gate) for gate in gates if not any(gate.is_at(s.measurement.device) for s in found)
    )
    criteria = tuple(str(gate) for gate in gates)
    declaration = hold_against(evidence.criteria, gates)
    return Verdict(
        decision=_together([*(one.decision for one in judged), *(Decision.INCONCLUSIVE for _ in unanswered)]),
        artifacts=judged,
        criteria=criteria,
        criteria_sha256=criteria_sha256(criteria),
        notes=(*_notes(found, gates, judged), *declaration_notes(declaration, evidence.looks)),
        declaration=declaration,
        environment=dict(evidence.environment),
        unanswered=unanswered,
    )


def _together(decisions: Sequence[Decision]) -> Decision:
    if Decision.NO_GO in decisions:
        return Decision.NO_GO
    return Decision.GO if set(decisions) == {Decision.GO} else Decision.INCONCLUSIVE


def _judge_gates(subject: Subject, gates: Sequence[Gate]) -> list[Answered]:
    asked = [gate for gate in gates if gate.covers(subject.measurement) and applies(gate.question, subject)]
    return [_judge_gate(subject, gate) for gate in asked]


def _judge_artifact(subject: Subject, results: tuple[GateResult, ...]) -> ArtifactVerdict:
    measurement = subject.measurement
    answered = {result.answer for result in results}
    usable = measurement.failure is None and measurement.validity is not Validity.INVALID
    if Answer.FAIL in answered:
        decision = Decision.NO_GO
    elif answered == {Answer.PASS} and usable:
        decision = Decision.GO
    else:
        decision = Decision.INCONCLUSIVE
    return ArtifactVerdict(*subject.key, decision, results, _artifact_reasons(subject, results))


def _artifact_reasons(subject: Subject, results: Sequence[GateResult]) -> tuple[str, ...]:
    measurement = subject.measurement
    reasons = [f"could not be measured: {measurement.failure}"] if measurement.failure else []
    if measurement.validity is not Validity.VALID:
        why = "; ".join(measurement.validity_reasons) or "no reason was recorded"
        reasons.append(f"the measurement is {measurement.validity}: {why}")
    if subject.unusable_rows:
        reasons.append(f"{subject.unusable_rows} of its answers hold NaN or Inf, counted as wrong")
    reasons += [f"{r.gate}: {r.reason}" for r in results if r.answer is Answer.FAIL]
    if not measurement.failure:
        reasons += [f"{r.gate}: {r.reason}" for r in results if r.answer is Answer.INCONCLUSIVE]
    return tuple(reasons)


def _judge_gate(subject: Subject, gate: Gate) -> Answered:
    found = estimate(subject, gate.question, gate.confidence)
    answer = Answer.INCONCLUSIVE if found.problem else answer_of(gate, found)
    reason = _reason(gate, found, answer)
    needed = None
    if found.problem:
        reason, needed = found.problem, plans.for_problem(subject, gate.question)
    elif answer is Answer.INCONCLUSIVE:
        needed = plans.to_settle(subject, gate, found)
    doubt = None if found.problem else _doubt(subject, gate, answer)
    if doubt:
        answer, (reason, needed) = Answer.INCONCLUSIVE, doubt
    lower, value, upper = (gate.shown(x) for x in (found.lower, found.value, found.upper))
    artifact, device = subject.key
    q = gate.question.quantile
    if q is not None and not quantile_supported(found.n, q, gate.confidence):
        value = None
    result = GateResult(
        gate=str(gate),
        artifact=artifact,
        device=device,
        answer=answer,
        value=value,
        unit=gate.unit,
        interval=Interval(lower, upper),
        bound=gate.bound,
        confidence=gate.confidence,
        reason=reason,
        needed=needed,
        settled_by=_settler(subject, gate, blocked=bool(found.problem or doubt))
        if answer is Answer.INCONCLUSIVE
        else None,
    )
    return Answered(subject, gate, found, result)


def _settler(subject: Subject, gate: Gate, *, blocked: bool) -> Settler:
    """Return what more of would settle an open gate. blocked: it is not for want of calls or samples."""
    measurement = subject.measurement
    disturbed = bool(measurement.disturbances) and from_clock(gate.quantity)
    invalid = measurement.validity is Validity.INVALID or measurement.device.emulated
    if blocked or disturbed or (invalid and from_timings(gate.quantity)):
        return Settler.OTHER
    if from_sessions(gate.quantity):
        return Settler.SESSIONS
    return Settler.SAMPLES if from_answers(gate.quantity) else Settler.OTHER


def _doubt(subject: Subject, gate: Gate, answer: Answer) -> tuple[str, str] | None:
    """Return why a PASS or FAIL cannot stand, and what is needed; None where it stands."""
    measurement, quantity = subject.measurement, gate.quantity
    passed, failed = answer is Answer.PASS, answer is Answer.FAIL
    if passed and measurement.failure is not None:
        return f"it could not be measured: {measurement.failure}", "a run that succeeds"
    if measurement.device.emulated and from_timings(quantity) and (passed or failed):
        return "the device is emulated: its times and memory prove nothing", "a run on the real device"
    if measurement.validity is Validity.INVALID and (passed or (failed and not from_file(quantity))):
        why = "; ".join(measurement.validity_reasons) or "no reason was recorded"
        return f"the measurement is INVALID: {why}", "a valid measurement"
    if measurement.disturbances and from_clock(quantity) and (passed or failed):
        what = "; ".join(measurement.disturbances)
        return f"the times may be those of a disturbance: {what}", "a measurement without it"
    if passed and from_answers(quantity) and (rows := subject.unusable_rows):
        return f"{rows} answers hold NaN or Inf", "an artifact whose outputs are finite"
    return _sessions_disagree(subject, gate, answer)


def _sessions_disagree(subject: Subject, gate: Gate, answer: Answer) -> tuple[str, str] | None:
    """Return that one session alone passes what another fails, or what all together pass."""
    count = max(1, len(subject.measurement.sessions))
    sure = gate.confidence if subject.looks is None else shared(gate.confidence, count)
    alone = session_estimates(subject, gate.question, sure)
    by_session = {index: answer_of(gate, found) for index, found in alone.items()}
    said = {answer, *by_session.values()}
    if not said >= {Answer.PASS, Answer.FAIL}:
        return None
    opposite = Answer.PASS if answer is Answer.FAIL else Answer.FAIL
    index = next(index for index, one in by_session.items() if one is opposite)
    says = f"by session {index} alone, {_reason(gate, alone[index], opposite)}"
    return (
        f"the sessions contradict each other: {says}",
        "find what disturbs single sessions, then measure more sessions",
    )


def _reason(gate: Gate, found: Estimate, answer: Answer) -> str:
    asked = f"{gate.question}{f' ({found.at})' if found.at else ''}"
    value, lower, upper = (
        value_text(gate.shown(x), gate.unit) for x in (found.value, found.lower, found.upper)
    )
    if found.of == "file" or gate.quantity is Quantity.COVERAGE:
        return f"{asked} is {value}"
    sure = f"with {exact_percent(gate.confidence)} % confidence"
    worth = "" if found.worth is None else f", worth {found.worth:,} independent ones"
    sample = f"({found.n:,} {found.of}{worth})"
    from_below = (answer is Answer.PASS) == gate.operator.is_floor
    if answer is not Answer.INCONCLUSIVE:
        return f"{asked} is {f'at least {lower}' if from_below else f'at most {upper}'} {sure} {sample}"
    if (found.lower if gate.operator.is_floor else found.upper) is None:
        side = "below" if gate.operator.is_floor else "above"
        return f"{found.n:,} {found.of} do not bound {asked} from {side} {sure}"
    return f"{asked} may lie on either side: {lower} to {upper}, each end {sure} {sample}"


def _notes(
    found: Sequence[Subject], gates: Sequence[Gate], judged: Sequence[ArtifactVerdict]
) -> tuple[str, ...]:
    applied = {result.gate for verdict in judged for result in verdict.gates}
    notes = [f"gate `{gate}` applied to no artifact" for gate in gates if str(gate) not in applied]
    keys = {(verdict.artifact, verdict.device) for verdict in judged}
    notes += [
        f"{subject.key[0]} was not judged: no gate applies to it"
        for subject in found
        if subject.key not in keys
    ]
    return (*notes, *_incomparable(found))


def _incomparable(found: Sequence[Subject]) -> list[str]:
    """Return a note for each artifact whose timings were defined otherwise than the first one's."""
    notes = []
    timed = [subject for subject in found if subject.measurement.sessions]
    for subject in timed[1:]:
        first = next(s for s in timed if s.key[1] == subject.key[1])
        ours, theirs = (s.measurement.sessions[0].timing for s in (first, subject))
        if differing := unlike(ours, theirs, OF_THE_RUNTIME):
            names = f"{first.key[0]} and {subject.key[0]}"
            notes.append(f"the latencies of {names} are not comparable: {'; '.join(differing)}")
    return notes
