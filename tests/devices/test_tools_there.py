"""The user's own benchmark programs as runners: sent there, run there, their logs as evidence.

The programs are scripts that print and write what those programs do, with figures of our own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from devices.adb_phone import Attached
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier
from models.small_tflite import save_tflite
from processes import edgebench

from edgebench import api
from edgebench.benchmark.evidence_files import load_samples
from edgebench.errors import ConfigError
from edgebench.reports.verdict import Decision

MODEL_LOG = """Num threads: [1]
Initialized session in 12.5ms.
Running benchmark for at least 50 iterations and at least 0 seconds.
count=60 first=5200 curr=5050 min=4900 max=6100 avg=5061.5 std=150

Inference timings in us: Init: 12500, First inference: 7000, Warmup (avg): 5400, Inference (avg): 5061.5
Memory footprint delta from the start of the tool (MB): init=8.9 overall=18.7
"""
PERF_TEST = """
for last; do :; done
echo "Session creation time cost: 0.0125 s"
i=0; while [ $i -lt 40 ]; do echo "m,0.00$((1000 + i)),88080384,97,$i" >>"$last"; i=$((i + 1)); done
"""


def program(path: Path, body: str) -> Path:
    """Write a program for a device's shell; return its path."""
    path.write_text(f"#!/bin/sh\n{body}")
    return path


@pytest.fixture(params=["ssh", "adb"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a machine's name for --device, over each link."""
    (tmp_path / "there").mkdir()
    if request.param == "ssh":
        server: SshServer = request.getfixturevalue("over_ssh")
        return f"{server.uri}?cache={tmp_path}/there"
    phone: Attached = request.getfixturevalue("phone")
    return f"adb://{phone.serial}?cache={tmp_path}/there"


def test_benchmark_model_measures(there: str, tmp_path: Path) -> None:
    """benchmark_model prints a summary per session; the evidence has it, the device's facts, and the log."""
    model = save_tflite(tmp_path / "a model.tflite", signature=True)
    tool = program(tmp_path / "benchmark_model", f"echo \"$@\"\ncat <<'END'\n{MODEL_LOG}END\n")
    run = api.benchmark(
        [model], device=there, runner=f"benchmark_model={tool}", sessions=2, calls=60, out=tmp_path / "run"
    )
    evidence = api.read_evidence(run)
    (measured,) = evidence.measurements
    assert measured.failure is None
    assert measured.device.uri == there.partition("?")[0]
    assert [session.summary.calls for session in measured.sessions if session.summary] == [60, 60]
    assert measured.sessions[0].summary.mean_ns == 5061500.0
    assert "benchmark_model" in measured.sessions[0].origin
    asked = (run / "logs" / "a model.tflite.s0.log").read_text().splitlines()[0]
    assert "--num_threads=1 --num_runs=60" in asked
    assert any("SHA-256" in note and "benchmark_model" in note for note in evidence.notes)
    kept = {path.parent.name for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert kept <= {"files", "edgebench"}


def test_perf_test_gives_single_timings(there: str, tmp_path: Path) -> None:
    """onnxruntime_perf_test writes a row for each call: they come back as samples; other formats fail."""
    models = [save_classifier(tmp_path / "m.onnx"), save_tflite(tmp_path / "m.tflite", signature=True)]
    tool = program(tmp_path / "perf", PERF_TEST)
    settings = {"runner": f"onnxruntime_perf_test={tool}", "sessions": 1, "calls": 40}
    run = api.benchmark(models, device=there, **settings, out=tmp_path / "run")
    first, second = api.read_evidence(run).measurements
    assert first.failure is None
    samples = load_samples(run, first)
    assert samples.latency_ns.size + samples.warmup_ns.size == 40
    assert samples.latency_ns.min() >= 1_000_000
    assert second.failure == "onnxruntime_perf_test does not run tflite files"


def test_gates_find_the_device_by_its_names_and_tags(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate for a tag of the inventory is judged on what a tool measured, and fails there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.yaml").write_text(f'devices: {{pi: {{uri: "{there}", tags: [lab]}}}}')
    tool = program(tmp_path / "perf", PERF_TEST)
    (tmp_path / "g.yaml").write_text("- size <= 10MB\n- p50 <= 1us at tag:lab\n")
    settings = {"runner": f"onnxruntime_perf_test={tool}", "calls": 40, "gates": tmp_path / "g.yaml"}
    run = api.benchmark([save_classifier(tmp_path / "m.onnx")], device="pi", **settings, out=tmp_path / "run")
    device = api.read_evidence(run).measurements[0].device
    assert (device.aliases, device.tags) == (("pi",), ("lab",))
    assert api.report(run).decision is Decision.NO_GO


@pytest.mark.parametrize("there", ["adb"], indirect=True)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'failed to load model'; exit 3\n", "ended with status 3: failed to load model"),
        ("echo nothing of use\n", "m.tflite.s0.log"),
        ("kill -9 $$\n", "ended with status 137"),
    ],
)
def test_a_tool_that_fails_is_the_artifacts_failure(there: str, tmp_path: Path, body: str, said: str) -> None:
    """A tool that ends with an error, is killed, or tells nothing, is a failure in its own words."""
    model, tool = save_tflite(tmp_path / "m.tflite"), program(tmp_path / "tool", body)
    runner = f"benchmark_model={tool}"
    run = api.benchmark([model], device=there, runner=runner, sessions=1, out=tmp_path / "run")
    (measured,) = api.read_evidence(run).measurements
    assert measured.failure is not None
    assert said in measured.failure


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runner", "trtexec=/bin/true"], "no such tool is known"),
        (["--runner", "benchmark_model=/absent"], "/absent is no file"),
        (["--runner", "rust"], "'rust' is no runner"),
        (["--runner", "benchmark_model=/bin/true", "--cores", "0"], "--cores: not with a tool as runner"),
        (["--runner", "benchmark_model=/bin/true", "--until-decided"], "not with a tool as runner"),
        (["--runner", "benchmark_model=/bin/true", "--load", "warm"], "beyond single calls: not with a tool"),
    ],
)
def test_what_a_tool_cannot_do_is_refused(tmp_path: Path, options: list[str], message: str) -> None:
    """An unknown runner, an absent program and settings that no tool has end with exit code 2."""
    model = save_tflite(tmp_path / "m.tflite")
    done = edgebench("benchmark", str(model), *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_tool_measures_on_one_device(tmp_path: Path) -> None:
    """Several devices at once are refused with what to do."""
    model = save_tflite(tmp_path / "m.tflite")
    runner = "benchmark_model=/bin/true"
    with pytest.raises(ConfigError, match="a tool as runner measures on one device"):
        api.benchmark([model], device=["local:cpu", "ssh://x"], runner=runner, out=tmp_path / "run")
