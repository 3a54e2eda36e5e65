"""From artifacts to evidence: fresh processes, interleaved sessions, everything kept raw."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgebench import __version__
from edgebench.artifact import Artifact, Skipped
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import RUNTIMES, AgentHost, AgentResult, open_host
from edgebench.benchmark.evidence import (
    AccuracyRecord,
    Answers,
    DeviceFacts,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    Timing,
)
from edgebench.benchmark.inputs import (
    LARGEST_BATCH,
    calls,
    check_classes,
    grouping,
    logits,
    random_tensors,
    sample_tensors,
)
from edgebench.benchmark.validity import Strain, assess
from edgebench.devices.registry import open_device
from edgebench.errors import ConfigError, InputError, MeasurementError
from edgebench.progress import Progress, silent
from edgebench.storage import encode_json, sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.datasets import Dataset
    from edgebench.devices.device import Device

LATENCY_SAMPLES = 16
"""Different inputs that the timed calls rotate over, so that no cache or branch learns one by heart."""

CHUNK_BYTES = 256 << 20
"""Inputs of the accuracy pass that lie on disk at a time."""

_SLACK_S = 300.0
"""What a session may take beside its calls: starting, loading, one call that is longer than its limit."""
_ANSWER_S = 3600.0

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """What to measure. artifacts: manifests with the paths of their model files, absolute.

    sessions: fresh processes per artifact. calls: timed calls per session; fewer where `max_session_s`
    is over. The warm-up lasts `warmup_s` and `min_warmup_calls`, whichever is longer, and ends at
    `max_session_s` in any case. affinity: cores as in `0,2-3`; None leaves the process unbound.
    notes: said beforehand, kept in the evidence.
    """

    artifacts: tuple[tuple[Artifact, Path], ...]
    out: Path
    name: str = "benchmark"
    device: str = "local:cpu"
    data: Dataset | None = None
    baseline: str | None = None
    sessions: int = 3
    calls: int = 200
    max_session_s: float = 60.0
    warmup_s: float = 0.25
    min_warmup_calls: int = 20
    threads: int = 1
    affinity: str | None = None
    seed: int = 0
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    """What is known of one artifact so far."""

    artifact: Artifact
    model: Path
    sessions: list[Session] = field(default_factory=list)
    accuracy: AccuracyRecord | None = None
    failure: str | None = None


def benchmark(
    request: BenchmarkRequest, *, device: Device | None = None, progress: Progress = silent
) -> Evidence:
    """Measure the artifacts, write the evidence into `request.out`, and return it.

    Sessions and answers found there from an earlier, killed run of the same request are kept. An
    artifact that cannot be measured becomes a `failure` and the others go on. device: in place of the
    one that `request.device` names. Raises InputError for data or settings that do not fit,
    DeviceError where the device is gone.
    """
    _check(request)
    cores = parse_cores(request.affinity)
    device = open_device(request.device) if device is None else device
    with _host(device, request.out) as host:
        evidence = _Run(request, host, device.facts(), cores, progress).measure()
    files.write_evidence(request.out, evidence)
    return evidence


@contextlib.contextmanager
def _host(device: Device, out: Path) -> Iterator[AgentHost]:
    """Yield the device with the agent on it; neither side keeps anything of the work."""
    workspace = device.workspace(out)
    try:
        yield open_host(device, out)
    finally:
        device.clear(workspace)
        shutil.rmtree(out / ".work", ignore_errors=True)


def parse_cores(text: str | None) -> tuple[int, ...]:
    """Return the cores of a text such as `0,2-3`, none for None. Raises ConfigError."""
    if text is None:
        return ()
    cores: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            cores.update(range(int(first), int(last if dash else first) + 1))
    except ValueError as err:
        raise ConfigError(f"affinity {text!r} is not a list of cores", hint="as in 0,2-3") from err
    if not cores:
        raise ConfigError(f"affinity {text!r} names no core", hint="as in 0,2-3")
    return tuple(sorted(cores))


def _check(request: BenchmarkRequest) -> None:
    if not request.artifacts:
        raise InputError("there is nothing to measure", hint="name at least one artifact")
    ids = [artifact.id for artifact, _ in request.artifacts]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError(f"two artifacts are called {twice[0]}", hint="rename one of the files")
    if min(request.sessions, request.calls, request.threads) < 1:
        raise ConfigError("sessions, calls and threads must be at least 1")
    for artifact, _ in request.artifacts:
        grouping(artifact, request.data, largest=1)
        if request.data is not None:
            check_classes(artifact, request.data)


@dataclass(slots=True)
class _Run:
    request: BenchmarkRequest
    host: AgentHost
    facts: DeviceFacts
    cores: tuple[int, ...]
    progress: Progress

    def measure(self) -> Evidence:
        """Ask every artifact for its answers, then time them all in turn."""
        findings = [_Findings(artifact, path) for artifact, path in self.request.artifacts]
        labelled = self.request.data is not None and self.request.data.labels is not None
        if labelled:
            for index, finding in enumerate(findings):
                count = (index, len(findings))
                finding.accuracy = _attempt(finding, partial(self._accuracy, count=count))
        self._latency(findings)
        return self._evidence(findings)

    def _tell(self, what: str, finding: _Findings, count: tuple[int, int], *, kept: bool) -> None:
        """Report what is done now, or kept from before. count: how many are done, and of how many."""
        done, total = count
        ending = ": kept from before" if kept else ""
        self.progress(f"{what} of {finding.artifact.id}{ending}", done=done, total=total)

    # --- latency --------------------------------------------------------------------------------

    def _latency(self, findings: Sequence[_Findings]) -> None:
        """Take session after session, each round over all artifacts in an order of its own."""
        total, done = self.request.sessions * len(findings), 0
        for index in range(self.request.sessions):
            for place in np.random.default_rng([self.request.seed, index]).permutation(len(findings)):
                finding = findings[place]
                session = _attempt(finding, partial(self._session, index=index, count=(done, total)))
                finding.sessions += [session] if session else []
                done += 1

    def _session(self, finding: _Findings, index: int, count: tuple[int, int]) -> Session:
        request, artifact = self.request, finding.artifact
        stem = files.file_stem(artifact.id)
        relative = f"samples/{stem}.s{index}.parquet"
        settings = {
            "mode": "latency",
            "calls": request.calls,
            "max_s": request.max_session_s,
            "warmup_s": request.warmup_s,
            "min_warmup_calls": request.min_warmup_calls,
            "data": request.data.fingerprint if request.data else "random",
            "seed": request.seed,
            "session": index,
        }
        job = self._hash(artifact, settings)
        known = files.read_session(request.out / relative, job)
        self._tell(f"session {index + 1}", finding, count, kept=known is not None)
        if known is not None:
            return known
        group = grouping(artifact, request.data, largest=1)
        columns = calls(self._latency_tensors(artifact, group.batch), group)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        limit = 2 * request.max_session_s + _SLACK_S
        result = self._agent(finding, settings, columns, timeout_s=limit)
        session = _as_session(
            result, index=index, started=started, samples=relative, batch=group.batch, artifact=artifact
        )
        samples = LatencySamples(
            latency_ns=result.arrays["latency_ns"].astype(np.int64),
            session=np.full(session.calls, index, np.int64),
            warmup_ns=result.arrays["warmup_ns"].astype(np.int64),
        )
        files.write_session(request.out, session, samples, job)
        return session

    def _latency_tensors(self, artifact: Artifact, batch: int) -> tuple[NDArray[np.generic], ...]:
        count, data = LATENCY_SAMPLES * batch, self.request.data
        if data is None:
            return random_tensors(artifact, count, self.request.seed)
        chosen = np.random.default_rng(self.request.seed).permutation(len(data))[:count]
        return sample_tensors(artifact, data, [int(i) for i in chosen])

    # --- accuracy -------------------------------------------------------------------------------

    def _accuracy(self, finding: _Findings, count: tuple[int, int]) -> AccuracyRecord:
        request, artifact = self.request, finding.artifact
        data = request.data
        if data is None or data.labels is None:
            raise MeasurementError("there are no labels to hold the answers against")
        relative = f"outputs/{files.file_stem(artifact.id)}.npz"
        job = self._hash(artifact, {"mode": "accuracy", "data": data.fingerprint})
        known = files.read_accuracy(request.out / relative, job)
        self._tell("accuracy", finding, count, kept=known is not None)
        if known is not None:
            return known
        scores = self._answers(finding, data)
        record = AccuracyRecord(
            data=data.spec,
            fingerprint=data.fingerprint,
            samples=len(scores),
            classes=scores.shape[1],
            outputs=relative,
            class_names=data.class_names,
        )
        files.write_answers(request.out, record, Answers(scores, data.labels), job)
        return record

    def _answers(self, finding: _Findings, data: Dataset) -> NDArray[np.float32]:
        artifact = finding.artifact
        group = grouping(artifact, data, largest=min(LARGEST_BATCH, len(data)))
        one = sum(tensor.nbytes for tensor in sample_tensors(artifact, data, [0]))
        step = max(CHUNK_BYTES // max(one, 1) // group.batch, 1) * group.batch
        parts = []
        for start in range(0, len(data), step):
            chosen = range(start, min(start + step, len(data)))
            columns = calls(sample_tensors(artifact, data, chosen), group)
            result = self._agent(finding, {"mode": "accuracy"}, columns, timeout_s=_ANSWER_S)
            if "output_0" not in result.arrays:
                raise MeasurementError("the model gave no output")
            parts.append(
                logits(result.arrays["output_0"], len(chosen), group, artifact.outputs[0], artifact.id)
            )
        scores = np.concatenate(parts)
        wrong = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
        if wrong:
            raise MeasurementError(f"answered {wrong} of {len(scores)} samples with NaN or Inf")
        return scores

    # --- both -----------------------------------------------------------------------------------

    def _hash(self, artifact: Artifact, settings: dict[str, Any]) -> str:
        """Return a hash of all that a result depends on; an equal one need not be measured again."""
        asked = {
            **settings,
            "model": artifact.sha256,
            "preprocessing": artifact.preprocessing,
            "inputs": artifact.inputs,
            "device": self.facts,
            "packages": dict(self.host.packages),
            "agent": self.host.agent_sha256,
            "threads": self.request.threads,
            "cores": self.cores,
        }
        return sha256_bytes(encode_json(asked))

    def _agent(
        self,
        finding: _Findings,
        settings: dict[str, Any],
        columns: Sequence[NDArray[np.generic]],
        *,
        timeout_s: float,
    ) -> AgentResult:
        artifact = finding.artifact
        if artifact.format not in RUNTIMES:
            raise MeasurementError(f"{self.facts.uri} has no runtime for {artifact.format}")
        stem = files.file_stem(artifact.id)
        job = {
            **settings,
            "runtime": RUNTIMES[artifact.format],
            "model": self.host.send(finding.model, stem),
            "inputs": [self.host.send_array(array, f"input_{i}.npy") for i, array in enumerate(columns)],
            "input_names": [spec.name for spec in artifact.inputs],
            "threads": self.request.threads,
            "affinity": list(self.cores) or None,
        }
        return self.host.run(job, settings["mode"], timeout_s=timeout_s)

    def _evidence(self, findings: Sequence[_Findings]) -> Evidence:
        return Evidence(
            name=self.request.name,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            tool_version=__version__,
            measurements=tuple(self._measurement(finding) for finding in findings),
            baseline=self.request.baseline,
            skipped=self.request.skipped,
            seed=self.request.seed,
            environment=dict(self.host.packages),
            notes=(*self.request.notes, *_notes(self.request)),
        )

    def _measurement(self, finding: _Findings) -> Measurement:
        if finding.failure is not None:
            return Measurement(finding.artifact, self.facts, failure=finding.failure)
        measured = Measurement(
            finding.artifact, self.facts, sessions=tuple(finding.sessions), accuracy=finding.accuracy
        )
        samples = files.load_samples(self.request.out, measured)
        medians = [
            float(np.median(samples.latency_ns[samples.session == session.index]))
            for session in finding.sessions
        ]
        strains = [Strain(session.wait_share, session.steal_share) for session in finding.sessions]
        validity, reasons = assess(strains, medians)
        return replace(measured, validity=validity, validity_reasons=reasons)


def _attempt(finding: _Findings, step: Callable[[_Findings], Done]) -> Done | None:
    """Return what `step` gives; where it cannot, keep why, and None."""
    if finding.failure is not None:
        return None
    try:
        return step(finding)
    except MeasurementError as err:
        finding.failure = err.message if err.hint is None else f"{err.message} ({err.hint})"
        return None


def _as_session(
    result: AgentResult, *, index: int, started: str, samples: str, batch: int, artifact: Artifact
) -> Session:
    meta = result.meta
    try:
        return Session(
            index=index,
            started_utc=started,
            load_ns=int(meta["load_ns"]),
            first_ns=int(meta["first_ns"]),
            peak_rss_bytes=int(meta["peak_rss_bytes"] or 0),
            model_rss_bytes=meta["model_rss_bytes"],
            calls=result.arrays["latency_ns"].size,
            warmup_calls=result.arrays["warmup_ns"].size,
            samples=samples,
            coverage=str(meta["coverage"]),
            ended_by=str(meta["ended_by"]),
            wait_share=meta["wait_share"],
            steal_share=meta["steal_share"],
            timing=Timing(
                runtime=RUNTIMES[artifact.format],
                runtime_version=str(meta["runtime_version"]),
                provider=str(meta["provider"]),
                batch=batch,
                threads=int(meta["threads"]),
                affinity=tuple(meta["affinity"]),
                timed=str(meta["timed"]),
            ),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise MeasurementError(f"the agent's result lacks what it should tell: {err!r}") from err


def _notes(request: BenchmarkRequest) -> tuple[str, ...]:
    notes = []
    if request.data is None:
        notes.append(f"no data was given: latency was measured on random inputs, seed {request.seed}")
    elif request.data.labels is None:
        notes.append(f"{request.data.spec} has no labels: accuracy was not measured")
    else:
        notes += [
            f"{artifact.id} has {len(artifact.outputs)} outputs: {artifact.outputs[0].name} was taken "
            "as the score per class"
            for artifact, _ in request.artifacts
            if len(artifact.outputs) > 1
        ]
    return tuple(notes)
