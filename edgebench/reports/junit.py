"""A verdict as JUnit XML: one suite per artifact, one case per gate, for CI systems."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from edgebench.reports.verdict import Answer, ArtifactVerdict, GateResult, Verdict
from edgebench.reports.words import printable


def junit_xml(name: str, verdict: Verdict) -> bytes:
    """Return the verdict as UTF-8 XML. FAIL is a failure, INCONCLUSIVE an error: neither is green."""
    root = ET.Element("testsuites", {"name": printable(name), **_counts(verdict.artifacts)})
    for artifact in verdict.artifacts:
        title = printable(f"{artifact.artifact} on {artifact.device}")
        suite = ET.SubElement(root, "testsuite", {"name": title, **_counts((artifact,))})
        for result in artifact.gates:
            _case(suite, title, result)
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


def _counts(artifacts: tuple[ArtifactVerdict, ...]) -> dict[str, str]:
    answers = [result.answer for artifact in artifacts for result in artifact.gates]
    return {
        "tests": str(len(answers)),
        "failures": str(answers.count(Answer.FAIL)),
        "errors": str(answers.count(Answer.INCONCLUSIVE)),
    }
