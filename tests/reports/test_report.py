"""The page: one offline file that says everything, escapes everything and prints no unsupported number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from evidence_builders import (
    DEVICE,
    MS,
    URI,
    Builder,
    Run,
    answers,
    artifact,
    digits,
    latencies,
    timing,
)
from page_reader import Element, read_page, rows, section

from edgebench.artifact import Format, Precision, Skipped
from edgebench.benchmark.evidence import LatencySamples, Measurement, Session, Validity
from edgebench.benchmark.noise_record import NoiseFloor
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.html import Page, render_page
from edgebench.reports.judge import judge
from edgebench.reports.results import make_results
from edgebench.reports.units import NONE, plain_text, value_text
from edgebench.reports.verdict import Verdict
from edgebench.reports.words import headline, printable

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;<!--größe模型\x00\u202e]]>"
SHOWN = printable(HOSTILE)
LOADERS = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video", "source"}


def judged(run: Run, *words: str) -> tuple[str, Verdict]:
    """Return the page of a run and its verdict, by the gates given or by the edge checklist."""
    gates = tuple(map(parse_gate, words)) or DEFAULT_GATES
    verdict = judge(run.evidence, gates, run.samples, run.answers)
    results = make_results(run.evidence, verdict, run.samples, run.answers)
    return render_page(Page(run.evidence, verdict, results, run.samples, run.answers)), verdict


def no_go() -> Run:
    """Return the demo with one artifact that is too slow and one that lost too much."""
    builder = digits(wrong=40)
    builder.samples["digits.fp16.onnx", URI] = latencies(61)
    return builder.run()


RUNS = {
    "GO": (lambda: digits(wrong=10).run(), ()),
    "NO-GO": (no_go, ()),
    "INCONCLUSIVE": (lambda: digits(wrong=12).run(), ("p99 <= 0.105ms on w8a8", "drop <= 0.4pp")),
}


@pytest.fixture(scope="module")
def pages() -> dict[str, tuple[str, Verdict]]:
    """Return a page of each decision, with its verdict."""
    return {name: judged(make(), *words) for name, (make, words) in RUNS.items()}


@pytest.fixture(scope="module")
def hostile() -> str:
    """Return the page of a run in which every text that a user or a file can set is hostile."""
    return judged(hostile_run(), "p99 <= 50ms", "drop <= 2pp", "top1 >= 50%")[0]


def hostile_run() -> Run:
    """Return two artifacts whose names, notes, classes, sources and reasons are all hostile."""
    device = replace(DEVICE, name=HOSTILE, processor=HOSTILE, system=HOSTILE, extra={HOSTILE: HOSTILE})
    builder = Builder(HOSTILE, notes=(HOSTILE,))
    builder.skipped = (Skipped(Format.TENSORRT, Precision.W8A8, HOSTILE),)
    for precision in (Precision.FP32, Precision.W8A8):
        made = artifact(HOSTILE.replace("/", ":"), precision, Format.ONNX, 4_000_000)
        tensor = replace(made.inputs[0], name=HOSTILE)
        made = replace(
            made,
            inputs=(tensor,),
            outputs=(tensor,),
            steps=(HOSTILE,),
            versions={HOSTILE: HOSTILE},
            source=replace(made.source, model=HOSTILE, kind=HOSTILE, weights=HOSTILE),
        )
        builder.add(
            made,
            latencies(1),
            answers(540),
            device,
            validity=Validity.DEGRADED,
            validity_reasons=(HOSTILE,),
        )
    measured = [
        replace(
            m,
            accuracy=m.accuracy and replace(m.accuracy, data=HOSTILE, class_names=(HOSTILE,) * 10),
            sessions=tuple(replace(s, timing=timing(timed=HOSTILE, provider=HOSTILE)) for s in m.sessions),
        )
        for m in builder.measurements
    ]
    failed = artifact("failed", Precision.FP16, Format.ONNX, 10)
    builder.measurements = measured
    builder.add(failed, failure=HOSTILE)
    return builder.run(environment={HOSTILE: HOSTILE}, tool_version=HOSTILE)


# --- one offline file ---------------------------------------------------------------------------


def outside(page: Element) -> list[str]:
    """Return everything in a page that loads, runs or links to anything outside it."""
    found = [f"<{element.tag}>" for element in page.every() if element.tag in LOADERS]
    for element in page.every():
        attributes = element.attributes.items()
        found += [f"{element.tag}.{name}={value}" for name, value in attributes if _leads_out(name, value)]
    for style in page.all("style"):
        found += re.findall(r"@import|url\(|//|expression\(|@font-face", style.text)
    return found


def _leads_out(name: str, value: str) -> bool:
    if name.startswith("on") or name in ("src", "srcset", "data", "action", "poster", "background"):
        return True
    if name in ("href", "xlink:href"):
        return not value.startswith("#")
    foreign = "url(" in value.replace("url(#", "") or re.search(r"javascript:|expression\(", value)
    return bool(foreign) or ("//" in value and not name.startswith("xmlns"))


def parsed(svg: str) -> ET.Element:
    """Return a figure as XML."""
    return ET.fromstring(svg)  # noqa: S314 - our own figure


@pytest.mark.parametrize("kind", [*RUNS, "hostile"])
def test_the_page_loads_nothing(kind: str, pages: dict[str, tuple[str, Verdict]], hostile: str) -> None:
    """No script, no link, no image, no font, no address: the file is all there is."""
    assert outside(read_page(hostile if kind == "hostile" else pages[kind][0])) == []


def test_the_page_forbids_loading(pages: dict[str, tuple[str, Verdict]]) -> None:
    """Its own policy, before anything else but the charset, allows inline styles and nothing more."""
    page = read_page(pages["GO"][0])
    charset, policy = page.all("meta")[:2]
    assert charset.attributes == {"charset": "utf-8"}
    assert policy.attributes["http-equiv"] == "Content-Security-Policy"
    assert policy.attributes["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    first = [child for child in page.all("head")[0].children if isinstance(child, Element)]
    assert first[:2] == [charset, policy]


@pytest.mark.parametrize("kind", [*RUNS, "hostile"])
def test_the_page_is_well_formed(kind: str, pages: dict[str, tuple[str, Verdict]], hostile: str) -> None:
    """Elements close in order, ids are unique, and what an id refers to is there."""
    html = hostile if kind == "hostile" else pages[kind][0]
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    assert html.endswith("</html>\n")
    page = read_page(html)
    ids = [e.attributes["id"] for e in page.every() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(#|href="#)([^)"]+)', html)
    assert used
    assert set(used) <= set(ids)


def test_the_same_evidence_gives_the_same_bytes() -> None:
    """Rendering twice, figures too, gives one page."""
    assert judged(digits().run())[0] == judged(digits().run())[0]


# --- everything is escaped ----------------------------------------------------------------------


def test_hostile_text_is_only_text(hostile: str) -> None:
    """Tags, quotes and control characters in names, notes, classes and reasons are shown as text."""
    page = read_page(hostile)
    assert "<script" not in hostile.casefold()
    assert "<img" not in hostile.casefold()
    assert not page.all("script")
    assert "\x00" not in hostile
    assert "\u202e" not in hostile
    assert page.all("h1")[0].text == SHOWN
    assert page.all("title")[0].text == f"INCONCLUSIVE: {SHOWN} – edgebench report"
    assert section(page, "What else to know").text.count(SHOWN) == 2
    assert section(page, "Accuracy by class").text.count(SHOWN) >= 10
    assert section(page, "Provenance").text.count(SHOWN) >= 20
    assert section(page, "Decisions").text.count(SHOWN) >= 2


def test_hostile_text_is_only_text_in_figures(hostile: str) -> None:
    """The figures are XML by themselves and hold no element that was not drawn."""
    drawn = {"svg", "g", "path", "defs", "use", "text", "style", "clipPath", "rect", "tspan"}
    for svg in re.findall(r"<svg .*?</svg>", hostile, re.DOTALL):
        tags = {element.tag.rpartition("}")[2] for element in parsed(svg).iter()}
        assert tags <= drawn


# --- everything is there ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RUNS)
def test_the_banner_says_the_decision(kind: str, pages: dict[str, tuple[str, Verdict]]) -> None:
    """Title and banner name the decision, the banner why."""
    html, verdict = pages[kind]
    page = read_page(html)
    banner = next(s for s in page.all("section") if "banner" in s.attributes.get("class", ""))
    assert verdict.decision == kind
    assert banner.all("strong")[0].text.split()[-1] == kind
    assert headline(verdict) in banner.text
    assert page.all("title")[0].text.startswith(f"{kind}: ")


@pytest.mark.parametrize("kind", RUNS)
def test_every_gate_stands_with_value_interval_bound_and_reason(
    kind: str, pages: dict[str, tuple[str, Verdict]]
) -> None:
    """Each gate of each artifact has one row with its answer, words, value, both bounds and the reason."""
    html, verdict = pages[kind]
    results = [result for found in verdict.artifacts for result in found.gates]
    shown = rows(section(read_page(html), "Every gate"))[1:]
    assert len(shown) == len(results)
    for result in results:
        (row,) = [r for r in shown if f" {result.artifact} {result.gate} " in r]
        assert str(result.answer) in row
        assert value_text(result.value, result.unit) in row
        assert result.reason in row
        assert result.needed is None or f"needed: {result.needed}" in row
        lower, upper = result.interval.lower, result.interval.upper
        if lower != upper:
            assert f"{plain_text(lower, result.unit)} to {plain_text(upper, result.unit)}" in row
            assert "each at 95 %" in row


def test_a_gate_without_any_bound_says_so() -> None:
    """Three sessions bound no median: one dash, and at which confidence there is no bound."""
    html, _ = judged(digits(wrong=10).run(), "load <= 1s @99%")
    first = rows(section(read_page(html), "Every gate"))[1]
    assert f"{NONE} none at 99 % 3 sessions do not bound load" in first


def test_what_did_not_pass_comes_first(pages: dict[str, tuple[str, Verdict]]) -> None:
    """Failures stand above what is undecided, and that above what passed."""
    html, _ = pages["NO-GO"]
    order = [row.split()[1] for row in rows(section(read_page(html), "Every gate"))[1:]]
    rank = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    assert order == sorted(order, key=rank.__getitem__)
    assert order[0] == "FAIL"


@pytest.mark.parametrize("kind", RUNS)
def test_the_matrix_has_a_row_for_each_artifact(kind: str, pages: dict[str, tuple[str, Verdict]]) -> None:
    """Each artifact stands with its decision, each gate with its answer there."""
    html, verdict = pages[kind]
    head, *shown = rows(section(read_page(html), "Decisions"))
    assert all(words in head for words in verdict.criteria)
    for found, row in zip(verdict.artifacts, shown, strict=True):
        assert row.startswith(found.artifact)
        assert row.endswith(f"{found.decision}")
        assert sum(row.count(word) for word in ("PASS", "FAIL")) == sum(
            result.answer in ("PASS", "FAIL") for result in found.gates
        )


def test_the_figures_stand_in_the_tables(pages: dict[str, tuple[str, Verdict]]) -> None:
    """Size, shrink, top-1, drop and the percentiles of the w8a8 file, with their intervals."""
    shown = rows(section(read_page(pages["GO"][0]), "Figures"))
    size, speed = (row for row in shown if row.startswith("digits.w8a8.onnx"))
    assert size.startswith("digits.w8a8.onnx 175 KB 3.73× 98.15 [96.62, 99.11] 0.37 [")
    assert re.match(r"digits\.w8a8\.onnx 90\.\d \[[\d., ]+\] 9\d\.\d \[[\d., ]+\] 1\d\d \[", speed)
    assert speed.endswith("600 in 3 sessions")


def test_skipped_work_and_notes_are_said() -> None:
    """What was asked for and not made stands with its reason, and so does every note."""
    builder = digits(wrong=10)
    builder.notes = ("calibration and evaluation share 3 samples",)
    text = section(read_page(judged(builder.run())[0]), "What else to know").text
    assert "w8a8 tensorrt: no NVIDIA GPU on this machine" in text
    assert "calibration and evaluation share 3 samples" in text


def test_provenance_is_complete(pages: dict[str, tuple[str, Verdict]]) -> None:
    """Device, timing, data, hashes, sources, calibration, parity, versions, seed and gates are told."""
    html, verdict = pages["GO"]
    text = section(read_page(html), "Provenance").text
    told = (
        "bench-7", "Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores", "8.33 GB", "governor", "performance",
        "onnxruntime 1.32.0", "litert 2.3.0", "CPUExecutionProvider", "XNNPACK", "perf_counter_ns",
        "run_with_iobinding", "fresh process per session", "pipeline:evaluation", "34" * 32,
        "540 in 10 classes", "ab" * 32, "cd" * 32, "ef" * 32, "12" * 32, "256 samples", "min-max",
        "image: float32[?, 1, 8, 8]", "times 0.0625", "minus 0.500", "by 0.250", "layout nchw",
        "quantize_static QDQ", "cosine 0.999870", "SQNR 36.1 dB", "same best class 100.0 %",
        "torch 2.13.0", "python 3.11.7", verdict.criteria_sha256, "; ".join(verdict.criteria),
        "2026-01-02T03:04:05Z",
    )  # fmt: skip
    assert [words for words in told if words not in text] == []


def test_the_page_says_how_the_artifacts_were_timed() -> None:
    """Blocks in turn, the seed that their orders are drawn from, and the device's noise floor are told."""
    run = digits(wrong=10).run()
    floor = NoiseFloor("ab", URI, "2026-01-02", "0.1", "m.onnx", "", 5, 200, 1, (), "VALID", {"p50": 0.012})
    ids = [one.artifact.id for one in run.evidence.measurements]
    for known, words in ((floor, "p50 1.2 %: 95 % of 0 A/A comparisons of m.onnx"), (None, "not measured")):
        shared = [
            replace(one, noise=known, sessions=tuple(in_turn(one, ids))) for one in run.evidence.measurements
        ]
        changed = replace(run, evidence=replace(run.evidence, measurements=tuple(shared)))
        text = section(read_page(judged(changed)[0]), "Provenance").text
        assert f"20 blocks of calls each, {len(ids)} artifacts in turn, in orders drawn from the seed" in text
        assert f"noise floor of {URI} {words}" in " ".join(text.split())
    before = section(read_page(judged(run)[0]), "Provenance").text
    assert "blocks of calls" not in before
    assert "noise floor" not in before


def in_turn(measured: Measurement, ids: list[str]) -> Iterator[Session]:
    """Yield a measurement's sessions as if they had been taken in turn with the others'."""
    beside = tuple(name for name in ids if name != measured.artifact.id)
    for session in measured.sessions:
        yield replace(session, blocks=20, beside=beside)


def test_a_failed_artifact_is_shown_with_its_failure() -> None:
    """What could not be measured stands in every table with the reason, and has no figures."""
    builder = digits(wrong=10)
    builder.add(artifact("digits", Precision.W8A32, Format.ONNX, 170_000), failure="ended by SIGABRT")
    html, verdict = judged(builder.run())
    assert verdict.decision == "INCONCLUSIVE"
    page = read_page(html)
    assert "could not be measured: ended by SIGABRT" in section(page, "Decisions").text
    size, speed = (r for r in rows(section(page, "Figures")) if r.startswith("digits.w8a32.onnx"))
    assert f"170 KB 3.84× {NONE} {NONE} {NONE} {NONE}" in size
    assert speed.endswith(" ".join([NONE] * 7))


def test_two_devices_are_told_apart() -> None:
    """The same artifact on two devices is two rows, each with its device."""
    builder = digits(wrong=10)
    made = artifact("digits", Precision.W8A8, Format.ONNX, 175_000)
    builder.add(made, latencies(5), answers(540), replace(DEVICE, uri="ssh://orin", name="orin"))
    page = read_page(judged(builder.run())[0])
    for title in ("Decisions", "Figures"):
        assert any(r.startswith("digits.w8a8.onnx ssh://orin") for r in rows(section(page, title)))
        assert any(r.startswith(f"digits.w8a8.onnx {URI}") for r in rows(section(page, title)))
    assert "Device ssh://orin" in section(page, "Provenance").text


# --- no number that the sample cannot carry -----------------------------------------------------


def at(values_ms: list[float]) -> LatencySamples:
    """Return timings of one session with these values in milliseconds."""
    values = np.array([round(v * MS) for v in values_ms], np.int64)
    return LatencySamples(values, np.zeros(len(values), np.int64), values[:0])


@pytest.mark.parametrize(
    ("calls", "known"), [(4, 0), (5, 1), (20, 1), (28, 1), (29, 2), (298, 2), (299, 3), (600, 3)]
)
def test_a_percentile_that_the_calls_do_not_support_is_a_dash(calls: int, known: int) -> None:
    """20 calls have no p90 and no p99, 298 no p99: a dash in the table, and why below it."""
    net = artifact("net", Precision.FP32, Format.ONNX, 4_000_000)
    html, verdict = judged(Builder().add(net, at([1.25] * calls)).run(), "p99 <= 50ms")
    page = read_page(html)
    speed = [r for r in rows(section(page, "Figures")) if r.startswith("net")][1]
    cells = re.findall(rf"{NONE}|1\.25 \[(?:1\.25|{NONE}), (?:1\.25|{NONE})\]", speed)[:3]
    assert [cell.split()[0] for cell in cells] == ["1.25"] * known + [NONE] * (3 - known)
    result = verdict.artifacts[0].gates[0]
    assert (result.value is None) == (calls < 299)
    why = section(page, "Figures").text
    assert ("p99 needs at least 299 calls" in why) == (calls < 299)
    assert (f"{NONE} in brackets for an end" in why) == any(cell.endswith(f"{NONE}]") for cell in cells)
    assert (f"INCONCLUSIVE {NONE}" in rows(section(page, "Decisions"))[1]) == (calls < 299)


def test_figures_mark_supported_percentiles_alone() -> None:
    """A latency figure of 20 calls has one mark, the median; of 600 calls three."""

    def marks(calls: int) -> int:
        net = artifact("net", Precision.FP32, Format.ONNX, 4_000_000)
        html, _ = judged(Builder().add(net, at([1 + i / calls for i in range(calls)])).run(), "p99 <= 50ms")
        svg = parsed(re.findall(r"<svg .*?</svg>", html, re.DOTALL)[0])
        used = svg.iter("{http://www.w3.org/2000/svg}use")
        styles = [use.attrib.get("style", "") for use in used]
        return sum("fill: #3a7fc1" in style and "fill-opacity" not in style for style in styles)

    assert (marks(20), marks(600)) == (1, 3)


def test_a_run_without_timings_or_data_has_no_figures() -> None:
    """A file that was only weighed gets a page without empty figures."""
    net = artifact("net", Precision.FP32, Format.ONNX, 4_000_000)
    html, verdict = judged(Builder().add(net).run(), "size <= 10MB")
    assert verdict.decision == "GO"
    assert "<svg" not in html
    assert [s.all("h2")[0].text for s in read_page(html).all("section")[1:]] == [
        "Decisions", "Figures", "Every gate", "Provenance",
    ]  # fmt: skip
