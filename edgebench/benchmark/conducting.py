"""The host's side of the conductor: the agents' jobs go out, a result or a failure of each comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edgebench.benchmark.agent_run import AgentHost, AgentResult, check_signal
from edgebench.benchmark.programs import last_words
from edgebench.devices.transport import Completed
from edgebench.errors import DeviceFileError, DeviceTimeoutError, MeasurementError
from edgebench.storage import write_bytes

_STARTING_S = 300.0
"""What a turn may take beside its calls: starting, loading, one call that is longer than its limit."""


@dataclass(frozen=True, slots=True)
class Conducted:
    """What the agents gave, in the order of their jobs.

    together: whether all were there at the same time; not where the device's memory does not hold them.
    """

    together: bool
    results: tuple[AgentResult | MeasurementError, ...]


def conduct(
    host: AgentHost, jobs: Sequence[Mapping[str, Any]], *, calls: int, max_s: float, seed: str
) -> Conducted:
    """Run the agents' jobs in turn on the device, and return what each gave.

    calls: of each. max_s: seconds for each one's calls. seed: of the orders. Raises MeasurementError where
    none of them can be measured, ConfigError for settings that the device does not have, StorageError
    where its disk is full.
    """
    turn_s = max_s + _STARTING_S
    sent = [_send(host, {**job, "max_s": max_s}, f"turns_{index}") for index, job in enumerate(jobs)]
    orders = {
        "command": host.program.command,
        "jobs": sent,
        "results": [str(_result_path(host, f"turns_{index}")) for index in range(len(jobs))],
        "calls": calls,
        "seed": seed,
        "own": host.own,
        **host.runs_on(),
        "turn_s": turn_s,
    }
    job = _send(host, orders, "conductor")
    completed = _run(host, job, timeout_s=len(jobs) * 2 * turn_s)
    told = _told(host, completed)
    results = [
        _result(host, index, {**outcome, "earlier": completed.earlier}, turn_s)
        for index, outcome in enumerate(told["agents"])
    ]
    for result in results:
        if isinstance(result, AgentResult):
            result.meta["cpu_s"] = told["cpu_s"]  # of all: what is beyond it, others took
    return Conducted(bool(told["together"]), tuple(results))


def _send(host: AgentHost, content: Mapping[str, Any], name: str) -> str:
    """Send a job, its result's path in it; return the job's path there."""
    local = host.local / f"{name}.job.json"
    result = str(_result_path(host, name))
    write_bytes(local, json.dumps({"schema": 1, **content, "result": result}, indent=1).encode())
    host.device.push(local, host.workspace / local.name)
    return str(host.workspace / local.name)


def _result_path(host: AgentHost, name: str) -> PurePosixPath:
    return host.workspace / f"{name}.result"


def _run(host: AgentHost, job: str, *, timeout_s: float) -> Completed:
    try:
        argv = [*host.program.conductor, job]
        return host.device.run_job(argv, host.workspace, timeout_s=timeout_s)
    except DeviceTimeoutError as err:
        host.device.facts()  # raises where the device is gone: then nothing else can be measured
        raise MeasurementError(err.message, hint=err.hint) from err


def _told(host: AgentHost, completed: Completed) -> dict[str, Any]:
    """Return what the conductor says of its agents."""
    check_signal(completed)
    remote = _result_path(host, "conductor")
    nothing = f"the agent gave no result (exit status {completed.returncode}){last_words(completed)}"
    if completed.returncode != 0:
        raise MeasurementError(nothing)
    try:
        host.device.pull(remote, host.local / remote.name)
        told: dict[str, Any] = json.loads((host.local / remote.name).read_bytes())
    except (DeviceFileError, FileNotFoundError, ValueError) as err:
        raise MeasurementError(nothing) from err
    return told


def _result(
    host: AgentHost, index: int, outcome: Mapping[str, Any], turn_s: float
) -> AgentResult | MeasurementError:
    remote, status = _result_path(host, f"turns_{index}"), outcome["status"]
    if status is None:
        hint = "is the device overloaded, or the model too slow for these settings?"
        return MeasurementError(f"the agent did not answer within {turn_s:g} s", hint=hint)
    try:
        ended = Completed(status, "", outcome["said"], earlier=outcome["earlier"])
        return host.take(ended, remote, host.local / remote.name)
    except MeasurementError as err:
        return err
