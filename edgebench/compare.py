"""The Python calls behind `edgebench compare` and `edgebench devices noise`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import InputError
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import Evidence
    from edgebench.benchmark.noise_record import NoiseFloor
    from edgebench.reports.compare import Compared, Side

COMPARISONS = 20
"""A/A comparisons of a noise floor: of twenty the second largest stands for 95 %."""


def compare(baseline: str, candidate: str, *, despite: Sequence[str] = ()) -> Compared:
    """Return what may be said of the candidate's times and answers against the baseline's.

    Each is `RUN` or `RUN:ARTIFACT`; `RUN` alone is a run of one artifact, or its baseline for `baseline`. A
    run of several devices is named by one device's folder in it.
    despite: fields of what was timed, or of the device, in which they may differ. Raises InputError where
    they are unlike, naming the fields, and for names that do not fit; MeasurementError where one of the
    two cannot be used.
    """
    from edgebench.benchmark.noise import load_noise
    from edgebench.devices.inventory import user_folder
    from edgebench.reports.compare import compare as held_against

    sides = _side(baseline, is_baseline=True), _side(candidate, is_baseline=False)
    device = sides[1].measurement.device
    noise = sides[1].measurement.noise or load_noise(user_folder(), device.extra.get("fingerprint"))
    return held_against(*sides, noise=noise, despite=despite)


def compare_table(found: Compared) -> str:
    """Return a comparison as text for a terminal."""
    from edgebench.reports.compare_table import compare_table as table

    return table(found)


def device_noise(
    uri: str,
    model: Path,
    *,
    comparisons: int = COMPARISONS,
    sessions: int = 5,
    calls: int = 200,
    threads: int = 1,
    affinity: str | None = None,
    out: Path | None = None,
    progress: Progress = silent,
) -> NoiseFloor:
    """Measure a model against itself on a device, keep the noise floor beside the inventory, return it.

    comparisons: so many, each of `sessions` sessions of `calls` calls. out: the run's folder; None for a new
    one under runs/noise. Raises MeasurementError where the measurement is INVALID, DeviceError where the
    device fails.
    """
    from edgebench.benchmark.evidence_files import check_unmeasured
    from edgebench.benchmark.noise import noise_of, save_noise
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.benchmark.runner import benchmark
    from edgebench.devices.inventory import user_folder
    from edgebench.exporters.inspect import open_artifact
    from edgebench.pipeline_run import new_run_folder
    from edgebench.storage import folder_lock, sweep_parts

    artifact, path = open_artifact(model, None), model.resolve()
    again = replace(artifact, path=f"{artifact.path} again")
    folder = out or new_run_folder(Path("runs") / "noise")
    request = BenchmarkRequest(
        artifacts=((artifact, path), (again, path)),
        device=uri,
        out=folder,
        name=f"noise of {uri}",
        baseline=artifact.id,
        sessions=comparisons * sessions,
        calls=calls,
        threads=threads,
        affinity=affinity,
    )
    with folder_lock(folder):
        check_unmeasured(folder)
        sweep_parts(folder)
        evidence = benchmark(request, progress=progress)
    floor = noise_of(folder, evidence, comparisons)
    save_noise(user_folder(), floor)
    return floor


def _side(name: str, *, is_baseline: bool) -> Side:
    """Return the measurement that `RUN` or `RUN:ARTIFACT` names. Raises InputError."""
    from edgebench.benchmark.evidence_files import check_raw, load_answers, load_samples, read_evidence
    from edgebench.reports.compare import Side

    run, artifact = _split(name)
    evidence = read_evidence(run)
    check_raw(run)
    _check_one_device(run, artifact, evidence)
    measured = {measurement.artifact.id: measurement for measurement in evidence.measurements}
    chosen = artifact or (evidence.baseline if is_baseline and len(measured) > 1 else None)
    if chosen is None and len(measured) == 1:
        chosen = next(iter(measured))
    if chosen not in measured:
        what = f"has no artifact {artifact!r}" if artifact else f"has {len(measured)} artifacts"
        hint = f"name one, as in {run}:{next(iter(measured))}; it has {', '.join(measured)}"
        raise InputError(f"{run} {what}", hint=hint)
    measurement = measured[chosen]
    samples, answers = load_samples(run, measurement), load_answers(run, measurement)
    return Side(f"{run}:{chosen}", measurement, samples, answers)


def _check_one_device(run: Path, artifact: str | None, evidence: Evidence) -> None:
    """Raise InputError, naming the folder of each, where a run was measured on several devices."""
    devices = dict.fromkeys(measurement.device.uri for measurement in evidence.measurements)
    if len(devices) <= 1:
        return
    ending = f":{artifact}" if artifact else ""
    folders = [f"{path.parent}{ending}" for path in sorted(run.glob("devices/*/evidence.json"))]
    raise InputError(
        f"{run} was measured on {len(devices)} devices: {', '.join(devices)}",
        hint=f"name the folder of one: {', '.join(folders)}" if folders else None,
    )


def _split(name: str) -> tuple[Path, str | None]:
    """Return the folder and the artifact of `RUN:ARTIFACT`; a folder whose own name has a colon is one."""
    run, colon, artifact = name.rpartition(":")
    if not colon or Path(name).is_dir():
        return Path(name), None
    return Path(run), artifact
