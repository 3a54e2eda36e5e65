"""What is installed, what each extra would add, and what hardware is here."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import ConfigError
from edgebench.progress import Progress, silent

EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": (
        "PyTorch models to ONNX and TFLite; distil, prune; the demo",
        ("torch", "litert-torch", "ai-edge-quantizer", "onnxscript", "safetensors", "scikit-learn"),
    ),
    "tensorflow": (
        "Keras and SavedModel to TFLite and ONNX",
        ("tensorflow|tensorflow-cpu", "tf-keras", "tf2onnx", "ai-edge-quantizer", "h5py"),
    ),
    "tensorrt": ("engines for NVIDIA GPUs", ("tensorrt",)),
}
RUNTIMES = {"onnxruntime": "runs ONNX artifacts", "ai-edge-litert|tflite-runtime": "runs TFLite artifacts"}
FIXES = ("onnx2tf",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is here or missing. remedy: the command that adds it, or None."""

    name: str
    present: bool
    detail: str
    remedy: str | None = None


def examine() -> tuple[Finding, ...]:
    """Return what is installed, what each extra adds and what hardware is here; imports nothing heavy."""
    return (
        Finding("python", present=True, detail=f"{sys.version.split()[0]} at {sys.prefix}"),
        *(_runtime(names, purpose) for names, purpose in RUNTIMES.items()),
        *(_extra(name) for name in EXTRAS),
        _onnx2tf(),
        *_hardware(),
        _tool("adb", "Android phones: --device adb://SERIAL"),
        _tool("ssh", "Jetsons, Pis and other Linux: --device ssh://user@host"),
    )


def fix(name: str, *, progress: Progress = silent) -> Path:
    """Create what `name` stands for and return where it is. Raises ConfigError for another name."""
    if name not in FIXES:
        raise ConfigError(f"doctor cannot fix {name!r}", hint=f"it can fix: {', '.join(FIXES)}")
    from edgebench.exporters.onnx2tf import create_environment

    return create_environment(progress=progress)


def version_of(names: str) -> str | None:
    """Return `package version` of the first installed package of `a|b`, or None."""
    for name in names.split("|"):
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _runtime(names: str, purpose: str) -> Finding:
    version, preferred = version_of(names), names.split("|", maxsplit=1)[0]
    remedy = None if version else f"pip install {preferred}"
    detail = f"{version or 'not installed'}: {purpose}"
    return Finding(preferred, present=version is not None, detail=detail, remedy=remedy)


def _extra(name: str) -> Finding:
    purpose, packages = EXTRAS[name]
    missing = [package for package in packages if version_of(package) is None]
    versions = ", ".join(filter(None, map(version_of, packages)))
    if missing:
        detail = f"{purpose}; not installed: {', '.join(missing)}"
        return Finding(
            f"extra {name}", present=False, detail=detail, remedy=f"pip install 'edgebench[{name}]'"
        )
    return Finding(f"extra {name}", present=True, detail=f"{purpose}; {versions}")


def _onnx2tf() -> Finding:
    from edgebench.exporters.onnx2tf import environment_python

    python = environment_python()
    detail = "ONNX to TFLite, in an environment of its own"
    if python is None:
        return Finding("onnx2tf", present=False, detail=detail, remedy="edgebench doctor --fix onnx2tf")
    return Finding("onnx2tf", present=True, detail=f"{detail}; {python}")


def _hardware() -> tuple[Finding, ...]:
    from edgebench.calibration.target import local_target
    from edgebench.devices.registry import list_devices

    found = [
        Finding(
            d.uri, present=True, detail=f"{d.processor}, {d.cores} cores, {d.memory_bytes / 2**30:.1f} GiB"
        )
        for d in list_devices()
    ]
    target = local_target()
    detail = f"{target}, with weights of {target.weight_bits} bits: what --target auto stands for"
    found.append(Finding("integer arithmetic", present=True, detail=detail))
    if not Path("/dev/nvidia0").exists() and not Path("/dev/nvhost-gpu").exists():
        found.append(Finding("nvidia gpu", present=False, detail="none here: TensorRT engines are skipped"))
    return tuple(found)


def _tool(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, path is not None, f"{path or 'not on PATH'}: {purpose}")
