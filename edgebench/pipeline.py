"""A pipeline file as steps: each cached by content, so that a killed run goes on where it stopped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Format, Precision, Skipped, write_manifest
from edgebench.errors import ConfigError, StorageError
from edgebench.pipeline_compress import Compression
from edgebench.pipeline_plan import (
    Plan,
    accuracy_budget,
    calibration_memory,
    calibration_table,
    data_sha256,
    identity,
    make_plan,
    metric_of,
    open_model,
)
from edgebench.pipeline_run import finish, held_run
from edgebench.progress import Progress, logged, silent
from edgebench.step_cache import cached_step
from edgebench.step_content import tool_sha256
from edgebench.storage import (
    atomic_path,
    read_json,
    sha256_path,
    to_plain,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgebench.exporters.source import Source
    from edgebench.reports.gates import Gate


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
    and the newest unfinished run of the same configuration is taken up, unless `fresh`. What does
    not fit is said before any work begins, as far as it can be known then.
    Raises EdgebenchError, whose exit code says whose fault it is.
    """
    from edgebench.exporters.export import file_stem

    plan = make_plan(path, overrides)
    runs = out / file_stem(plan.pipeline.name)
    with held_run(runs, identity(plan), fresh=fresh, progress=progress) as folder:
        progress = logged(progress, folder / "log.txt")
        compression = Compression(
            plan.pipeline, plan.base, plan.models_sha256, plan.train_sha256, fresh, progress
        )
        exported = _export(plan, compression.run(), fresh=fresh, progress=progress)
        artifacts = _place_artifacts(exported.artifacts, folder)
        _benchmark(plan, exported, artifacts, folder, progress)
        _judge(folder, plan.gates, progress)
    return folder


# --- export ------------------------------------------------------------------------------------


def _export(
    plan: Plan, compressed: tuple[Path, tuple[str, ...]] | None, *, fresh: bool, progress: Progress
) -> Exported:
    from edgebench.exporters.worker import in_parallel

    weights, steps = compressed or (None, ())
    source = open_model(plan.pipeline, plan.base, weights)
    parts = in_parallel(
        lambda fmt: _export_format(plan, source, steps, fmt, fresh=fresh, progress=progress),
        dict.fromkeys(plan.pipeline.export.formats),
    )
    return Exported(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        skipped=tuple(skip for part in parts for skip in part.skipped),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _export_format(
    plan: Plan, source: Source, steps: tuple[str, ...], fmt: Format, *, fresh: bool, progress: Progress
) -> Exported:
    from edgebench.exporters.export import ExportRequest, export

    config = plan.pipeline.export

    def make(folder: Path) -> None:
        request = ExportRequest(
            source=source,
            formats=(fmt,),
            precisions=tuple(dict.fromkeys(config.precisions)),
            out=folder,
            name=plan.pipeline.name,
            calibration=plan.calibration,
            calibration_samples=config.calibration_samples,
            calib_table=calibration_table(plan),
            calib_method=config.calibration_method,
            calib_memory_bytes=calibration_memory(plan.pipeline),
            fresh=fresh,
            parity_data=plan.evaluation or plan.calibration,
            preprocessing=plan.pipeline.data.preprocessing,
            io=config.io,
            mixed=accuracy_budget(plan.pipeline),
            target=config.target,
        )
        result = export(request, progress=progress)
        artifacts = tuple(replace(a, steps=(*steps, *a.steps)) for a in result.artifacts)
        for artifact in artifacts:
            write_manifest(artifact, folder)
        write_json(folder / "exported.json", Exported(artifacts, result.skipped, result.notes))

    key = _export_key(plan, source, steps, fmt)
    folder = cached_step(f"export to {fmt}", key, make, fresh=fresh, progress=progress)
    exported = read_json(folder / "exported.json", Exported)
    absolute = tuple(replace(a, path=str(folder / a.path)) for a in exported.artifacts)
    return replace(exported, artifacts=absolute)


def _export_key(plan: Plan, source: Source, steps: tuple[str, ...], fmt: Format) -> dict[str, object]:
    """Return all that an export depends on; the processor too, since int8 weights are made for one."""
    from edgebench.calibration.target import resolved

    return {
        "tool_sha256": tool_sha256(),
        "source": to_plain(source.record),
        "model_sha256": plan.models_sha256[plan.pipeline.model.model],
        "config": to_plain(replace(plan.pipeline.export, formats=(fmt,))),
        "name": plan.pipeline.name,
        "preprocessing": to_plain(plan.pipeline.data.preprocessing),
        "data": data_sha256(plan),
        "shapes": source.input_shapes,
        "steps": steps,
        "target": resolved(plan.pipeline.export.target),
    }


def _place_artifacts(artifacts: tuple[Artifact, ...], folder: Path) -> tuple[tuple[Artifact, Path], ...]:
    placed = []
    for artifact in artifacts:
        origin = Path(artifact.path)
        target = folder / "artifacts" / origin.name
        if not target.exists() or sha256_path(target) != artifact.sha256:
            _copy(origin, target, artifact.sha256)
        local = replace(artifact, path=origin.name)
        write_manifest(local, target.parent)
        placed.append((local, target))
    return tuple(placed)


def _copy(origin: Path, target: Path, sha256: str) -> None:
    """Copy a model file out of the cache. Raises StorageError where it is not the one that was made."""
    with atomic_path(target) as temporary:
        try:
            shutil.copyfile(origin, temporary)
            found = sha256_path(temporary)
        except FileNotFoundError:
            found = None
        if found != sha256:
            raise StorageError(
                f"{origin}: the cache's file is not the one that was made",
                hint="run again; if it stays so, run with --fresh",
            )


# --- measure and judge -------------------------------------------------------------------------


def _benchmark(
    plan: Plan,
    exported: Exported,
    artifacts: tuple[tuple[Artifact, Path], ...],
    folder: Path,
    progress: Progress,
) -> None:
    from edgebench import deciding
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.options import parse_duration
    from edgebench.workload_options import configured_workloads

    if not artifacts:
        reasons = dict.fromkeys(f"{skip.format}: {skip.reason}" for skip in exported.skipped)
        raise ConfigError(f"nothing was exported: {'; '.join(reasons)}", hint="choose other `export.formats`")
    config = plan.pipeline.benchmark
    notes = arithmetic_notes((artifact for artifact, _ in artifacts), config.names())
    request = BenchmarkRequest(
        artifacts=artifacts,
        data=plan.evaluation,
        metric=metric_of(plan.pipeline, plan.base),
        metric_base=plan.base,
        out=folder,
        name=plan.pipeline.name,
        baseline=default_baseline(tuple(artifact for artifact, _ in artifacts)),
        sessions=config.sessions,
        calls=config.calls,
        threads=config.threads,
        affinity=config.affinity,
        prepare=config.prepare,
        power_mode=config.power_mode,
        cool_down=config.cool_down,
        seed=plan.pipeline.seed,
        skipped=exported.skipped,
        notes=tuple(dict.fromkeys([*exported.notes, *_data_notes(plan), *notes])),
        wait_s=parse_duration(config.wait, "benchmark.wait") if config.wait else None,
        workloads=configured_workloads(config.workloads),
        runner=config.runner,
    )
    if config.until_decided:
        limits, names = deciding.configured_limits(config), config.names()
        deciding.measure_until_decided(request, names, plan.gates, limits, progress, again=False)
    else:
        deciding.measure(request, config.names(), plan.gates, progress)


def default_baseline(artifacts: tuple[Artifact, ...]) -> str | None:
    """Return the id of the first fp32 artifact, which the others are held against; None without one."""
    return next((artifact.id for artifact in artifacts if artifact.precision is Precision.FP32), None)


def arithmetic_notes(artifacts: Iterable[Artifact], devices: Sequence[str]) -> tuple[str, ...]:
    """Return which artifacts are made for another arithmetic than that of this machine, if it measures."""
    from edgebench.calibration.target import local_target, mismatch

    if not any(device.startswith("local:") for device in devices):
        return ()
    found = ((a.id, mismatch(a.target, local_target())) for a in artifacts if a.target is not None)
    return tuple(f"{name}: {words}" for name, words in found if words)


def _data_notes(plan: Plan) -> tuple[str, ...]:
    from edgebench.calibration.table import read_table
    from edgebench.datasets import split_overlap

    table = calibration_table(plan)
    if table and plan.evaluation and read_table(table).fingerprint == plan.evaluation.fingerprint:
        return ("the calibration table is of the evaluation data: the int8 accuracy may read too high",)
    if table or plan.calibration is None or plan.evaluation is None:
        return ()
    shared = split_overlap(plan.calibration, plan.evaluation)
    if shared == 0:
        return ()
    return (f"{shared} evaluation samples are also calibration samples: the int8 accuracy may read too high",)


def _judge(folder: Path, gates: Sequence[Gate], progress: Progress) -> None:
    from edgebench.reports.report import write_report

    progress("report")
    write_report(folder, gates)
    finish(folder)
