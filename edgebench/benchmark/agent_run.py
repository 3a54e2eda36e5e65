"""One job on one device: what is sent, what comes back, and what each way of failing means."""

from __future__ import annotations

import io
import json
import signal
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Never

import numpy as np

from edgebench.artifact import Format
from edgebench.benchmark.programs import AGENT, Program, Runner, last_words, open_program
from edgebench.errors import (
    ConfigError,
    DeviceFileError,
    DeviceTimeoutError,
    EdgebenchError,
    MeasurementError,
    StorageError,
)
from edgebench.storage import atomic_path, write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.devices.device import Device
    from edgebench.devices.readings import Readings
    from edgebench.devices.transport import Completed

    Array = NDArray[np.generic]

RUNTIMES = {Format.ONNX: "onnxruntime", Format.TFLITE: "litert"}
_SIGNALLED = 128
_CRASHES = [
    _SIGNALLED + s for s in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
]


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What an agent's run gave: its arrays without `meta`, and `meta` as a mapping.

    before, after: what the machine's sensors showed; None where nobody looked. earlier: whether the job had
    been begun before, by a host or over a link that is gone, so that nobody could look.
    """

    arrays: dict[str, Array]
    meta: dict[str, Any]
    before: Readings | None = None
    after: Readings | None = None
    earlier: bool = False

    def watched(self, before: Readings, after: Readings) -> AgentResult:
        """Return the same with what the sensors showed right before the job and right after it."""
        return self if self.earlier else replace(self, before=before, after=after)


@dataclass(frozen=True, slots=True)
class AgentHost:
    """A device with the agent on it. local: this machine's side of the workspace.

    own: in the content of every job that times something, where it is not empty: then none that an earlier
    process began is taken for one of this. For a device that is held in a state which ends with the process.
    """

    device: Device
    workspace: PurePosixPath
    local: Path
    program: Program
    own: str = ""

    @property
    def packages(self) -> Mapping[str, str]:
        """Return what jobs run on there, with versions."""
        return self.program.packages

    @property
    def agent_sha256(self) -> str:
        """Return the hash of what runs jobs there."""
        return self.program.sha256

    def runs_on(self) -> dict[str, Any]:
        """Return what a job's content says of what runs it: the end of another's is not taken for its own."""
        return {"agent": self.agent_sha256, "packages": dict(self.packages)}

    def send(self, path: Path, name: str) -> str:
        """Give the workspace a file as `name`, sent where the device lacks it; return its path there."""
        remote = self.workspace / name
        self.device.deploy(path, remote)
        return str(remote)

    def send_array(self, array: Array, name: str) -> str:
        """Give the workspace an array as .npy, as `send` does; return its path there."""
        return self.send(self._saved(array, name), name)

    def pass_array(self, array: Array, name: str) -> str:
        """Put an array as .npy in place of the last one of its `name`, which is not kept there."""
        remote = self.workspace / name
        self.device.push(self._saved(array, name), remote)
        return str(remote)

    def _saved(self, array: Array, name: str) -> Path:
        local = self.local / name
        with atomic_path(local) as temporary, temporary.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
        return local

    def run(
        self, job: Mapping[str, Any], name: str, *, timeout_s: float, program: str = AGENT.name
    ) -> AgentResult:
        """Run a job with the agent's file `program` and return its result.

        A model that crashes LiteRT's CompiledModel is run once more through its Interpreter, and the
        provider in the result says so. Raises MeasurementError where this artifact cannot be measured,
        ConfigError for settings that the device does not have, StorageError where its disk is full.
        """
        command = self._command(program)
        result, local = self.workspace / f"{name}.result.npz", self.local / f"{name}.result.npz"
        local.unlink(missing_ok=True)
        content = {
            "schema": 1,
            **job,
            **self.runs_on(),
            **self.library(job["runtime"]),
            "own": "" if job["mode"] == "accuracy" else self.own,
            "result": str(result),
            "watch_stdin": True,
        }
        write_bytes(self.local / f"{name}.job.json", json.dumps(content, indent=1).encode())
        sent = self.workspace / f"{name}.job.json"
        self.device.push(self.local / sent.name, sent)
        try:
            completed = self.device.run_job([*command, str(sent)], self.workspace, timeout_s=timeout_s)
        except DeviceTimeoutError as err:
            self.device.facts()  # raises where the device is gone: then nothing else can be measured
            raise MeasurementError(err.message, hint=err.hint) from err
        if completed.returncode in _CRASHES and job["runtime"] == "litert" and "avoid" not in job:
            crash = f"CompiledModel ended by {_signal(completed)}"
            return self.run({**job, "avoid": crash}, name, timeout_s=timeout_s, program=program)
        return self.take(completed, result, local)

    def _command(self, program: str) -> tuple[str, ...]:
        """Return what stands before a job's path where the agent's file `program` is to run it."""
        if program == AGENT.name:
            return self.program.command
        if self.program.bundle is not None:
            raise MeasurementError(
                "the native runner times single calls and answers, nothing beyond",
                hint="--runner python measures it where the device has a Python",
            )
        return (*self.program.command[:-1], str(self.workspace / program))

    def library(self, runtime: str) -> dict[str, str]:
        """Return what a job for the native runner says of its runtime's library, sent there if need be."""
        if self.program.bundle is None:
            return {}
        try:
            library = self.program.bundle.library(runtime)
        except EdgebenchError as err:
            raise MeasurementError(err.message, hint=err.hint) from err
        near = self.device.uri.startswith("local:")
        path = str(library.path) if near else self.send(library.path, library.path.name)
        return {"library": path, "library_version": library.version}

    def take(self, completed: Completed, remote: PurePosixPath, local: Path) -> AgentResult:
        """Return the result that an agent which ended so left in `remote`; it comes by way of `local`.

        Raises as `run` does.
        """
        check_signal(completed)
        try:
            self.device.pull(remote, local)
            content = local.read_bytes()
        except (DeviceFileError, FileNotFoundError) as err:
            raise MeasurementError(
                f"the agent gave no result (exit status {completed.returncode}){last_words(completed)}"
            ) from err
        local.unlink()
        result = decode_result(content)
        if completed.returncode != 0 and "error" not in result.meta:  # a job's before this one
            raise MeasurementError(
                f"the agent gave no result (exit status {completed.returncode}){last_words(completed)}"
            )
        if "error" in result.meta:
            _fail(str(result.meta["error"]), str(result.meta.get("kind")), self.device.uri)
        return replace(result, earlier=completed.earlier)


def open_host(device: Device, run_folder: Path, runner: Runner = Runner.AUTO, *, own: str = "") -> AgentHost:
    """Return `device` with what runs jobs there sent to it.

    Raises DeviceError where Python or numpy is missing, ConfigError where a native runner cannot be built.
    """
    workspace = device.workspace(run_folder)
    local = run_folder.resolve() / ".work"
    local.mkdir(parents=True, exist_ok=True)
    return AgentHost(device, workspace, local, open_program(device, workspace, runner), own)


def decode_result(content: bytes) -> AgentResult:
    """Return an agent's result from the bytes of its .npz. Raises MeasurementError where it is broken."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
        raise MeasurementError(f"the agent's result cannot be read: {err}") from err
    return AgentResult(arrays, meta)


def check_signal(completed: Completed) -> None:
    """Raise MeasurementError where a signal ended the agent."""
    if completed.returncode <= _SIGNALLED:
        return
    name = _signal(completed)
    hint = "the system ends processes so when memory runs out" if name == "SIGKILL" else None
    raise MeasurementError(f"the agent was ended by signal {name}{last_words(completed)}", hint=hint)


def _signal(completed: Completed) -> str:
    """Return the name of the signal that ended a command."""
    try:
        return signal.Signals(completed.returncode - _SIGNALLED).name
    except ValueError:
        return f"number {completed.returncode - _SIGNALLED}"


def _fail(message: str, kind: str, uri: str) -> Never:
    if kind == "affinity":
        raise ConfigError(message, hint="name cores that this machine has, as in --affinity 0,2-3")
    if kind == "storage":
        raise StorageError(f"{uri}: running the agent: {message}", hint="is the device's disk full?")
    raise MeasurementError(message)
