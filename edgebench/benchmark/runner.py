"""From artifacts to evidence: fresh processes, interleaved sessions, everything kept raw."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgebench import __version__
from edgebench.artifact import Artifact
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import AgentHost, open_host
from edgebench.benchmark.clocks import clock_notes
from edgebench.benchmark.evidence import AccuracyRecord, DeviceFacts, Evidence, Measurement, Session
from edgebench.benchmark.measuring import Measurer
from edgebench.benchmark.noise import load_noise
from edgebench.benchmark.noise_record import NoiseFloor
from edgebench.benchmark.placement import check_cores, chosen_cores, placement_note
from edgebench.benchmark.request import BenchmarkRequest, check
from edgebench.benchmark.stopping import Rounds, Until
from edgebench.benchmark.turns import in_one_line, take_session
from edgebench.benchmark.validity import assess
from edgebench.benchmark.watch import Watch, parse_cool_down
from edgebench.benchmark.workloads.records import Workloads
from edgebench.benchmark.workloads.taking import measure_workloads
from edgebench.devices.inventory import known_as, user_folder
from edgebench.devices.prepare import made_ready
from edgebench.devices.quarantine import guarded
from edgebench.devices.registry import open_device
from edgebench.devices.shell import new_nonce
from edgebench.errors import DeviceError, MeasurementError
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.devices.device import Device

Done = TypeVar("Done")


def benchmark(
    request: BenchmarkRequest,
    *,
    device: Device | None = None,
    until: Until | None = None,
    progress: Progress = silent,
) -> Evidence:
    """Measure the artifacts, write the evidence into `request.out`, and return it.

    Sessions and answers found there from an earlier, killed run of the same request are kept. An
    artifact that cannot be measured becomes a `failure` and the others go on. device: in place of the
    one that `request.device` names. until: when to take no further session, in place of `request.sessions`;
    what was measured and looked at before is gone on with. Raises InputError for data or settings that do
    not fit, DeviceError where the device is gone.
    """
    check(request)
    rounds = None if until is None else Rounds(until, request, progress)
    check_cores(request.affinity)
    cool_down = parse_cool_down(request.cool_down) if request.cool_down else None
    device = open_device(request.device) if device is None else device
    aliases, tags = known_as(device.uri, request.device)
    with guarded(device.uri, request.device), _host(device, request, progress) as (host, notes):
        cores = chosen_cores(device, request.affinity, request.threads)
        watch = Watch(device, cool_down, progress)
        measurer = Measurer(request, host, device.facts(), cores, progress, watch)
        if rounds is not None:
            rounds.begin(measurer.machine_hash())
        known = replace(measurer.facts, aliases=aliases, tags=tags)
        noise = load_noise(user_folder(), known.extra.get("fingerprint"))
        noted = (*notes, *placement_note(request.affinity, cores))
        evidence = _Run(request, measurer, known, noise, noted, rounds).evidence()
    files.write_evidence(request.out, evidence)
    return evidence


@contextlib.contextmanager
def _host(
    device: Device, request: BenchmarkRequest, progress: Progress
) -> Iterator[tuple[AgentHost, tuple[str, ...]]]:
    """Yield the device with the agent on it, for us alone, and what was prepared there, in words.

    Neither side keeps anything of the work.
    """
    with device.lease(progress, wait_s=request.wait_s):
        workspace = device.workspace(request.out)
        try:
            prepared = request.prepare or request.power_mode is not None
            host = open_host(device, request.out, request.runner, own=new_nonce() if prepared else "")
            with made_ready(
                device, progress, prepare=request.prepare, power_mode=request.power_mode
            ) as notes:
                yield host, notes
        except DeviceError:
            raise  # its job may go on there, and the next run of this folder collects it
        except BaseException:
            device.clear(workspace)
            raise
        else:
            device.clear(workspace)
        finally:
            shutil.rmtree(request.out / ".work", ignore_errors=True)


@dataclass(slots=True)
class _Findings:
    """What is known of one artifact so far."""

    artifact: Artifact
    model: Path
    sessions: list[Session] = field(default_factory=list)
    accuracy: AccuracyRecord | None = None
    failure: str | None = None
    workloads: Workloads = field(default_factory=Workloads)


@dataclass(frozen=True, slots=True)
class _Run:
    """One measurement. facts: the device's, by all its names; the measurer's are those that sessions hang on.

    noise: the device's noise floor, None where it was never measured.
    """

    request: BenchmarkRequest
    measurer: Measurer
    facts: DeviceFacts
    noise: NoiseFloor | None
    notes: tuple[str, ...]
    rounds: Rounds | None = None

    def evidence(self) -> Evidence:
        """Ask every artifact for its answers, then time them all in turn."""
        findings = [_Findings(artifact, path) for artifact, path in self.request.artifacts]
        if self.request.data is not None and self.request.data.is_labelled:
            for index, finding in enumerate(findings):
                ask = partial(self.measurer.accuracy, count=(index, len(findings)))
                finding.accuracy = _attempt(finding, ask)
        self._take_sessions(findings)
        measured = [(finding.artifact, finding.model) for finding in findings if finding.failure is None]
        workloads = measure_workloads(self.measurer, measured, self.request.workloads)
        for finding in findings:
            finding.workloads = workloads.get(finding.artifact.id, Workloads())
        return self._evidence(findings)

    def _take_sessions(self, findings: Sequence[_Findings]) -> None:
        """Take session after session, each of all artifacts in turn, without those that have failed."""
        for index in self._indices(findings):
            self._take_session(findings, index, (index, self._known_rounds()))

    def _take_session(self, findings: Sequence[_Findings], index: int, count: tuple[int, int]) -> None:
        playing = {finding.artifact.id: finding for finding in findings if finding.failure is None}
        if not playing:
            return
        subjects = [(finding.artifact, finding.model) for finding in playing.values()]
        taken = take_session(self.measurer, subjects, index=index, count=count)
        for name, finding in playing.items():
            finding.failure = taken.failures.get(name)
            finding.sessions += [taken.sessions[name]] if name in taken.sessions else []

    def _indices(self, findings: Sequence[_Findings]) -> Iterable[int]:
        """Return the index of each round: so many as were asked for, or until it is decided."""
        if self.rounds is None:
            return range(self.request.sessions)
        return self.rounds.indices(lambda: self._evidence(findings))

    def _known_rounds(self) -> int:
        """Return how many rounds there will be, as far as it is known: to the next look."""
        return self.request.sessions if self.rounds is None else self.rounds.looks.due

    def _evidence(self, findings: Sequence[_Findings]) -> Evidence:
        begun = [[session.started_utc for session in finding.sessions] for finding in findings]
        return Evidence(
            name=self.request.name,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            tool_version=__version__,
            measurements=tuple(self._measurement(finding) for finding in findings),
            baseline=self.request.baseline,
            skipped=self.request.skipped,
            seed=self.request.seed,
            environment=dict(self.measurer.host.packages),
            notes=(*self.request.notes, *self.notes, *_notes(self.request), *clock_notes(begun)),
            criteria=self.request.criteria,
            looks=None if self.rounds is None else self.rounds.looks,
        )

    def _measurement(self, finding: _Findings) -> Measurement:
        if finding.failure is not None:
            return Measurement(finding.artifact, self.facts, failure=finding.failure, noise=self.noise)
        measured = Measurement(
            finding.artifact,
            self.facts,
            sessions=tuple(finding.sessions),
            accuracy=finding.accuracy,
            workloads=finding.workloads,
            noise=self.noise,
        )
        samples = files.load_samples(self.request.out, measured)
        medians = [
            float(np.median(samples.latency_ns[samples.session == session.index]))
            for session in finding.sessions
        ]
        cool_down = self.measurer.watch.cool_down
        found = assess(finding.sessions, medians, cool_down.celsius if cool_down else None)
        return replace(
            measured,
            validity=found.validity,
            validity_reasons=found.reasons,
            disturbances=found.disturbances,
        )


def _attempt(finding: _Findings, step: Callable[[Artifact, Path], Done]) -> Done | None:
    """Return what `step` gives; where it cannot, keep why, and None."""
    if finding.failure is not None:
        return None
    try:
        return step(finding.artifact, finding.model)
    except MeasurementError as err:
        finding.failure = in_one_line(err)
        return None


def _notes(request: BenchmarkRequest) -> tuple[str, ...]:
    notes = []
    if request.data is None:
        notes.append(f"no data was given: latency was measured on random inputs, seed {request.seed}")
    elif not request.data.is_labelled:
        notes.append(f"{request.data.spec} has no labels: accuracy was not measured")
    else:
        notes += [
            f"{artifact.id} has {len(artifact.outputs)} outputs: {artifact.outputs[0].name} was taken "
            "as the score per class"
            for artifact, _ in request.artifacts
            if len(artifact.outputs) > 1
        ]
    return tuple(notes)
