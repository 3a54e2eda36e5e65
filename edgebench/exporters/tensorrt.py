"""Why there is no TensorRT engine: this version builds none, and says what stands in the way."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_GPU_NODES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0/ctrl")


def why_not() -> str:
    """Return why no engine can be made here; asks for devices first, since TensorRT crashes without."""
    if not any(Path(node).exists() for node in _GPU_NODES):
        return "no NVIDIA GPU here: an engine is built on the GPU that runs it"
    if importlib.util.find_spec("tensorrt") is None:
        return "tensorrt is not installed: pip install 'edgebench[tensorrt]'"
    return "this version builds no engines yet: give the ONNX of --target tensorrt to trtexec"
