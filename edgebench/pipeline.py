"""A pipeline file as steps: each cached by content, so that a killed run goes on where it stopped."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench import __version__
from edgebench.artifact import Artifact, Format, Precision, Skipped, write_manifest
from edgebench.errors import ConfigError
from edgebench.pipeline_compress import Compression
from edgebench.pipeline_file import Pipeline, load_pipeline
from edgebench.progress import Progress, silent
from edgebench.step_cache import cached_step, environment
from edgebench.storage import (
    atomic_path,
    encode_json,
    folder_lock,
    read_json,
    sha256_bytes,
    sha256_path,
    storage_errors,
    to_plain,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from edgebench.datasets import Dataset
    from edgebench.exporters.source import Source

RUN_SCHEMA = 1
"""1: the first."""


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What a run folder is: which configuration it runs, and whether it came to its end."""

    name: str
    config_sha256: str
    created_utc: str
    tool_version: str
    finished: bool = False
    files: dict[str, str] | None = None
    schema: int = RUN_SCHEMA


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline with everything that it names found: paths absolute, data loaded."""

    pipeline: Pipeline
    base: Path
    calibration: Dataset | None
    evaluation: Dataset | None


@dataclass(frozen=True, slots=True)
class Exported:
    """What all the formats' exports gave."""

    artifacts: tuple[Artifact, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


def run_pipeline(
    path: Path,
    *,
    overrides: tuple[str, ...] = (),
    out: Path = Path("runs"),
    fresh: bool = False,
    progress: Progress = silent,
) -> Path:
    """Run a pipeline file to its verdict; return the run's folder.

    Steps that were done before with the same inputs, settings and versions come from the cache,
    and the newest unfinished run of the same configuration is taken up, unless `fresh`.
    Raises EdgebenchError, whose exit code says whose fault it is.
    """
    pipeline = load_pipeline(path, overrides)
    plan = _plan(pipeline, path.resolve().parent)
    gates = _gates(pipeline)
    folder = _run_folder(plan, out, fresh=fresh, progress=progress)
    with folder_lock(folder):
        compressed = Compression(pipeline, plan.base, fresh=fresh, progress=progress).run()
        exported = _export(plan, compressed, fresh=fresh, progress=progress)
        artifacts = _place_artifacts(exported.artifacts, folder)
        _benchmark(plan, exported, artifacts, folder, progress)
        _judge(folder, gates)
    return folder


def _plan(pipeline: Pipeline, base: Path) -> Plan:
    from edgebench.datasets import load_dataset

    data = pipeline.data
    calibration = (
        load_dataset(data.calibration, base=base, preprocessing=data.preprocessing)
        if data.calibration
        else None
    )
    evaluation = (
        load_dataset(data.evaluation, base=base, preprocessing=data.preprocessing)
        if data.evaluation
        else None
    )
    return Plan(pipeline=pipeline, base=base, calibration=calibration, evaluation=evaluation)


def _gates(pipeline: Pipeline) -> Any:
    from edgebench.reports.gates import DEFAULT_GATES, gates_from_config

    return gates_from_config(pipeline.gates) if pipeline.gates else DEFAULT_GATES


def _run_folder(plan: Plan, out: Path, *, fresh: bool, progress: Progress) -> Path:
    from edgebench.exporters.export import file_stem

    config = to_plain(plan.pipeline)
    digest = sha256_bytes(encode_json([__version__, config, _data_fingerprints(plan)]))
    runs = out / file_stem(plan.pipeline.name)
    if not fresh and (unfinished := _unfinished(runs, digest)):
        progress(f"taking up {unfinished}")
        return unfinished
    now = datetime.now(UTC)
    folder = runs / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    with storage_errors(folder):
        folder.mkdir(parents=True)
    write_text(folder / "config.resolved.yaml", _yaml(config))
    write_json(folder / "env.json", environment())
    write_json(
        folder / "manifest.json",
        RunManifest(plan.pipeline.name, digest, now.isoformat(timespec="seconds"), __version__),
    )
    return folder


def _unfinished(runs: Path, digest: str) -> Path | None:
    for manifest in sorted(runs.glob("*/manifest.json"), reverse=True):
        record = read_json(manifest, RunManifest)
        if record.config_sha256 == digest and not record.finished:
            return manifest.parent
    return None


def _data_fingerprints(plan: Plan) -> list[str | None]:
    return [data.fingerprint if data else None for data in (plan.calibration, plan.evaluation)]


def _yaml(config: object) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


# --- export ------------------------------------------------------------------------------------


def _source(plan: Plan, weights: Path | None) -> Source:
    from edgebench.exporters.source import open_source

    model = plan.pipeline.model
    given = plan.base / model.weights if model.weights else None
    return open_source(model.model, weights=weights or given, input_shapes=model.input_shape, base=plan.base)


def _export(
    plan: Plan, compressed: tuple[Path, tuple[str, ...]] | None, *, fresh: bool, progress: Progress
) -> Exported:
    from edgebench.exporters.worker import in_parallel

    weights, steps = compressed or (None, ())
    source = _source(plan, weights)
    formats = plan.pipeline.export.formats
    parts = in_parallel(
        lambda fmt: _export_format(plan, source, steps, fmt, fresh=fresh, progress=progress), formats
    )
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Exported(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        skipped=tuple(skip for part in parts for skip in part.skipped),
        notes=notes,
    )


def _export_format(
    plan: Plan, source: Source, steps: tuple[str, ...], fmt: Format, *, fresh: bool, progress: Progress
) -> Exported:
    from edgebench.exporters.export import ExportRequest, export

    config = plan.pipeline.export
    key = {
        "source": to_plain(source.record),
        "config": to_plain(replace(config, formats=(fmt,))),
        "name": plan.pipeline.name,
        "preprocessing": to_plain(plan.pipeline.data.preprocessing),
        "data": _data_fingerprints(plan),
        "shapes": source.input_shapes,
        "steps": steps,
    }

    def make(folder: Path) -> None:
        request = ExportRequest(
            source=source,
            formats=(fmt,),
            precisions=config.precisions,
            out=folder,
            name=plan.pipeline.name,
            calibration=plan.calibration,
            calibration_samples=config.calibration_samples,
            parity_data=plan.evaluation or plan.calibration,
            preprocessing=plan.pipeline.data.preprocessing,
            io=config.io,
        )
        result = export(request, progress=progress)
        artifacts = tuple(replace(a, steps=(*steps, *a.steps)) for a in result.artifacts)
        for artifact in artifacts:
            write_manifest(artifact, folder)
        write_json(folder / "exported.json", Exported(artifacts, result.skipped, result.notes))

    folder = cached_step(f"export to {fmt}", key, make, fresh=fresh, progress=progress)
    exported = read_json(folder / "exported.json", Exported)
    absolute = tuple(replace(a, path=str(folder / a.path)) for a in exported.artifacts)
    return replace(exported, artifacts=absolute)


def _place_artifacts(artifacts: tuple[Artifact, ...], folder: Path) -> tuple[tuple[Artifact, Path], ...]:
    placed = []
    for artifact in artifacts:
        origin = Path(artifact.path)
        target = folder / "artifacts" / origin.name
        if not target.exists() or sha256_path(target) != artifact.sha256:
            with atomic_path(target) as temporary:
                shutil.copyfile(origin, temporary)
        local = replace(artifact, path=origin.name)
        write_manifest(local, target.parent)
        placed.append((local, target))
    return tuple(placed)


# --- measure and judge -------------------------------------------------------------------------


def _benchmark(
    plan: Plan,
    exported: Exported,
    artifacts: tuple[tuple[Artifact, Path], ...],
    folder: Path,
    progress: Progress,
) -> None:
    from edgebench.benchmark.runner import BenchmarkRequest, benchmark

    if not artifacts:
        reasons = "; ".join(f"{skip.format} {skip.precision}: {skip.reason}" for skip in exported.skipped)
        raise ConfigError(f"nothing was exported: {reasons}", hint="choose other formats under `export`")
    config = plan.pipeline.benchmark
    request = BenchmarkRequest(
        artifacts=artifacts,
        device=config.device,
        data=plan.evaluation,
        out=folder,
        name=plan.pipeline.name,
        baseline=default_baseline(tuple(artifact for artifact, _ in artifacts)),
        sessions=config.sessions,
        calls=config.calls,
        threads=config.threads,
        affinity=config.affinity,
        seed=plan.pipeline.seed,
        skipped=exported.skipped,
        notes=(*exported.notes, *_data_notes(plan)),
    )
    benchmark(request, progress=progress)


def default_baseline(artifacts: tuple[Artifact, ...]) -> str | None:
    """Return the id of the first fp32 artifact, which the others are held against; None without one."""
    return next((artifact.id for artifact in artifacts if artifact.precision is Precision.FP32), None)


def _data_notes(plan: Plan) -> tuple[str, ...]:
    from edgebench.datasets import split_overlap

    if plan.calibration is None or plan.evaluation is None:
        return ()
    shared = split_overlap(plan.calibration, plan.evaluation)
    if shared == 0:
        return ()
    return (f"{shared} evaluation samples are also calibration samples: the int8 accuracy may read too high",)


def _judge(folder: Path, gates: Any) -> None:
    from edgebench.reports.report import write_report

    write_report(folder, gates)
    manifest = read_json(folder / "manifest.json", RunManifest)
    files = {
        path.relative_to(folder).as_posix(): sha256_path(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", ".lock")
    }
    write_json(folder / "manifest.json", replace(manifest, finished=True, files=files))
