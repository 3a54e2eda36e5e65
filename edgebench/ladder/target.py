"""What an artifact answers on the device, through the agent that benchmarks it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Artifact, Format
from edgebench.benchmark.agent_run import RUNTIMES, AgentHost, open_host
from edgebench.benchmark.inputs import LARGEST_BATCH, Grouping, calls
from edgebench.devices.registry import open_device
from edgebench.exporters.real_values import real_values, stored_values
from edgebench.exporters.samples import check_fit
from edgebench.progress import silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

_TIMEOUT_S = 3600.0


def target_answers(
    artifact: Artifact, path: Path, samples: Sequence[Array], *, device: str, folder: Path
) -> tuple[str, list[NDArray[np.float32]]]:
    """Return the runtime in words and the real-valued answers, float32[N, ...] for each output.

    samples: [N, ...] for each input, real values. folder: for what is thrown away. Raises DataError
    where they do not fit, MeasurementError where the artifact fails, DeviceError where the device does.
    """
    check_fit(samples, artifact.inputs)
    fixed = max([spec.shape[0] for spec in artifact.inputs if spec.shape], default=1)
    group = Grouping(fixed if fixed > 0 else LARGEST_BATCH if artifact.format is Format.ONNX else 1)
    stored = [stored_values(array, spec) for array, spec in zip(samples, artifact.inputs, strict=True)]
    opened = open_device(device)
    with opened.lease(silent):
        workspace = opened.workspace(folder)
        try:
            host = open_host(opened, folder)
            job = _job(artifact, path, calls(stored, group), host)
            result = host.run(job, "accuracy", timeout_s=_TIMEOUT_S)
        finally:
            opened.clear(workspace)
            shutil.rmtree(folder / ".work", ignore_errors=True)
    meta, count = result.meta, len(samples[0])
    words = f"{meta['runtime_version']}, {meta['provider']}"
    given = [result.arrays[f"output_{index}"] for index in range(len(artifact.outputs))]
    flat = [output.reshape(-1, *output.shape[2:])[:count] for output in given]
    return f"{RUNTIMES[artifact.format]} {words} on {device}", [
        real_values(output, spec) for output, spec in zip(flat, artifact.outputs, strict=True)
    ]


def _job(artifact: Artifact, path: Path, columns: Sequence[Array], host: AgentHost) -> dict[str, Any]:
    return {
        "mode": "accuracy",
        "runtime": RUNTIMES[artifact.format],
        "model": host.send(path, path.name),
        "inputs": [host.send_array(array, f"input_{index}.npy") for index, array in enumerate(columns)],
        "input_names": [spec.name for spec in artifact.inputs],
        "threads": 1,
        "affinity": None,
    }
