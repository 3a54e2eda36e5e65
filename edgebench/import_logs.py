"""The Python call behind `edgebench import`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Format, Precision, SourceRecord
from edgebench.errors import ConfigError, InputError
from edgebench.options import choices

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts, Span
    from edgebench.benchmark.importers.log import Told, ToolLog
    from edgebench.benchmark.importing import NamedLog

_RUNTIMES = {Format.ONNX: "onnxruntime", Format.TFLITE: "litert", Format.TENSORRT: "tensorrt"}
_ENGINES = (".engine", ".plan", ".trt")


def import_logs(
    logs: Sequence[Path],
    *,
    device_name: str,
    out: Path | None = None,
    artifacts: Sequence[Path] = (),
    baseline: str | None = None,
    log_format: str | None = None,
    only: str | None = None,
    span: str | None = None,
    runtime: str | None = None,
    runtime_version: str = "",
    provider: str = "",
    threads: int | None = None,
    batch: int | None = None,
) -> Path:
    """Make logs of other tools into evidence and return the run's folder, which `report` judges.

    device_name: the machine that was measured. artifacts: the model file of all logs, or one for each
    log in order; without them the models are named as the logs name them. only: a pattern of the models
    or benchmarks to take. span: which of a log's times, `call`, `copies+compute`, `compute` or
    `processor-time`. The rest is what logs may not tell. out: None for a new folder under runs/import.
    Raises InputError for a log, an artifact or an option that does not fit, StorageError where `out`
    holds a finished measurement.
    """
    from edgebench.benchmark.evidence_files import check_unmeasured
    from edgebench.benchmark.importers.log import Told
    from edgebench.benchmark.importing import import_evidence
    from edgebench.pipeline_run import new_run_folder
    from edgebench.storage import folder_lock, sweep_parts

    told = Told(_span(span), only, runtime, runtime_version, provider, threads, batch)
    found = _named(logs, artifacts, told, log_format)
    made = list({named.artifact.id: named.artifact for named in found}.values())
    folder = out or new_run_folder(Path("runs") / "import")
    with folder_lock(folder):
        check_unmeasured(folder)
        sweep_parts(folder)
        import_evidence(
            folder, found, _device(device_name), name=made[0].name, baseline=_baseline(baseline, made)
        )
    return folder


def _named(
    logs: Sequence[Path], artifacts: Sequence[Path], told: Told, log_format: str | None
) -> list[NamedLog]:
    """Return every process that the logs tell of, each with its artifact."""
    from edgebench.benchmark.importers import read_log
    from edgebench.benchmark.importing import NamedLog
    from edgebench.storage import sha256_path

    if not logs:
        raise InputError("there is nothing to import", hint="name at least one log")
    opened = _artifacts(artifacts, len(logs))
    found, seen = [], dict[str, Path]()
    for path, artifact in zip(logs, opened, strict=True):
        runtime = told.runtime or (None if artifact is None else _RUNTIMES[artifact.format])
        held = read_log(path, replace(told, runtime=runtime), form=log_format)
        sha256 = sha256_path(path)
        if (twin := seen.setdefault(sha256, path)) is not path:
            raise InputError(f"{path}: holds the same as {twin}", hint="name each log once")
        _check_one_model(held, path, artifact)
        found += [NamedLog(artifact or _unseen(log, path), log, path, sha256) for log in held]
    if not found:
        raise InputError(f"--only {told.only!r} leaves nothing of the logs")
    return found


def _artifacts(paths: Sequence[Path], logs: int) -> tuple[Artifact | None, ...]:
    """Return the artifact of each log: the one, each its own, or None for all."""
    if len(paths) not in (0, 1, logs):
        raise ConfigError(
            f"--artifact names {len(paths)} files for {logs} logs", hint="name one for all, or one for each"
        )
    opened: list[Artifact | None] = [_opened(path) for path in paths]
    return tuple(opened if len(opened) == logs else (opened or [None]) * logs)


def _opened(path: Path) -> Artifact:
    """Return the manifest of a model file; an engine without one is taken as it is."""
    from edgebench.artifact import read_manifest
    from edgebench.exporters.inspect import open_artifact
    from edgebench.storage import sha256_path, size_bytes

    if path.suffix not in _ENGINES or not path.exists() or read_manifest(path) is not None:
        return open_artifact(path)
    sha256 = sha256_path(path)
    source = SourceRecord(path.name, "engine", sha256)
    made = _bare(path.name, Format.TENSORRT, source)
    return replace(made, sha256=sha256, size_bytes=size_bytes(path))


def _unseen(log: ToolLog, path: Path) -> Artifact:
    """Return what is known of a model that only a log tells of."""
    form = next((form for form, name in _RUNTIMES.items() if name == log.timing.runtime), None)
    if form is None:
        raise ConfigError(
            f"--runtime {log.timing.runtime!r} is not known", hint=f"valid: {', '.join(_RUNTIMES.values())}"
        )
    name = (log.model or path.stem).replace("/", ".")
    return _bare(name, form, SourceRecord(name, "log", ""))


def _bare(name: str, form: Format, source: SourceRecord) -> Artifact:
    return Artifact(
        name=Path(name).stem,
        path=name,
        format=form,
        precision=Precision.UNKNOWN,
        sha256="",
        size_bytes=0,
        inputs=(),
        outputs=(),
        source=source,
    )


def _check_one_model(held: Sequence[ToolLog], path: Path, artifact: Artifact | None) -> None:
    models = dict.fromkeys(log.model for log in held)
    if artifact is not None and len(models) > 1:
        names = ", ".join(str(model) for model in models)
        raise InputError(
            f"{path}: tells of {len(models)} models: {names}",
            hint=f"choose the one that {artifact.id} is with --only",
        )


def _baseline(name: str | None, artifacts: Sequence[Artifact]) -> str | None:
    """Return the id of the artifact that others are held against: the one named, else the first fp32."""
    ids = [artifact.id for artifact in artifacts]
    if name is not None and Path(name).name not in ids:
        raise ConfigError(f"--baseline {name}: is not one of the artifacts", hint=f"one of: {', '.join(ids)}")
    if name is not None:
        return Path(name).name
    return next((artifact.id for artifact in artifacts if artifact.precision is Precision.FP32), None)


def _device(name: str) -> DeviceFacts:
    from edgebench.benchmark.evidence import NOT_TOLD, DeviceFacts

    if not name.strip():
        raise ConfigError("--device-name is empty", hint="say which machine was measured, as in orin-1")
    return DeviceFacts(f"import:{name}", name, NOT_TOLD, cores=0, memory_bytes=0, system=NOT_TOLD)


def _span(text: str | None) -> Span | None:
    from edgebench.benchmark.evidence import Span

    return None if text is None else Span(choices(text, Span, "--span")[0])
