"""The Python calls behind the command line: one per verb, with the verb's options as arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.calibrate import calibrate as calibrate  # noqa: PLC0414 - a call of this module, in a file of its own
from edgebench.check_gates import check_gates as check_gates  # noqa: PLC0414 - likewise
from edgebench.check_gates import gates_table as gates_table  # noqa: PLC0414 - likewise
from edgebench.compare import compare as compare  # noqa: PLC0414 - likewise
from edgebench.compare import compare_table as compare_table  # noqa: PLC0414 - likewise
from edgebench.compare import device_noise as device_noise  # noqa: PLC0414 - likewise
from edgebench.errors import ConfigError, MeasurementError, StorageError
from edgebench.export import export as export  # noqa: PLC0414 - likewise
from edgebench.exporters.mixed_text import mixed_table as mixed_table  # noqa: PLC0414 - likewise
from edgebench.gather_results import results_frame as results_frame  # noqa: PLC0414 - likewise
from edgebench.gather_results import results_text as results_text  # noqa: PLC0414 - likewise
from edgebench.gather_results import write_results as write_results  # noqa: PLC0414 - likewise
from edgebench.import_logs import import_logs as import_logs  # noqa: PLC0414 - likewise
from edgebench.ladder.call import ladder as ladder  # noqa: PLC0414 - a call of this module, in a file of its own
from edgebench.ladder.call import ladder_table as ladder_table  # noqa: PLC0414 - likewise
from edgebench.measure import benchmark as benchmark  # noqa: PLC0414 - likewise
from edgebench.progress import Progress, silent
from edgebench.storage import read_json, write_text

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts, Evidence
    from edgebench.devices.inventory import Entry
    from edgebench.devices.quarantine import Health
    from edgebench.doctor import Finding
    from edgebench.reports.results import Results
    from edgebench.reports.verdict import Verdict


def report(run_folder: Path, *, gates: Path | None = None, html: Path | None = None) -> Verdict:
    """Judge a run's evidence, write verdict, tables and page into its folder, and return the verdict.

    gates: a file; None for the criteria that were declared before the measurement, or the edge checklist.
    """
    from edgebench.reports.gate_files import load_gates
    from edgebench.reports.report import write_report

    return write_report(run_folder, load_gates(gates) if gates else None, html=html)


def run(
    pipeline: Path,
    *,
    overrides: tuple[str, ...] = (),
    out: Path = Path("runs"),
    fresh: bool = False,
    progress: Progress = silent,
) -> Path:
    """Run a pipeline file to its verdict and return the run's folder. Raises EdgebenchError."""
    from edgebench.pipeline import run_pipeline

    return run_pipeline(pipeline, overrides=overrides, out=out, fresh=fresh, progress=progress)


def demo(*, out: Path = Path("runs"), fresh: bool = False, progress: Progress = silent) -> Path:
    """Run the pipeline of examples/digits and return the run's folder."""
    pipeline = Path(__file__).parent / "examples" / "digits" / "pipeline.yaml"
    return run(pipeline, out=out, fresh=fresh, progress=progress)


def doctor() -> tuple[Finding, ...]:
    """Return what is installed, what each extra adds and what hardware is here."""
    from edgebench.doctor import examine

    return examine()


def doctor_fix(name: str, *, progress: Progress = silent) -> Path:
    """Create what `name` stands for, such as `onnx2tf`, and return where it is."""
    from edgebench.doctor import fix

    return fix(name, progress=progress)


def list_devices() -> tuple[DeviceFacts, ...]:
    """Return the devices that are here."""
    from edgebench.devices.registry import list_devices as listed

    return listed()


def known_devices() -> Mapping[str, Entry]:
    """Return the devices that `devices.yaml` names, the project's before the user's. Raises ConfigError."""
    from edgebench.devices.inventory import load_inventory

    return load_inventory()


def add_device(name: str, uri: str, *, tags: Sequence[str] = (), project: bool = False) -> Path:
    """Give a device a name in the user's `devices.yaml`, or the project's; return the file.

    Raises ConfigError for a name that is there, and for names, tags and URIs of another form.
    """
    from edgebench.devices.inventory_edit import add_device as add

    return add(name, uri, tags, project=project)


def remove_device(name: str, *, project: bool = False) -> Path:
    """Take a name out of the `devices.yaml` that has it, the project's before the user's; return the file.

    Raises ConfigError where none has it.
    """
    from edgebench.devices.inventory_edit import remove_device as remove

    return remove(name, project=project)


def quarantined_devices() -> tuple[Health, ...]:
    """Return the devices that failed several times in a row and are not used until a doctor passes."""
    from edgebench.devices.quarantine import quarantined

    return quarantined()


def device_info(uri: str) -> DeviceFacts:
    """Return what a device is, asked now. Raises ConfigError, DeviceError where it does not answer."""
    from edgebench.devices.registry import open_device

    return open_device(uri).facts()


def device_doctor(uri: str) -> tuple[Finding, ...]:
    """Return what a benchmark needs of a device and whether it is there. Raises ConfigError."""
    from edgebench.device_doctor import examine_device

    return examine_device(uri)


def device_release(uri: str) -> str:
    """End a job on a device that outlived its host or link; return whose it was, empty where none runs.

    Raises ConfigError for this machine, DeviceError where a host that is there measures.
    """
    from edgebench.devices.registry import open_device
    from edgebench.devices.remote_device import RemoteDevice

    device = open_device(uri)
    if not isinstance(device, RemoteDevice):
        raise ConfigError(f"{uri} has no jobs without a host", hint="what runs here ends with its process")
    return device.jobs().release()


def device_setup(
    uri: str, *, wheels: Path | None = None, native: bool = False, progress: Progress = silent
) -> tuple[str, ...]:
    """Give a device numpy and the runtimes, in a folder of its own; return the wheels that are there now.

    wheels: a folder to take them from, in place of the package index. native: build the native runner for
    it instead, with the runtimes' libraries, and return what it consists of. Raises ConfigError for this
    machine, or where no C compiler is here, DeviceError where the device has no Python or no wheel fits it.
    """
    from edgebench.benchmark.programs import set_up_native
    from edgebench.devices.registry import open_device
    from edgebench.devices.remote_device import RemoteDevice
    from edgebench.devices.setup import set_up

    device = open_device(uri)
    if native:
        return set_up_native(device, wheels=wheels, progress=progress)
    if not isinstance(device, RemoteDevice):
        raise ConfigError(f"{uri} needs no setup", hint="pip install is the way here")
    return set_up(device, wheels=wheels, progress=progress)


def init(path: Path, *, force: bool = False) -> None:
    """Write a commented pipeline file. Raises StorageError where it exists and `force` is not set."""
    from edgebench.pipeline_file import starter

    if path.exists() and not force:
        raise StorageError(f"{path}: exists already", hint="--force writes over it")
    write_text(path, starter(path.name))


def pipeline_schema() -> dict[str, Any]:
    """Return the JSON Schema of a pipeline file."""
    from edgebench.pipeline_file import pipeline_schema as schema

    return schema()


def read_evidence(run_folder: Path) -> Evidence:
    """Return the evidence in a run's folder. Raises InputError."""
    from edgebench.benchmark.evidence_files import read_evidence as read

    return read(run_folder)


def read_verdict(run_folder: Path) -> Verdict:
    """Return the verdict in a run's folder. Raises InputError."""
    from edgebench.reports.verdict import Verdict

    return read_json(run_folder / "verdict.json", Verdict)


def read_results(run_folder: Path) -> Results:
    """Return the figures of a judged run's artifacts. Raises InputError."""
    from edgebench.reports.results import read_results as read

    return read(run_folder)


def results_table(run_folder: Path) -> str:
    """Return a judged run's gates and figures as text for a terminal."""
    from edgebench.reports.table import run_table
    from edgebench.reports.workload_text import workloads_text

    return "\n\n".join(filter(None, (run_table(run_folder), workloads_text(run_folder))))


def measurement_failed(failures: Sequence[str]) -> MeasurementError:
    """Return the error that says which artifacts could not be measured."""
    return MeasurementError(
        "; ".join(failures), hint="the others were measured; see evidence.json in the run's folder"
    )
