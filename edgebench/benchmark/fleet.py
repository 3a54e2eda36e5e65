"""The same benchmark on several devices at once: a run's folder for each, and one evidence of them all.

<run>/devices/<device>/   the device's own run: evidence.json, samples/, outputs/
<run>/evidence.json       all their measurements, once every device has given its own
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench import __version__
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.evidence import Evidence, Measurement
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.devices.inventory import expand
from edgebench.devices.registry import open_device
from edgebench.devices.stopping import Stop, stoppable
from edgebench.errors import ConfigError, DeviceError, EdgebenchError, StorageError
from edgebench.progress import Progress, silent
from edgebench.storage import encode_json, sha256_bytes, write_text

if TYPE_CHECKING:
    from edgebench.devices.device import Device

_ASKED = "request.sha256"
_NOT_ASKED = ("out", "device", "notes", "wait_s", "skipped", "criteria")
"""What of a request does not change what one device measures."""


def benchmark_on(request: BenchmarkRequest, names: Sequence[str], *, progress: Progress = silent) -> Evidence:
    """Measure the artifacts on each device that `names` stand for, all at once; return one evidence.

    names: as for --device; `tag:NAME` is every device with that tag. One device is measured into
    `request.out` itself. A device that fails does not stop the others; what they measured is kept in
    their folders, and the same call measures the rest. Raises DeviceError where a device failed,
    ConfigError for names that stand for no device, or twice for one.
    """
    chosen = expand(names)
    if len(chosen) == 1:
        return benchmark(replace(request, device=chosen[0]), progress=progress)
    devices = {name: open_device(name) for name in chosen}
    folders = _folders(request.out, devices)
    told, stops = threading.Lock(), {name: Stop() for name in chosen}

    def measure(name: str) -> Evidence:
        own = replace(request, device=name, out=folders[name])
        with stoppable(stops[name]):
            return _measure(own, devices[name], _prefixed(progress, devices[name].uri, told))

    done = _all_at_once(measure, stops)
    failed = {devices[name].uri: error for name, future in done.items() if (error := _error(future))}
    if failed:
        raise _failure(failed, {devices[name].uri: folders[name] for name in chosen})
    found = {folders[name]: future.result() for name, future in done.items()}
    evidence = _together(request, found)
    files.write_evidence(request.out, evidence)
    return evidence


def _measure(request: BenchmarkRequest, device: Device, progress: Progress) -> Evidence:
    """Return what one device measured: now, or in an earlier call that asked the same.

    Raises InputError where the files of that call are not those that were measured.
    """
    note, asked = request.out / _ASKED, _asked(request)
    if (request.out / files.EVIDENCE).exists():
        files.check_raw(request.out)
        if note.exists() and note.read_text("utf-8") == asked:
            progress("kept from before")
            return files.read_evidence(request.out)
    evidence = benchmark(request, device=device, progress=progress)
    write_text(note, asked)
    return evidence


def _asked(request: BenchmarkRequest) -> str:
    """Return a hash of all of a request that bears on what a device measures."""
    asked: dict[str, Any] = {
        field.name: getattr(request, field.name)
        for field in dataclasses.fields(request)
        if field.name not in (*_NOT_ASKED, "artifacts", "data")
    }
    asked["artifacts"] = [artifact for artifact, _ in request.artifacts]
    asked["data"] = request.data.fingerprint if request.data else None
    return sha256_bytes(encode_json({"version": __version__, **asked}))


def _folders(out: Path, devices: Mapping[str, Device]) -> dict[str, Path]:
    """Return a folder for each device, by its name on the command line. Raises ConfigError for doubles."""
    uris = [device.uri for device in devices.values()]
    twice = next((uri for uri in uris if uris.count(uri) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice", hint="name each device once")
    stems = [re.sub(r"[^\w.-]+", "-", uri).strip("-") for uri in uris]
    alike = {stem for stem in stems if stems.count(stem) > 1}
    return {
        name: out / "devices" / (f"{stem}.{sha256_bytes(device.uri.encode())[:8]}" if stem in alike else stem)
        for (name, device), stem in zip(devices.items(), stems, strict=True)
    }


def _all_at_once(
    measure: Callable[[str], Evidence], stops: Mapping[str, Stop]
) -> dict[str, Future[Evidence]]:
    """Return how each device's measurement ended; an interrupt ends them all before it goes on."""
    with ThreadPoolExecutor(len(stops), thread_name_prefix="device") as pool:
        done = {name: pool.submit(measure, name) for name in stops}
        try:
            wait(done.values())
        except BaseException:
            for stop in stops.values():
                stop()
            raise
    return done


def _error(future: Future[Evidence]) -> EdgebenchError | None:
    """Return what a device, or a disk, failed with. Raises what is neither: bad input, a bug."""
    error = future.exception()
    if error is None or isinstance(error, DeviceError | StorageError):
        return error
    raise error


def _failure(failed: Mapping[str, EdgebenchError], folders: Mapping[str, Path]) -> DeviceError:
    """Return the error that says which devices failed, and where the others' evidence lies."""
    said = "; ".join(f"{uri}: {error.message.removeprefix(f'{uri}: ')}" for uri, error in failed.items())
    kept = [str(folder) for uri, folder in folders.items() if uri not in failed]
    where = f"kept: {', '.join(kept)}; " if kept else ""
    reports = "`edgebench report` judges each of them; " if kept else ""
    hints = [error.hint for error in failed.values() if error.hint]
    return DeviceError(
        f"{len(failed)} of {len(folders)} devices failed: {said}",
        hint=f"{where}{reports}the same command with -o {_parent(folders)} measures the rest"
        + (f". {hints[0]}" if len(set(hints)) == 1 else ""),
    )


def _parent(folders: Mapping[str, Path]) -> Path:
    return next(iter(folders.values())).parent.parent


def _prefixed(progress: Progress, uri: str, told: threading.Lock) -> Progress:
    """Return a progress that says which device it is of."""

    def tell(message: str, *, done: int | None = None, total: int | None = None) -> None:
        with told:
            progress(f"{uri}: {message.removeprefix(f'{uri}: ')}", done=done, total=total)

    return tell


# --- one evidence of them all ------------------------------------------------------------------


def _together(request: BenchmarkRequest, found: Mapping[Path, Evidence]) -> Evidence:
    """Return the devices' evidence as one. found: by the folder that each lies in."""
    parts = list(found.values())
    measurements = [
        _placed(measurement, folder.relative_to(request.out).as_posix())
        for folder, evidence in found.items()
        for measurement in evidence.measurements
    ]
    return replace(
        parts[0],
        created_utc=max(part.created_utc for part in parts),
        measurements=tuple(measurements),
        criteria=request.criteria,
        environment=_environments(parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _placed(measurement: Measurement, folder: str) -> Measurement:
    """Return a measurement whose files lie in `folder`, below the run's own."""
    sessions = tuple(replace(s, samples=f"{folder}/{s.samples}") for s in measurement.sessions)
    accuracy = measurement.accuracy
    if accuracy is not None:
        accuracy = replace(accuracy, outputs=f"{folder}/{accuracy.outputs}")
    workloads = measurement.workloads.below(folder)
    return replace(measurement, sessions=sessions, accuracy=accuracy, workloads=workloads)


def _environments(parts: Sequence[Evidence]) -> dict[str, str]:
    """Return the packages' versions; one that is not the same everywhere is told for each device."""
    names = dict.fromkeys(name for part in parts for name in part.environment)
    found: dict[str, str] = {}
    for name in names:
        versions = {part.measurements[0].device.uri: part.environment.get(name, "absent") for part in parts}
        if len(set(versions.values())) == 1:
            found[name] = next(iter(versions.values()))
        else:
            found |= {f"{name} on {uri}": version for uri, version in versions.items()}
    return found
