"""The Python call behind `edgebench benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact
from edgebench.datasets import Preprocessing, load_dataset
from edgebench.errors import ConfigError, InputError
from edgebench.options import parse_duration, parse_preprocessing
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.benchmark.tools import Tool
    from edgebench.datasets import Dataset
    from edgebench.deciding import Limits
    from edgebench.reports.gates import Gate


def benchmark(
    artifacts: Sequence[Path],
    *,
    device: str | Sequence[str] = ("local:cpu",),
    data: str | None = None,
    baseline: str | None = None,
    sessions: int = 5,
    calls: int = 200,
    threads: int = 1,
    affinity: str | None = None,
    prepare: bool = False,
    power_mode: int | None = None,
    cool_down: str | None = None,
    preprocessing: str | None = None,
    metric: str | None = None,
    metric_better: str | None = None,
    seed: int = 0,
    wait: str | None = None,
    batches: str | None = None,
    throughput_threads: str | None = None,
    scenario: Sequence[str] = (),
    duration: str = "10s",
    load: str | None = None,
    soak: str | None = None,
    soak_window: str = "60s",
    profile: bool = False,
    gates: Path | None = None,
    until_decided: bool = False,
    max_time: str | None = None,
    within: str | None = None,
    runner: str = "auto",
    out: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Measure model files and return the run's folder, which holds the evidence.

    device: one, or several that are measured on at once, each into a folder of its own in the run's.
    What a killed call left in `out` is taken up. out: None for a new folder under runs/benchmark. wait: how
    long to wait for a device that another one measures on, as in `10m`; None for as long as it takes.
    batches and those after it: what is measured beyond single calls, in the words of the command line.
    affinity: cores as in `0,2-3`, or `big`, `mid`, `little`. prepare: set governor, clocks and the like for
    the time, and put them back. power_mode: the number of a Jetson's mode, likewise. cool_down: at what
    temperature each session begins at most, as in `60C` or `60C,15m`.
    metric: f1, auc, map, rmse, mae or a function of your own; metric_better: `more` or `less`, for such.
    gates: criteria to write down before the measurement. until_decided: take sessions until they, or the
    edge checklist, are decided, on one device and for `max_time` at most, 10m where None; with `within`, as
    in `2%`, until all that is open is known that narrowly, too. A call on the same folder goes on.
    runner: who makes the calls there, `python`, `native`, or `auto`: native on phones without Python; or a
    tool for the device, as in `benchmark_model=/path` or `onnxruntime_perf_test=/path`.
    Raises InputError for a model or data that do not fit, DeviceError where the device fails,
    StorageError where `out` holds a finished measurement.
    """
    from edgebench.benchmark.metric_choice import choose_metric, labels_for
    from edgebench.benchmark.programs import Runner, parse_runner
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.pipeline import arithmetic_notes, default_baseline
    from edgebench.pipeline_run import new_run_folder
    from edgebench.storage import folder_lock, sweep_parts
    from edgebench.workload_options import parse_workloads

    way = _way(runner, gates, max_time, within, until_decided=until_decided)
    workloads = parse_workloads(
        batches=batches,
        throughput_threads=throughput_threads,
        scenario=scenario,
        duration=duration,
        load=load,
        soak=soak,
        soak_window=soak_window,
        profile=profile,
    )
    adopted = _adopted(artifacts, preprocessing)
    manifest = next((a.preprocessing for a, _ in adopted), Preprocessing())
    chosen = choose_metric(metric, metric_better)
    devices = (device,) if isinstance(device, str) else tuple(device)
    loaded = load_dataset(data, preprocessing=manifest, labels=labels_for(chosen)) if data else None
    models = tuple(artifact for artifact, _ in adopted)
    request = BenchmarkRequest(
        artifacts=adopted,
        data=loaded,
        out=out or new_run_folder(Path("runs") / "benchmark"),
        name=adopted[0][0].name,
        baseline=_baseline(baseline, adopted) or default_baseline(models),
        sessions=sessions,
        calls=calls,
        threads=threads,
        affinity=affinity,
        prepare=prepare,
        power_mode=power_mode,
        cool_down=cool_down,
        seed=seed,
        notes=(*arithmetic_notes(models, devices), *_calibration_notes(models, loaded)),
        wait_s=parse_duration(wait, "--wait") if wait else None,
        workloads=workloads,
        metric=chosen,
        runner=Runner.AUTO if way.tool else parse_runner(runner),
    )
    with folder_lock(request.out):
        sweep_parts(request.out)
        _measure(request, devices, way, progress)
    return request.out


@dataclass(frozen=True, slots=True)
class _Way:
    """How a request is measured. criteria: None for none declared. limits: given where they end it."""

    tool: Tool | None
    criteria: Sequence[Gate] | None
    limits: Limits | None


def _way(
    runner: str, gates: Path | None, max_time: str | None, within: str | None, *, until_decided: bool
) -> _Way:
    """Return what the options say of it. Raises ConfigError where they contradict each other."""
    from edgebench.benchmark.tools import parse_tool
    from edgebench.deciding import DEFAULT_TIME, parse_limits
    from edgebench.reports.gate_files import load_gates
    from edgebench.reports.gate_words import DEFAULT_GATES

    tool = parse_tool(runner)
    criteria = load_gates(gates) if gates else None
    if until_decided:
        if tool is not None:
            raise ConfigError("--until-decided: not with a tool as runner", hint="ask for more --sessions")
        limits = parse_limits(max_time or DEFAULT_TIME, within, ("--max-time", "--within"))
        return _Way(None, criteria or DEFAULT_GATES, limits)
    for option, given in {"--max-time": max_time, "--within": within}.items():
        if given:
            raise ConfigError(f"{option} is for --until-decided", hint="add --until-decided, or leave it out")
    return _Way(tool, criteria, None)


def _measure(request: BenchmarkRequest, devices: Sequence[str], way: _Way, progress: Progress) -> None:
    from edgebench import deciding
    from edgebench.benchmark.evidence_files import check_unmeasured

    if way.limits is not None and way.criteria is not None:
        deciding.measure_until_decided(request, devices, way.criteria, way.limits, progress, again=True)
        return
    check_unmeasured(request.out)
    if way.tool is not None:
        deciding.measure_by_tool(request, devices, way.criteria, way.tool, progress)
    else:
        deciding.measure(request, devices, way.criteria, progress)


def _calibration_notes(artifacts: Sequence[Artifact], data: Dataset | None) -> tuple[str, ...]:
    """Return which artifacts had their ranges fixed on the very data that they are evaluated on."""
    names = [
        a.id for a in artifacts if data and a.calibration and a.calibration.fingerprint == data.fingerprint
    ]
    if not names:
        return ()
    return (f"{', '.join(names)}: calibrated on the evaluation data: the accuracy may read too high",)


def _adopted(artifacts: Sequence[Path], preprocessing: str | None) -> tuple[tuple[Artifact, Path], ...]:
    """Return the artifacts with their files. preprocessing: for those without a manifest, as YAML."""
    from edgebench.exporters.inspect import open_artifact

    declared = parse_preprocessing(preprocessing) if preprocessing else None
    if not artifacts:
        raise InputError("there is nothing to measure", hint="name at least one artifact")
    return tuple((open_artifact(path, declared), path.resolve()) for path in artifacts)


def _baseline(name: str | None, adopted: Sequence[tuple[Artifact, Path]]) -> str | None:
    if name is None:
        return None
    ids = [artifact.id for artifact, _ in adopted]
    if Path(name).name not in ids:
        raise ConfigError(f"--baseline {name}: is not one of the artifacts", hint=f"one of: {', '.join(ids)}")
    return Path(name).name
