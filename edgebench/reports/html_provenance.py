"""Where every number of the page comes from: device, timing, artifacts, data, gates, versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from edgebench.artifact import Artifact, TensorSpec
from edgebench.benchmark.evidence import (
    NOT_TOLD,
    DeviceFacts,
    Evidence,
    Measurement,
    MetricRecord,
    Session,
    Summary,
    Timing,
)
from edgebench.datasets import Preprocessing
from edgebench.reports.declaration import declaration_words, look_notes
from edgebench.reports.markup import Markup, scroll, tag
from edgebench.reports.results import Results
from edgebench.reports.sensor_words import sensor_pairs
from edgebench.reports.units import Dimension, number, stored_text
from edgebench.reports.verdict import Verdict
from edgebench.reports.words import join

Pairs = Iterable[tuple[str, object]]


def provenance(evidence: Evidence, verdict: Verdict, results: Results) -> Markup:
    """Return everything that somebody needs to measure the same again."""
    devices = {m.device.uri: m.device for m in evidence.measurements}
    return tag(
        "section",
        tag("h2", "Provenance"),
        tag("p", "What was measured, where, how, and from which files."),
        *_titled("Run", _run(evidence, verdict)),
        *(part for device in devices.values() for part in _titled(f"Device {device.uri}", _device(device))),
        *(part for uri in devices for part in _sensors(uri, evidence.measurements)),
        *_timing(evidence.measurements),
        *_data(evidence),
        *(part for artifact in _artifacts(evidence) for part in _titled(artifact.id, _artifact(artifact))),
        *_sessions(evidence, results),
        *_summaries(evidence),
    )


def _titled(title: str, pairs: Pairs) -> tuple[Markup, Markup]:
    listed = [part for name, value in pairs for part in (tag("dt", name), tag("dd", value))]
    return tag("h3", title), tag("dl", *listed)


def _code(text: object) -> Markup:
    return tag("code", text)


def _run(evidence: Evidence, verdict: Verdict) -> Pairs:
    return (
        ("edgebench", evidence.tool_version),
        ("imported" if origins(evidence) else "measured", evidence.created_utc),
        ("seed", evidence.seed),
        ("baseline", evidence.baseline or "none"),
        *_turns(evidence.measurements),
        *(("imported from", origin) for origin in origins(evidence)),
        ("gates", join(verdict.criteria, "; ")),
        ("gates' SHA-256", _code(verdict.criteria_sha256)),
        ("criteria", declaration_words(verdict.declaration)),
        *(("looks", note) for note in look_notes(evidence.looks, verdict.declaration)[:1]),
        ("versions", _versions(evidence.environment)),
    )


def _turns(measurements: Sequence[Measurement]) -> Iterator[tuple[str, object]]:
    """Yield how the sessions' calls were taken, and what noise floor the devices have."""
    timed = [session for measurement in measurements for session in measurement.sessions]
    blocks = sorted({session.blocks for session in timed if session.blocks is not None})
    if not blocks:  # before schema 3, or a log of another tool
        return
    count = f"{blocks[0]}" if len(blocks) == 1 else f"{blocks[0]} to {blocks[-1]}"
    others = max(len(session.beside) for session in timed)
    beside = f"{others + 1} artifacts in turn, in orders drawn from the seed" if others else "one by itself"
    yield "sessions", f"{count} blocks of calls each, {beside}; in processes of their own, all alive"
    for device, floor in {m.device.uri: m.noise for m in measurements}.items():
        yield f"noise floor of {device}", "not measured" if floor is None else floor.words


def origins(evidence: Evidence) -> tuple[str, ...]:
    """Return the logs of other tools that the run was imported from, each once."""
    sessions = (session for measurement in evidence.measurements for session in measurement.sessions)
    return tuple(dict.fromkeys(session.origin for session in sessions if session.origin))


def _device(device: DeviceFacts) -> Pairs:
    return (
        ("name", device.name + (" (emulated)" if device.emulated else "")),
        ("processor", f"{device.processor}, {device.cores} cores" if device.cores else device.processor),
        ("memory", stored_text(device.memory_bytes or None, Dimension.SIZE)),
        ("system", device.system),
        *device.extra.items(),
    )


def _sensors(uri: str, measurements: Sequence[Measurement]) -> Iterator[Markup]:
    pairs = list(sensor_pairs([m for m in measurements if m.device.uri == uri]))
    if pairs:
        yield from _titled(f"Sensors of {uri}", pairs)


def _timing(measurements: Sequence[Measurement]) -> Iterator[Markup]:
    """Yield what was timed, once for each definition, with the artifacts it holds for."""
    groups: dict[Timing, list[str]] = {}
    for measurement in measurements:
        for timing in dict.fromkeys(session.timing for session in measurement.sessions):
            groups.setdefault(timing, []).append(measurement.artifact.id)
    for timing, names in groups.items():
        title = f"What was timed with {timing.runtime} {timing.runtime_version}"
        skipped = ("runtime", "runtime_version")
        shown = [(f.name, _plain(getattr(timing, f.name))) for f in fields(Timing) if f.name not in skipped]
        yield from _titled(title, [("artifacts", join(names)), *shown])


def _plain(value: object) -> object:
    if value in (None, (), ""):
        return NOT_TOLD
    return join(value) if isinstance(value, tuple) else value


def _data(evidence: Evidence) -> Iterator[Markup]:
    records = {m.accuracy.fingerprint: m.accuracy for m in evidence.measurements if m.accuracy}
    for record in records.values():
        pairs = (
            ("data", record.data),
            ("SHA-256", _code(record.fingerprint)),
            ("samples", f"{record.samples:,}{f' in {record.classes} classes' if record.classes else ''}"),
            *([("metric", _metric(record.metric))] if record.metric else []),
        )
        yield from _titled("Evaluation data", pairs)


def _metric(metric: MetricRecord) -> Markup:
    """Return a metric's name, which way it counts, and the hash of a user's function."""
    better = "more" if metric.more_is_better else "less"
    source = (" · SHA-256 of its source ", _code(metric.sha256)) if metric.sha256 else ()
    return tag("span", f"{metric.name}, {better} is better", *source)


def _artifacts(evidence: Evidence) -> tuple[Artifact, ...]:
    return tuple({m.artifact.id: m.artifact for m in evidence.measurements}.values())


def _artifact(artifact: Artifact) -> Iterator[tuple[str, object]]:
    source = artifact.source
    if not artifact.size_bytes:
        yield "file", "not told: its log was imported without it"
        return
    yield "file", f"{artifact.size_bytes:,} B"
    yield "SHA-256", _code(artifact.sha256)
    yield "source", tag("span", f"{source.model} ({source.kind}) ", _code(source.sha256))
    if source.weights:
        yield "weights", tag("span", f"{source.weights} ", _code(source.weights_sha256 or ""))
    yield "inputs", join(map(_tensor, artifact.inputs), "; ")
    yield "outputs", join(map(_tensor, artifact.outputs), "; ")
    yield "preprocessing", preprocessing_text(artifact.preprocessing)
    if artifact.steps:
        yield "steps", join(artifact.steps, "; ")
    if artifact.calibration:
        made = artifact.calibration
        words = f"{made.samples} samples of {made.data}, {made.method} "
        yield "calibration", tag("span", words, _code(made.fingerprint))
    if artifact.parity:
        yield "against its source", _parity(artifact)
    if artifact.versions:
        yield "made with", _versions(artifact.versions)


def _tensor(spec: TensorSpec) -> str:
    shape = ", ".join("?" if size < 0 else str(size) for size in spec.shape)
    found = spec.quantization
    scale = f" (real = {found.scale:g} × (stored - {found.zero_point}))" if found else ""
    return f"{spec.name}: {spec.dtype}[{shape}]{scale}"


def preprocessing_text(done: Preprocessing) -> str:
    """Return what is done to a stored sample before the model, in words."""
    steps = [f"resize to {done.resize[0]}×{done.resize[1]}"] if done.resize else []
    steps += [f"colour {done.colour}"] if done.colour else []
    steps += [f"times {done.scale:g}"] if done.scale != 1 else []
    steps += [f"minus {join(map(number, done.mean))}"] if done.mean else []
    steps += [f"by {join(map(number, done.std))}"] if done.std else []
    steps += [f"layout {done.layout}"] if done.layout else []
    return "; ".join(steps) or "none: samples go in as they are stored"


def _parity(artifact: Artifact) -> str:
    found = artifact.parity
    if found is None:
        return ""
    parts = [f"largest error {found.max_abs_error:.3g}", f"cosine {found.cosine:.6f}"]
    parts += [f"SQNR {found.sqnr_db:.1f} dB"] if found.sqnr_db is not None else ["no error at all"]
    parts += [f"same best class {100 * found.agreement:.1f} %"] if found.agreement is not None else []
    return f"{', '.join(parts)} ({found.samples} samples of {found.data})"


def _versions(versions: Mapping[str, str]) -> str:
    return join((f"{name} {version}" for name, version in sorted(versions.items())))


def _sessions(evidence: Evidence, results: Results) -> Iterator[Markup]:
    """Yield the sessions: how alike the fresh processes were."""
    rows = [
        _session_row(results, measurement, session)
        for measurement in evidence.measurements
        for session in measurement.sessions
    ]
    if rows:
        names = ("artifact", "session", "started", "load (ms)", "first call (ms)", "peak memory (MB)")
        heads = (*names, "p50 (ms)", "calls", "warm-up calls")
        numeric = [tag("th", name, scope="col", class_=_aligned(i)) for i, name in enumerate(heads)]
        yield tag("h3", "Sessions")
        yield scroll(tag("table", tag("thead", tag("tr", *numeric)), tag("tbody", *rows)))


def _session_row(results: Results, measurement: Measurement, session: Session) -> Markup:
    key = (measurement.artifact.id, measurement.device.uri)
    artifact = next(a for a in results.artifacts if (a.artifact, a.device) == key)
    p50 = results.find(artifact, f"p50[session {session.index}]")
    cells = (
        str(session.index),
        session.started_utc,
        _in_millions(session.load_ns),
        _in_millions(session.first_ns),
        _in_millions(session.peak_rss_bytes),
        number(p50.value if p50 else None),
        f"{session.calls:,}",
        f"{session.warmup_calls:,}",
    )
    name = tag("th", measurement.artifact.id, scope="row")
    return tag("tr", name, *(tag("td", cell, class_=_aligned(i + 1)) for i, cell in enumerate(cells)))


def _summaries(evidence: Evidence) -> Iterator[Markup]:
    """Yield what other tools printed in place of single timings, each figure as the tool gives it."""
    pairs = [
        (f"{measurement.artifact.id}, session {session.index}", _summary_text(session.summary))
        for measurement in evidence.measurements
        for session in measurement.sessions
        if session.summary is not None
    ]
    if pairs:
        yield from _titled("Summaries that other tools printed", pairs)


def _summary_text(summary: Summary) -> str:
    """Return a tool's summary in words: `200 calls: mean 5.06 ms, least 4.90 ms, …`."""
    figures = {"mean": summary.mean_ns, "median": summary.median_ns, "least": summary.least_ns}
    figures |= {"most": summary.most_ns, "standard deviation": summary.std_ns}
    told = [
        f"{name} {stored_text(value, Dimension.TIME)}" for name, value in figures.items() if value is not None
    ]
    return f"{summary.calls:,} calls: {join(told)}, by {summary.tool}; no percentile follows from it"


def _in_millions(value: int | None) -> str:
    """Return nanoseconds in ms, or bytes in MB; – where a log does not tell."""
    return number(None if value is None else value / 1e6)


def _aligned(column: int) -> str | None:
    """Return the class of a session column: numbers stand right, the name and the time left."""
    return {0: None, 2: "line"}.get(column, "num")
