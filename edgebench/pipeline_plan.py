"""A pipeline with everything that it names found and looked at, before any work begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import ConfigError
from edgebench.pipeline_file import CompressConfig, Pipeline, load_pipeline
from edgebench.pipeline_run import RunIdentity
from edgebench.step_cache import environment
from edgebench.step_content import model_sha256, tool_sha256
from edgebench.storage import encode_json, sha256_bytes, sha256_path, to_plain
from edgebench.user_code import names_function

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import MetricRecord
    from edgebench.datasets import Dataset
    from edgebench.exporters.mixed_budget import MixedSettings
    from edgebench.exporters.source import Source
    from edgebench.reports.gates import Gate


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline with everything that it names found: paths absolute, data loaded.

    train_sha256: the training data's fingerprint. models_sha256: of each model it names, by how it is named.
    """

    pipeline: Pipeline
    base: Path
    gates: Sequence[Gate]
    source: Source
    models_sha256: Mapping[str, str]
    train_sha256: str | None
    calibration: Dataset | None
    evaluation: Dataset | None


def make_plan(path: Path, overrides: tuple[str, ...]) -> Plan:
    """Return the plan of a pipeline file; relative paths are taken from its folder.

    Raises ConfigError and DataError for what does not fit, ModelError for a model that is not there.
    """
    from edgebench.exporters.export import check_convertible

    pipeline, base = load_pipeline(path, overrides), path.resolve().parent
    _check_settings(pipeline, base)
    source = open_model(pipeline, base)
    check_convertible(source, pipeline.export.formats)
    train = _dataset(pipeline.data.train, pipeline, base) if _compresses(pipeline) else None
    return Plan(
        pipeline=pipeline,
        base=base,
        gates=_gates(pipeline),
        source=source,
        models_sha256=_models_sha256(pipeline, base),
        train_sha256=train.fingerprint if train else None,
        calibration=_calibration(pipeline, base),
        evaluation=_evaluation(pipeline, base),
    )


def _models_sha256(pipeline: Pipeline, base: Path) -> dict[str, str]:
    """Return a hash of the model and of the teacher: of their files, and of what factories fill them with.

    A factory that is given no weights may read some by itself; so it is asked, in a worker. One that fills
    its module otherwise each time is known by its files alone, or no step would be found in the cache.
    """
    from edgebench.exporters.worker import run_worker

    models = [(pipeline.model.model, pipeline.model.weights)]
    if pipeline.compress.distil is not None:
        teacher = pipeline.compress.distil.teacher
        models.append((teacher.model, teacher.weights))
    own = sorted({model for model, weights in models if weights is None and names_function(model, base)})
    job = {"models": own, "base": str(base)}
    filled = run_worker("edgebench.torch_model:own_weights", job, what="build the model") if own else {}
    known = {model: [model_sha256(model, base), filled.get(model)] for model, _ in models}
    return {model: sha256_bytes(encode_json(parts)) for model, parts in known.items()}


def _check_settings(pipeline: Pipeline, base: Path) -> None:
    """Raise ConfigError for what would fail only after the training."""
    from edgebench.benchmark.placement import check_cores
    from edgebench.benchmark.watch import parse_cool_down
    from edgebench.calibration.table import usable_table
    from edgebench.deciding import configured_limits
    from edgebench.devices.inventory import expand
    from edgebench.devices.registry import open_device
    from edgebench.exporters.export import check_target
    from edgebench.exporters.source import check_readable
    from edgebench.options import parse_duration
    from edgebench.workload_options import configured_workloads

    check_target(pipeline.export.target, pipeline.export.formats, pipeline.export.precisions)
    static = [precision for precision in pipeline.export.precisions if precision.is_static]
    if pipeline.export.calibration_table:
        table, method = base / pipeline.export.calibration_table, pipeline.export.calibration_method
        usable_table(table, pipeline.data.preprocessing, method)
    elif static and pipeline.data.calibration is None:
        raise ConfigError(
            f"`data.calibration` is missing, and {static[0]} needs data to fix the ranges of its activations",
            hint="name data that is not the evaluation's, or a table of edgebench calibrate as "
            f"`export.calibration_table`, or take {static[0]} out of `export.precisions`",
        )
    calibration_memory(pipeline)
    for name in expand(pipeline.benchmark.names()):
        open_device(name)
    if pipeline.benchmark.wait:
        parse_duration(pipeline.benchmark.wait, "benchmark.wait")
    configured_limits(pipeline.benchmark)
    check_cores(pipeline.benchmark.affinity)
    if pipeline.benchmark.cool_down:
        parse_cool_down(pipeline.benchmark.cool_down)
    configured_workloads(pipeline.benchmark.workloads)
    distil = pipeline.compress.distil
    if distil is not None and distil.teacher.weights:
        check_readable(base / distil.teacher.weights)


def _compresses(pipeline: Pipeline) -> bool:
    return pipeline.compress != CompressConfig()


def _dataset(spec: str | None, pipeline: Pipeline, base: Path) -> Dataset | None:
    from edgebench.datasets import load_dataset

    return load_dataset(spec, base=base, preprocessing=pipeline.data.preprocessing) if spec else None


def metric_of(pipeline: Pipeline, base: Path) -> MetricRecord | None:
    """Return the metric that is measured beside top-1. Raises ConfigError, InputError."""
    from edgebench.benchmark.metric_choice import choose_metric

    config = pipeline.benchmark
    names = ("`benchmark.metric`", "`benchmark.metric_better`")
    return choose_metric(config.metric, config.metric_better, base=base, options=names)


def _evaluation(pipeline: Pipeline, base: Path) -> Dataset | None:
    """Return the evaluation data, which the metric fits. Raises ConfigError, InputError."""
    from edgebench.benchmark.metric_choice import check_metric, labels_for
    from edgebench.datasets import load_dataset

    metric, spec = metric_of(pipeline, base), pipeline.data.evaluation
    steps = pipeline.data.preprocessing
    found = load_dataset(spec, base=base, preprocessing=steps, labels=labels_for(metric)) if spec else None
    check_metric(metric, found)
    return found


def _calibration(pipeline: Pipeline, base: Path) -> Dataset | None:
    """Return the calibration data. Raises InputError where a budget that is set cannot be measured on it."""
    from edgebench.exporters.export import check_budget

    data = _dataset(pipeline.data.calibration, pipeline, base)
    if accuracy_budget(pipeline) is not None:
        check_budget(pipeline.export.precisions, data)
    return data


def accuracy_budget(pipeline: Pipeline) -> MixedSettings | None:
    """Return how much accuracy w8a8 may lose; None where nothing is said. Raises ConfigError."""
    from edgebench.exporters.mixed_budget import mixed_settings

    config = pipeline.export
    return mixed_settings(config.max_drop, config.max_float, ("`export.max_drop`", "`export.max_float`"))


def _gates(pipeline: Pipeline) -> Sequence[Gate]:
    from edgebench.reports.gate_files import gates_from_config
    from edgebench.reports.gate_words import DEFAULT_GATES

    return gates_from_config(pipeline.gates) if pipeline.gates else DEFAULT_GATES


def open_model(pipeline: Pipeline, base: Path, weights: Path | None = None) -> Source:
    """Return the model with `weights`, or else with its own. Raises InputError where it does not fit."""
    from edgebench.exporters.source import SourceKind, open_source

    model = pipeline.model
    given = base / model.weights if model.weights else None
    source = open_source(model.model, weights=weights or given, input_shapes=model.input_shape, base=base)
    if _compresses(pipeline) and source.kind is not SourceKind.TORCH:
        raise ConfigError(
            f"`compress` trains PyTorch models, and {model.model} is {source.kind}",
            hint="leave out `compress`, or name the network as file.py:factory",
        )
    return source


def identity(plan: Plan) -> RunIdentity:
    """Return what makes two runs the same: configuration, contents and versions."""
    import yaml

    config = to_plain(plan.pipeline)
    content = [plan.models_sha256, to_plain(plan.source.record), plan.train_sha256, *data_sha256(plan)]
    digest = sha256_bytes(encode_json([environment(), tool_sha256(), config, content]))
    return RunIdentity(
        plan.pipeline.name, yaml.safe_dump(config, sort_keys=False, allow_unicode=True), digest
    )


def data_sha256(plan: Plan) -> list[str | None]:
    """Return the fingerprints of the calibration and the evaluation data, and the hash of the table."""
    table = calibration_table(plan)
    found = [data.fingerprint if data else None for data in (plan.calibration, plan.evaluation)]
    return [*found, sha256_path(table) if table else None]


def calibration_table(plan: Plan) -> Path | None:
    """Return the file of ranges that the pipeline names; None where it names none."""
    named = plan.pipeline.export.calibration_table
    return plan.base / named if named else None


def calibration_memory(pipeline: Pipeline) -> int | None:
    """Return the bytes that calibrating may take; None for no bound. Raises ConfigError."""
    from edgebench.calibration.memory import parse_memory

    return parse_memory(pipeline.export.calibration_memory, "`export.calibration_memory`")
