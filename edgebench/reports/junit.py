"""A verdict as JUnit XML: one suite per artifact, one case per gate, for CI systems."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from edgebench.reports.verdict import Answer, GateResult, Verdict
from edgebench.reports.words import OTHER_DEVICE, printable

_ELSEWHERE = "devices that were not measured"


def junit_xml(name: str, verdict: Verdict) -> bytes:
    """Return the verdict as UTF-8 XML. FAIL is a failure, INCONCLUSIVE an error: neither is green.

    Gates whose devices were not measured are errors of a suite of their own.
    """
    lost = [Answer.INCONCLUSIVE] * len(verdict.unanswered)
    answers = [result.answer for artifact in verdict.artifacts for result in artifact.gates]
    root = ET.Element("testsuites", {"name": printable(name), **_counts([*answers, *lost])})
    for artifact in verdict.artifacts:
        title = printable(f"{artifact.artifact} on {artifact.device}")
        counts = _counts([result.answer for result in artifact.gates])
        suite = ET.SubElement(root, "testsuite", {"name": title, **counts})
        for result in artifact.gates:
            _case(suite, title, result)
    if lost:
        suite = ET.SubElement(root, "testsuite", {"name": _ELSEWHERE, **_counts(lost)})
        for gate in verdict.unanswered:
            case = ET.SubElement(suite, "testcase", {"classname": _ELSEWHERE, "name": printable(gate)})
            message = f"needed: {OTHER_DEVICE}"
            ET.SubElement(case, "error", {"type": str(Answer.INCONCLUSIVE), "message": message})
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _case(suite: ET.Element, title: str, result: GateResult) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": title, "name": printable(result.gate)})
    if result.answer is Answer.PASS:
        return
    kind = "failure" if result.answer is Answer.FAIL else "error"
    note = ET.SubElement(case, kind, {"type": str(result.answer), "message": printable(result.reason)})
    note.text = printable(f"needed: {result.needed}") if result.needed else None


def _counts(answers: Sequence[Answer]) -> dict[str, str]:
    return {
        "tests": str(len(answers)),
        "failures": str(answers.count(Answer.FAIL)),
        "errors": str(answers.count(Answer.INCONCLUSIVE)),
    }
