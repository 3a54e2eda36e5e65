"""An ARM64 machine, emulated: what the agent needs is set up there, and a benchmark says what it ran on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from devices.arm64_root import arm64_machine
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier

from edgebench import api
from edgebench.benchmark.evidence_files import load_answers
from edgebench.reports.verdict import Answer

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Yield an ARM64 Debian behind sshd, its client on PATH."""
    with arm64_machine(tmp_path_factory.mktemp("arm64")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{server.folder / 'bin'}:{os.environ['PATH']}")
        yield server


def test_its_answers_count_and_its_times_do_not(machine: SshServer, tmp_path: Path) -> None:
    """After setup a model answers there as it does here; no gate on latency passes: it is emulated."""
    wheels = api.device_setup(machine.uri)
    assert any(name.startswith("onnxruntime") and name.endswith("aarch64.whl") for name in wheels)
    rng = np.random.default_rng(0)
    data, gates = tmp_path / "data.npz", tmp_path / "gates.yaml"
    np.savez(data, x=rng.normal(size=(200, 16)).astype(np.float32), y=rng.integers(0, 4, 200))
    gates.write_text("- p50 <= 10s\n")
    model = save_classifier(tmp_path / "m.onnx")
    there, here = (
        api.benchmark([model], device=uri, data=str(data), sessions=1, calls=5, out=tmp_path / name)
        for uri, name in ((machine.uri, "there"), ("local:cpu", "here"))
    )
    measured = api.read_evidence(there).measurements[0]
    assert measured.device.emulated
    assert measured.device.extra["architecture"] == "aarch64"
    answers = [load_answers(run, api.read_evidence(run).measurements[0]) for run in (there, here)]
    assert answers[0] is not None
    assert answers[1] is not None
    np.testing.assert_array_equal(answers[0].logits.argmax(1), answers[1].logits.argmax(1))
    verdict = api.report(there, gates=gates)
    (result,) = verdict.artifacts[0].gates
    assert result.answer is Answer.INCONCLUSIVE
    assert result.reason == "the device is emulated: its times and memory prove nothing"
