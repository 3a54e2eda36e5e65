"""Benchmark programs of others as runners: the user's `benchmark_model` or `onnxruntime_perf_test`.

The program is sent to the device and run once per session and artifact; what it prints, or writes, is kept in
the run's folder under logs/ and read as `edgebench import` reads it. It times what it times, and says so in
the evidence; it answers no data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Format
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import RUNTIMES
from edgebench.benchmark.evidence import Evidence, Measurement
from edgebench.benchmark.importers import read_log
from edgebench.benchmark.importers.log import Told
from edgebench.benchmark.importing import NamedLog, import_evidence
from edgebench.benchmark.programs import deploy_executable, last_words
from edgebench.benchmark.request import BenchmarkRequest, check
from edgebench.benchmark.workloads.asked import WorkloadsAsked
from edgebench.devices.inventory import known_as
from edgebench.devices.quarantine import guarded
from edgebench.devices.registry import open_device
from edgebench.errors import ConfigError, DeviceFileError, DeviceTimeoutError, InputError, MeasurementError
from edgebench.progress import Progress, silent
from edgebench.storage import sha256_path, write_text

if TYPE_CHECKING:
    from edgebench.devices.device import Device

TOOLS = {"benchmark_model": Format.TFLITE, "onnxruntime_perf_test": Format.ONNX}
"""Each program, and what it runs."""

_SLACK_S = 300.0
_BOTH_STREAMS = 'exec "$@" 2>&1'


@dataclass(frozen=True, slots=True)
class Tool:
    """A benchmark program for the device. name: one of `TOOLS`."""

    name: str
    program: Path

    def argv(self, there: str, model: str, results: str, request: BenchmarkRequest) -> list[str]:
        """Return the command that times `request.calls` calls. results: a path for single timings."""
        threads, calls = request.threads, request.calls
        if self.name == "benchmark_model":
            warmup = [f"--warmup_runs={request.min_warmup_calls}", f"--warmup_min_secs={request.warmup_s}"]
            limits = [f"--num_runs={calls}", "--min_secs=0", f"--max_secs={request.max_session_s}"]
            return [there, f"--graph={model}", f"--num_threads={threads}", *limits, *warmup]
        options = ["-e", "cpu", "-m", "times", "-r", str(calls), "-x", str(threads), "-y", "1", "-I"]
        return [there, *options, model, results]


def parse_tool(text: str) -> Tool | None:
    """Return the tool of `benchmark_model=/path`, None for a runner of edgebench's. Raises ConfigError."""
    name, given, path = text.partition("=")
    if not given:
        return None
    if name not in TOOLS:
        raise ConfigError(f"--runner {name}=…: no such tool is known", hint=f"one of {', '.join(TOOLS)}")
    if not Path(path).is_file():
        raise ConfigError(f"--runner {text}: {path} is no file", hint=f"name the {name} built for the device")
    return Tool(name, Path(path))


def benchmark_by_tool(request: BenchmarkRequest, tool: Tool, *, progress: Progress = silent) -> Evidence:
    """Measure the artifacts by a tool on the one device of a request, write the evidence and return it.

    What the tool does not run, or ends without a log, is that artifact's failure. Raises InputError for
    settings that no tool has, DeviceError where the device is gone.
    """
    check(request)
    _check_settings(request)
    device = open_device(request.device)
    aliases, tags = known_as(device.uri, request.device)
    logs: list[NamedLog] = []
    failures: list[Measurement] = []
    with _workspace(device, request, progress) as workspace:
        facts = replace(device.facts(), aliases=aliases, tags=tags)
        there = workspace / tool.name
        deploy_executable(device, tool.program, there)
        for artifact, model in request.artifacts:
            run = _Run(request, tool, device, workspace, artifact, model)
            try:
                logs += [run.session(index, progress) for index in range(request.sessions)]
            except (MeasurementError, InputError) as err:
                failures.append(Measurement(artifact, facts, failure=err.message))
        evidence = import_evidence(request.out, logs, facts, name=request.name, baseline=request.baseline)
    notes = (*evidence.notes, *request.notes, *_notes(request, tool))
    measured = (*evidence.measurements, *failures)
    evidence = replace(
        evidence, measurements=measured, skipped=request.skipped, notes=notes, criteria=request.criteria
    )
    files.write_evidence(request.out, evidence)
    return evidence


@contextlib.contextmanager
def _workspace(device: Device, request: BenchmarkRequest, progress: Progress) -> Iterator[PurePosixPath]:
    with guarded(device.uri, request.device), device.lease(progress, wait_s=request.wait_s):
        workspace = device.workspace(request.out)
        try:
            yield workspace
        finally:
            device.clear(workspace)


def _check_settings(request: BenchmarkRequest) -> None:
    """Raise ConfigError for what is asked and no tool does."""
    asked = {
        "--cores": request.affinity is not None,
        "--prepare": request.prepare or request.power_mode is not None,
        "--cool-down": request.cool_down is not None,
        "what is beyond single calls": request.workloads != WorkloadsAsked(),
    }
    unmet = [name for name, wanted in asked.items() if wanted]
    if unmet:
        raise ConfigError(f"{', '.join(unmet)}: not with a tool as runner", hint="leave it out")


def _notes(request: BenchmarkRequest, tool: Tool) -> tuple[str, ...]:
    note = f"measured by {tool.program.name}, SHA-256 {sha256_path(tool.program)}, on inputs of its own"
    unasked = "accuracy was not measured: a tool answers no data" if request.data is not None else None
    return (note, unasked) if unasked else (note,)


@dataclass(frozen=True, slots=True)
class _Run:
    """One artifact, by a tool."""

    request: BenchmarkRequest
    tool: Tool
    device: Device
    workspace: PurePosixPath
    artifact: Artifact
    model: Path

    def session(self, index: int, progress: Progress) -> NamedLog:
        """Return the log of one process. Raises MeasurementError, InputError where it tells nothing."""
        if TOOLS[self.tool.name] is not self.artifact.format:
            raise MeasurementError(f"{self.tool.name} does not run {self.artifact.format} files")
        progress(f"session {index + 1} of {self.artifact.id} by {self.tool.name}")
        stem = files.file_stem(self.artifact.id)
        model, results = self.workspace / stem, self.workspace / f"{stem}.{index}.csv"
        self.device.deploy(self.model, model)
        argv = self.tool.argv(str(self.workspace / self.tool.name), str(model), str(results), self.request)
        path = self.request.out / "logs" / f"{stem}.s{index}.log"
        self._call(argv, path)
        with contextlib.suppress(DeviceFileError, FileNotFoundError):
            self.device.pull(results, path)  # single timings, where the tool wrote them
        told = Told(runtime=RUNTIMES[self.artifact.format], threads=self.request.threads, batch=1)
        (log, *others) = read_log(path, told, form=self.tool.name)
        if others:
            raise MeasurementError(f"{path}: tells of {len(others) + 1} runs where one was asked for")
        return NamedLog(self.artifact, log, path, sha256_path(path))

    def _call(self, argv: list[str], path: Path) -> None:
        limit = 2 * self.request.max_session_s + _SLACK_S
        try:
            done = self.device.run(["sh", "-c", _BOTH_STREAMS, "sh", *argv], timeout_s=limit)
        except DeviceTimeoutError as err:
            self.device.facts()  # raises where the device is gone
            raise MeasurementError(err.message, hint=err.hint) from err
        write_text(path, done.stdout + done.stderr)
        if done.returncode != 0:
            said = last_words(replace(done, stderr=done.stdout + done.stderr))
            raise MeasurementError(f"{self.tool.name} ended with status {done.returncode}{said}")
