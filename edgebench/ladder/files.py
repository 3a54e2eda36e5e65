"""The files that a ladder compares: what their manifests say, and the fp32 one, found beside or made now."""

from __future__ import annotations

from pathlib import Path

from edgebench.artifact import Artifact, Format, read_manifest
from edgebench.errors import ExportError, InputError, ModelError
from edgebench.exporters.converters import CONVERTERS, ConversionJob
from edgebench.exporters.inspect import adopt
from edgebench.exporters.worker import run_worker
from edgebench.progress import Progress
from edgebench.storage import sha256_path, to_plain


def adopted(path: Path, notes: list[str]) -> Artifact:
    """Return what a file says of itself, with what its manifest says of its preprocessing.

    notes: is told where the manifest is another file's. Raises InputError where there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint="name a .onnx or .tflite file")
    written = read_manifest(path)
    if written is not None and written.sha256 == sha256_path(path):
        return written
    if written is None:
        return adopt(path)
    notes.append(f"{path.name} differs from its manifest's SHA-256: it was changed after its export")
    return adopt(path, preprocessing=written.preprocessing)


def declares(path: Path) -> bool:
    """Whether a file has a manifest, which declares a preprocessing, be it none."""
    return read_manifest(path) is not None


def fp32_beside(path: Path, artifact: Artifact, notes: list[str]) -> Path | None:
    """Return the fp32 file of the same name, source and format in the quantized file's folder."""
    candidate = path.with_name(path.name.replace(f".{artifact.precision}.", ".fp32."))
    if candidate == path or not candidate.exists():
        return None
    written = read_manifest(candidate)
    if written is None or written.source != artifact.source:
        return None
    notes.append(f"exported fp32: {candidate.name}, which lies beside {path.name}")
    return candidate


def converted(job: ConversionJob, fmt: Format, notes: list[str], progress: Progress) -> Path | None:
    """Return the fp32 file that is made of a source now; None, and a note, where that does not work."""
    if (job.source.kind, fmt) not in CONVERTERS:
        notes.append(f"{job.source.kind} is not converted to {fmt}: no exported fp32 rung")
        return None
    progress(f"convert to {fmt}")
    try:
        run_worker(
            "edgebench.exporters.stages:convert",
            {"job": to_plain(job), "format": fmt.value},
            what=f"converting {job.source.model} to {fmt}",
        )
    except (ExportError, ModelError) as err:
        notes.append(f"no exported fp32 rung: {err.message}")
        return None
    notes.append("exported fp32: made now, since none was given and none lies beside the artifact")
    return job.out
