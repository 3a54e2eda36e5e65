"""The page: one offline file with the verdict on top and everything it rests on below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples
from edgebench.reports import html_figures, html_provenance, html_tables, html_workloads
from edgebench.reports.markup import Markup, broken, joined, scroll, tag
from edgebench.reports.results import Results
from edgebench.reports.subjects import Key
from edgebench.reports.text_tables import Raw
from edgebench.reports.units import NONE, exact_percent, plain_text, unit_text, value_text
from edgebench.reports.verdict import Answer, ArtifactVerdict, Decision, GateResult, Verdict
from edgebench.reports.words import SYMBOLS, headline, on_device, printable, summary_counts, wanting

_CLASSES = {"GO": "go", "PASS": "go", "NO-GO": "no", "FAIL": "no", "INCONCLUSIVE": "open"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page may load nothing, from nowhere."""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the page shows. samples, answers: by artifact id and device URI.

    workloads: the raw numbers beyond single calls, by file.
    """

    evidence: Evidence
    verdict: Verdict
    results: Results
    samples: Mapping[Key, LatencySamples]
    answers: Mapping[Key, Answers]
    workloads: Raw = field(default_factory=dict)


def render_page(page: Page) -> str:
    """Return the page as HTML: no script, no link outside, the same bytes for the same evidence."""
    title = f"{page.verdict.decision}: {page.evidence.name}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} – edgebench report"),
        tag("style", Markup(resources.files("edgebench.reports").joinpath("report.css").read_text("utf-8"))),
    )
    main = tag(
        "main",
        _header(page.evidence),
        _banner(page.verdict),
        _matrix(page.verdict),
        html_tables.figures_section(page.results),
        html_figures.latency_section(page.results, page.samples, page.verdict),
        html_figures.trade_section(page.results),
        html_tables.classes_section(page.evidence, page.results, page.answers),
        html_workloads.workloads_section(page.evidence, page.workloads),
        _all_gates(page.verdict),
        _notes(page.results),
        html_provenance.provenance(page.evidence, page.verdict, page.results),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main), lang='en')}\n"


def _header(evidence: Evidence) -> Markup:
    devices = {m.device.uri: f"{m.device.name}, {m.device.processor}" for m in evidence.measurements}
    where = "; ".join(f"{uri} ({what})" for uri, what in devices.items())
    verb = "Imported" if html_provenance.origins(evidence) else "Measured"
    made = f"{verb} {evidence.created_utc} on {where}"
    return tag("header", tag("p", "edgebench report"), tag("h1", evidence.name), tag("p", made))


def mark(answer: Answer | Decision) -> Markup:
    """Return an answer or decision as sign, word and colour."""
    return tag("span", f"{SYMBOLS[answer]} {answer}", class_=f"mark {_CLASSES[answer]}")


def _banner(verdict: Verdict) -> Markup:
    decision = verdict.decision
    mixed = len({artifact.decision for artifact in verdict.artifacts}) > 1
    counts = f"By artifact: {summary_counts(verdict)}." if mixed else None
    needed = next((r.needed for r in wanting(verdict) if r.answer is Answer.INCONCLUSIVE and r.needed), None)
    settle = f"What would settle it: {needed}." if needed and decision is Decision.INCONCLUSIVE else None
    return tag(
        "section",
        tag("strong", f"{SYMBOLS[decision]} {decision}"),
        tag("p", headline(verdict)),
        tag("p", " ".join(filter(None, (settle, counts)))) if settle or counts else None,
        class_=f"banner {_CLASSES[decision]}",
        role="status",
    )


def _matrix(verdict: Verdict) -> Markup:
    """Return the decisions: a row for each artifact, a column for each gate."""
    devices = {artifact.device for artifact in verdict.artifacts}
    head = tag("tr", _th("artifact"), *map(_th, verdict.criteria), _th("decision"))
    rows = [_matrix_row(a, verdict.criteria, with_device=len(devices) > 1) for a in verdict.artifacts]
    return tag(
        "section",
        tag("h2", "Decisions"),
        tag("p", "A gate passes where its whole interval meets the bound, fails where the whole interval "
            "misses it, and is inconclusive in between. GO needs every gate to pass."),
        scroll(tag("table", tag("thead", head), tag("tbody", *rows))),
    )  # fmt: skip


def _matrix_row(artifact: ArtifactVerdict, criteria: Sequence[str], *, with_device: bool) -> Markup:
    found = {result.gate: result for result in artifact.gates}
    device = tag("small", artifact.device) if with_device else None
    own = [
        reason for reason in artifact.reasons if not reason.startswith(tuple(f"{gate}: " for gate in found))
    ]
    return tag(
        "tr",
        tag("th", broken(artifact.artifact), device, *(tag("small", reason) for reason in own), scope="row"),
        *(_matrix_cell(found.get(gate)) for gate in criteria),
        tag("td", mark(artifact.decision), class_=_CLASSES[artifact.decision]),
    )


def _matrix_cell(result: GateResult | None) -> Markup:
    if result is None:
        return tag("td", tag("span", "does not apply", class_="soft"))
    return tag("td", mark(result.answer), tag("small", value_text(result.value, result.unit), class_="line"))


def _all_gates(verdict: Verdict) -> Markup:
    """Return every gate with value, interval, bound and reason; what did not pass comes first."""
    missed = wanting(verdict)
    passed = [r for artifact in verdict.artifacts for r in artifact.gates if r.answer is Answer.PASS]
    names = ("answer", "artifact", "gate", "value", "bounds", "why")
    rows = [_gate_row(result, on_device(verdict, result.device)) for result in (*missed, *passed)]
    return tag(
        "section",
        tag("h2", "Every gate"),
        tag("p", "The two bounds are one-sided: each holds by itself at the gate's confidence, because a "
            "gate asks about one side. Sizes are facts and have no interval."),
        scroll(tag("table", tag("thead", tag("tr", *map(_th, names))), tag("tbody", *rows))),
    )  # fmt: skip


def _gate_row(result: GateResult, device: str) -> Markup:
    lower, upper = result.interval.lower, result.interval.upper
    if lower == upper and lower is not None:
        bounds = tag("td", "exact", class_="soft num")
    elif lower is None and upper is None:
        bounds = tag("td", NONE, tag("small", f"none at {exact_percent(result.confidence)} %"), class_="num")
    else:
        ends = " to ".join(plain_text(end, result.unit) for end in (lower, upper))
        note = tag("small", f"{unit_text(result.unit)}, each at {exact_percent(result.confidence)} %")
        bounds = tag("td", ends, note, class_="num")
    return tag(
        "tr",
        tag("td", mark(result.answer)),
        tag("th", broken(result.artifact + device), scope="row"),
        tag("td", tag("code", result.gate), class_="gate"),
        tag("td", value_text(result.value, result.unit), class_="num"),
        bounds,
        tag("td", result.reason, tag("small", f"needed: {result.needed}") if result.needed else None),
    )


def _notes(results: Results) -> Markup | None:
    if not results.skipped and not results.notes:
        return None
    parts: list[Markup] = []
    if results.skipped:
        parts += [tag("h3", "Asked for and not made"), tag("ul", *(tag("li", s) for s in results.skipped))]
    if results.notes:
        parts += [tag("h3", "Notes"), tag("ul", *(tag("li", note) for note in results.notes))]
    return tag("section", tag("h2", "What else to know"), *parts)


def _th(text: str) -> Markup:
    return tag("th", joined(printable(text)), scope="col")
