"""ONNX to fp32 TFLite through onnx2tf, which lives in a Python environment of its own.

Why: docs/decisions/0003-onnx2tf-environment.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import ExportError, MissingExtraError, StorageError
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.onnx_file import answer, open_session, read_onnx, session_specs
from edgebench.exporters.onnx_prepared import refuse_quantized
from edgebench.exporters.samples import full_shapes, read_samples, samples_or_random, write_reference
from edgebench.exporters.tflite_names import arrange, identifier, unique
from edgebench.exporters.tflite_readable import readable
from edgebench.progress import Progress, silent
from edgebench.storage import (
    cache_folder,
    folder_lock,
    scratch_folder,
    sha256_path,
    storage_errors,
    write_json,
)

if TYPE_CHECKING:
    import onnx

REQUIREMENTS = Path(__file__).with_name("onnx2tf_requirements.txt")
PYTHON = (3, 11)
"""The release that all of the requirements have wheels for."""
_SCRIPT = Path(__file__).with_name("onnx2tf_conversion.py")
_NAME = "onnx2tf"
_MARKER = "edgebench.json"
_REMEDY = "edgebench doctor --fix onnx2tf"
_OWN_DOMAINS = ("", "ai.onnx")
_LOG_LINES = 8
_LONGEST = 300
"""Characters of onnx2tf's own words that are repeated."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception): ")


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
    with _sole_creator(target.parent), storage_errors(target):
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
    """Write the fp32 TFLite form of an ONNX file: batch 1, the ONNX's axes and order.

    The signature carries the ONNX's names, made into identifiers. Raises ModelError where the file
    cannot be read or is quantized already, MissingExtraError where the environment is absent, ExportError
    where onnx2tf cannot convert it: then it names the operator and the node.
    """
    path = Path(job.source.path or job.source.model)
    network = read_onnx(path)
    refuse_quantized(network, f"{path}: the model")
    _refuse_foreign_domains(path, network)
    session = open_session(path, str(path))
    inputs, outputs = session_specs(session.get_inputs()), session_specs(session.get_outputs())
    shapes = full_shapes(str(path), inputs, job.source.input_shapes, read_samples(job.samples))
    takes, gives = (unique(identifier(spec.name) for spec in specs) for specs in (inputs, outputs))
    task = {
        "model": str(path.resolve()),
        "shapes": {spec.name: shape for spec, shape in zip(inputs, shapes, strict=True)},
        "inputs": takes,
        "outputs": gives,
    }
    python = environment_python()
    if python is None:
        raise MissingExtraError(
            "ONNX to TFLite needs onnx2tf's own environment, which is absent", hint=_REMEDY
        )
    content, versions = _convert(python, task, network)
    with storage_errors(job.out):
        job.out.write_bytes(readable(arrange(content, takes, gives)))
    file, samples = samples_or_random(job.samples, job.out, shapes, inputs)
    return ConversionResult(
        steps=(f"onnx2tf {versions['onnx2tf']}: ONNX to TFLite, fp32, batch 1",),
        samples=file,
        reference=write_reference(job.out, samples, inputs, lambda values: answer(session, values)),
        versions=versions,
    )


def _refuse_foreign_domains(path: Path, network: onnx.ModelProto) -> None:
    """Raise ExportError at an operator of a runtime's own: onnx2tf knows ONNX's and no others."""
    local = {(function.domain, function.name) for function in network.functions}
    for node in network.graph.node:
        if node.domain in _OWN_DOMAINS or (node.domain, node.op_type) in local:
            continue
        name = node.name or f"the one that writes {', '.join(node.output)}"
        raise ExportError(
            f"{path}: TFLite cannot express the operator {node.domain}.{node.op_type} (node {name})",
            hint="export the model with ONNX's own operators only, before any runtime optimizes it",
        )


def _convert(python: Path, task: dict[str, Any], network: onnx.ModelProto) -> tuple[bytes, dict[str, str]]:
    """Run the conversion in the environment; return the TFLite file and the versions it was made with."""
    with scratch_folder() as folder:
        out, result, log = folder / "out.tflite", folder / "result.json", folder / "log.txt"
        job = folder / "job.json"
        job.write_text(json.dumps({**task, "out": str(out), "result": str(result)}))
        returncode = _run_script(python, job, log)
        record = json.loads(result.read_text()) if result.exists() else {}
        if "error" in record:
            raise ExportError(f"{task['model']}: {record['error']}")
        if returncode or not out.exists():
            raise ExportError(f"{task['model']}: onnx2tf failed ({returncode}): {_reason(log, network)}")
        return out.read_bytes(), record["versions"]


def _run_script(python: Path, job: Path, log: Path) -> int:
    paths = f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # onnx2tf calls onnxsim
    environment = {**os.environ, "PATH": paths, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("wb") as stream:
        return subprocess.run(
            [str(python), "-I", str(_SCRIPT), str(job)],
            cwd=job.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def _reason(log: Path, network: onnx.ModelProto) -> str:
    """Return the operator and the node at which onnx2tf stopped, where it says so, and its last words."""
    lines = [_COLOURS.sub("", line).strip() for line in log.read_text(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if _EXCEPTION.match(line)), None)
    tail = (last or " | ".join(line for line in lines if line)[-_LONGEST:])[:_LONGEST]
    name = next((line.split("onnx_op_name:")[1].strip() for line in lines if "onnx_op_name:" in line), None)
    if name is None:
        return tail
    operator = next((node.op_type for node in network.graph.node if node.name == name), "")
    return f"at the operator {operator} (node {name}): {tail}" if operator else f"at the node {name}: {tail}"


@contextlib.contextmanager
def _sole_creator(folder: Path) -> Iterator[None]:
    """Hold the folder of environments; StorageError says how to go on where it cannot be held."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
        except StorageError as err:
            if isinstance(err.__cause__, BlockingIOError):
                raise StorageError(
                    f"{folder}: another edgebench is creating an environment", hint="wait for it to end"
                ) from err
            raise StorageError(err.message, hint="set EDGEBENCH_CACHE to a folder you may write to") from err
        yield


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
        with contextlib.closing(_lines([*install, "--requirement", str(REQUIREMENTS)])) as lines:
            for line in lines:
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


def _lines(argv: list[str]) -> Generator[str, None, None]:
    """Yield what the command prints, line by line; closed early, it ends the command.

    Raises ExportError with its last lines if it fails.
    """
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
            "the onnx2tf environment could not be created:" + "".join(f"\n  | {line}" for line in last),
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
            shutil.rmtree(path, ignore_errors=True)  # what a dying pip still writes goes the next time
