"""ONNX to fp32 TFLite through onnx2tf, which lives in a Python environment of its own.

Why: docs/decisions/0003-onnx2tf-environment.md.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import TensorSpec
from edgebench.errors import ExportError, MissingExtraError, ModelError
from edgebench.exporters.samples import full_shapes, read_samples, write_reference
from edgebench.exporters.tflite_names import arrange, identifier, unique
from edgebench.progress import Progress, silent
from edgebench.storage import cache_folder, folder_lock, sha256_path, storage_errors, write_json

if TYPE_CHECKING:
    from edgebench.exporters.converters import ConversionJob, ConversionResult
    from edgebench.exporters.samples import Array

REQUIREMENTS = Path(__file__).with_name("onnx2tf_requirements.txt")
PYTHON = (3, 11)
"""The release that all of the requirements have wheels for."""
_SCRIPT = Path(__file__).with_name("onnx2tf_conversion.py")
_NAME = "onnx2tf"
_MARKER = "edgebench.json"
_REMEDY = "edgebench doctor --fix onnx2tf"
_LOG_LINES = 8
_LOG_CHARACTERS = 800
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"\w*(Error|Exception): ")


def environment_python() -> Path | None:
    """Return the interpreter of the onnx2tf environment, or None where it is absent or of old pins."""
    folder = _environments() / _NAME
    python = folder / "bin" / "python"
    try:
        marker = json.loads((folder / _MARKER).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    current = marker.get("requirements_sha256") == sha256_path(REQUIREMENTS)
    return python if current and python.exists() else None


def create_environment(progress: Progress = silent) -> Path:
    """Create the onnx2tf environment and return its folder; one that is there already is kept.

    It is built beside its place and put there by one rename, so a half-made one is never used.
    Needs a package registry that pip can reach. Raises ExportError where pip refuses, and
    StorageError where the cache cannot be written or another process is creating it.
    """
    target = _environments() / _NAME
    if environment_python():
        progress("the onnx2tf environment is there already")
        return target
    with folder_lock(_environments()), storage_errors(target):
        _remove_leftovers(target)
        fresh = target.with_name(f"{_NAME}-{secrets.token_hex(4)}")
        _fill(fresh, progress)
        write_json(fresh / _MARKER, {"requirements_sha256": sha256_path(REQUIREMENTS)})
        link = fresh.with_suffix(".link")
        link.symlink_to(fresh.name)
        link.replace(target)
        _remove_leftovers(target)
    return target


def to_tflite(job: ConversionJob) -> ConversionResult:
    """Write the fp32 TFLite form of an ONNX file, batch 1, with the ONNX's axes, names and order.

    Raises MissingExtraError where the environment is absent, ModelError where the file cannot be
    read, ExportError where onnx2tf cannot convert it: then it names the operator and the node.
    """
    from edgebench.exporters.converters import ConversionResult

    python = environment_python()
    if python is None:
        raise MissingExtraError(
            "ONNX to TFLite needs onnx2tf's own environment, which is absent", hint=_REMEDY
        )
    path = Path(job.source.path or job.source.model)
    session, inputs = _open(path)
    samples = read_samples(job.samples)
    shapes = full_shapes(str(path), inputs, job.source.input_shapes, samples)
    labels_in = unique(identifier(spec.name) for spec in inputs)
    labels_out = unique(identifier(entry.name) for entry in session.get_outputs())
    task = {
        "model": str(path.resolve()),
        "shapes": {spec.name: shape for spec, shape in zip(inputs, shapes, strict=True)},
        "inputs": labels_in,
        "outputs": labels_out,
    }
    with tempfile.TemporaryDirectory(prefix="edgebench-onnx2tf-") as folder:
        task = {
            "model": str(path.resolve()),
            "shapes": dict(zip([i.name for i in inputs], shapes, strict=True)),
        }
        content, versions = _convert(python, Path(folder), task)
    names = [output.name for output in session.get_outputs()]
    arranged = arrange(content, _labels("in", [i.name for i in inputs]), _labels("out", names))
    with storage_errors(job.out):
        job.out.write_bytes(arranged)
    return ConversionResult(
        steps=(f"onnx2tf {versions['onnx2tf']}: ONNX to TFLite, fp32, batch 1",),
        reference=write_reference(job.out, samples, inputs, lambda x: _answers(session, inputs, x)),
        versions=versions,
        notes=(),
    )


def _open(path: Path) -> tuple[Any, tuple[TensorSpec, ...]]:
    """Return a session of the ONNX file and its real inputs. Raises ModelError."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {str(err).splitlines()[0]}") from err
    return session, tuple(_spec(entry) for entry in session.get_inputs())


def _spec(entry: Any) -> TensorSpec:
    dtype = entry.type.removeprefix("tensor(").removesuffix(")")
    named = {"float": "float32", "double": "float64"}.get(dtype, dtype)
    return TensorSpec(
        entry.name, tuple(n if isinstance(n, int) and n > 0 else -1 for n in entry.shape), named
    )


def _answers(session: Any, inputs: Sequence[TensorSpec], values: list[Array]) -> list[Array]:
    answers: list[Array] = session.run(None, {i.name: x for i, x in zip(inputs, values, strict=True)})
    return answers


def _labels(kind: str, names: Sequence[str]) -> dict[str, str]:
    """Return in_0, in_1, … (or out_0, …) → the ONNX's names as a signature may hold them."""
    return {f"{kind}_{i}": name for i, name in enumerate(unique(identifier(name) for name in names))}


def _convert(python: Path, folder: Path, task: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Run the conversion in the environment; return the TFLite file and the versions it was made with."""
    out, result, log = folder / "out.tflite", folder / "result.json", folder / "log.txt"
    (folder / "job.json").write_text(json.dumps({**task, "out": str(out), "result": str(result)}))
    paths = f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # onnx2tf calls onnxsim
    environment = {**os.environ, "PATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("wb") as stream:
        done = subprocess.run(
            [str(python), "-I", str(_SCRIPT), str(folder / "job.json")],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    answer = json.loads(result.read_text()) if result.exists() else {}
    if "error" in answer:
        raise ExportError(f"{task['model']}: {answer['error']}")
    if done.returncode or not out.exists():
        raise ExportError(f"{task['model']}: onnx2tf failed ({done.returncode}): {_reason(log)}")
    return out.read_bytes(), answer["versions"]


def _reason(log: Path) -> str:
    """Return the node at which onnx2tf stopped, where it says so, and its last lines."""
    lines = [_COLOURS.sub("", line).strip() for line in log.read_text(errors="replace").splitlines()]
    node = next((line.split("onnx_op_name:")[1].strip() for line in lines if "onnx_op_name:" in line), None)
    last = next((line for line in reversed(lines) if _EXCEPTION.match(line)), None)
    tail = last or "\n".join(line for line in lines if line)[-_LOG_CHARACTERS:]
    return f"at the node {node}: {tail}" if node else tail


def _environments() -> Path:
    return cache_folder() / "envs"


def _interpreter() -> str:
    """Return a Python of the release that the pins need: this one, else one on PATH."""
    if sys.version_info[:2] == PYTHON:
        return sys.executable
    name = f"python{PYTHON[0]}.{PYTHON[1]}"
    found = shutil.which(name)
    if found is None:
        raise ExportError(f"the onnx2tf environment needs {name}", hint=f"put {name} on PATH")
    return found


def _fill(folder: Path, progress: Progress) -> None:
    """Make `folder` a virtual environment that holds the requirements and can import onnx2tf."""
    python = str(folder / "bin" / "python")
    try:
        progress("creating the onnx2tf environment")
        _run([_interpreter(), "-I", "-m", "venv", str(folder)])
        total = sum("==" in line for line in REQUIREMENTS.read_text().splitlines())
        install = [python, "-I", "-m", "pip", "install", "--no-input", "--no-deps", "--only-binary=:all:"]
        seen = 0
        for line in _lines([*install, "--requirement", str(REQUIREMENTS)]):
            if line.startswith(("Collecting ", "Processing ")):
                seen += 1
                progress(f"fetching {Path(line.split()[1]).name}", done=seen, total=total)
            elif line.startswith("Installing "):
                progress("installing", done=total, total=total)
        progress("trying it")
        _run([python, "-I", "-c", "import onnx2tf, onnxsim, onnx_graphsurgeon"])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(argv: list[str]) -> None:
    for _ in _lines(argv):
        pass


def _lines(argv: list[str]) -> Iterator[str]:
    """Yield what the command prints, line by line. Raises ExportError with its last lines if it fails."""
    last: deque[str] = deque(maxlen=_LOG_LINES)
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        try:
            for line in process.stdout or ():
                last.append(line.rstrip())
                yield line.rstrip()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise ExportError(
            "the onnx2tf environment could not be created:\n" + "\n".join(last),
            hint="pip must reach a package registry, see `pip config list`",
        )


def _remove_leftovers(target: Path) -> None:
    """Remove environments that were never finished, and those that a newer one has replaced."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    for path in target.parent.glob(f"{target.name}-*"):
        if path.is_symlink():
            path.unlink()
        elif path != target.resolve():
            shutil.rmtree(path)
