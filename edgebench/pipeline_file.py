"""The pipeline file: what one YAML may say, its JSON Schema, and a commented one to start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.benchmark.programs import Runner
from edgebench.calibration.methods import Method
from edgebench.calibration.target import Target
from edgebench.config import load_config
from edgebench.datasets import Preprocessing
from edgebench.errors import ConfigError
from edgebench.exporters.mixed_budget import DEFAULT_MAX_FLOAT

SCHEMA_VERSION = 1
"""1: the first."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """model: a file, a folder, or `file.py:factory`. input_shape: one shape per input."""

    model: str
    weights: str | None = None
    input_shape: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Spec strings of data sets; relative paths are taken from the pipeline file's folder."""

    train: str | None = None
    calibration: str | None = None
    evaluation: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """A larger model to learn from: trained here where it has no weights."""

    model: str
    weights: str | None = None
    epochs: int = 30


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """temperature: softens the teacher's answers. alpha: the teacher's share of the loss, 0–1."""

    teacher: TeacherConfig
    epochs: int = 30
    temperature: float = 4.0
    alpha: float = 0.7


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Train the model from its factory's initial weights."""

    epochs: int = 30


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """sparsity: share of weights set to zero, 0–1. finetune_epochs: training that keeps the zeros."""

    sparsity: float = 0.5
    finetune_epochs: int = 5


@dataclass(frozen=True, slots=True)
class CompressConfig:
    """What is done to a PyTorch model before export, in this order."""

    train: TrainConfig | None = None
    distil: DistilConfig | None = None
    prune: PruneConfig | None = None


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Which files are made. calibration_samples: at most this many are used.

    calibration_method: None for mse, or the table's. calibration_table: what `edgebench calibrate` wrote,
    in place of calibration data. calibration_memory: the most that calibrating takes beyond the model, as in
    300MB. max_drop: how much top-1 w8a8 may lose, as in 0.5pp or 1%rel. max_float: the most of the
    multiplications that may stay float for it. target: whose integer arithmetic ONNX files are made for.
    """

    formats: tuple[Format, ...] = (Format.ONNX, Format.TFLITE)
    precisions: tuple[Precision, ...] = (Precision.FP32, Precision.W8A8)
    io: TensorIo = TensorIo.FLOAT
    target: Target = Target.AUTO
    calibration_samples: int = 256
    calibration_method: Method | None = None
    calibration_table: str | None = None
    calibration_memory: str | None = None
    max_drop: str | None = None
    max_float: str = DEFAULT_MAX_FLOAT


@dataclass(frozen=True, slots=True)
class WorkloadsConfig:
    """What is measured beyond single calls, in the words of `edgebench benchmark`'s options."""

    batches: tuple[int, ...] = ()
    throughput_threads: tuple[int, ...] = ()
    scenarios: tuple[str, ...] = ()
    duration: str = "10s"
    load: tuple[str, ...] = ()
    soak: str | None = None
    soak_window: str = "60s"
    profile: bool = False


@dataclass(frozen=True, slots=True)
class BenchmarkConfig:
    """How it is measured. calls: timed calls per session. affinity: cores: `0,2-3`, big, mid or little.

    devices: several at once, in place of `device`. wait: how long for a busy one, as in `10m`.
    prepare: set governor, clocks and the like for the time, and put them back. power_mode: a Jetson's, by
    its number, likewise. cool_down: at what temperature each session begins at most, as in `60C,15m`.
    until_decided: take sessions until the gates are decided, for `max_time` at most, as in 10m, or until all
    that is open is known `within` so much, as in `2%`.
    runner: who makes the calls, `python`, `native`, or `auto`: native on phones without Python.
    """

    device: str = "local:cpu"
    devices: tuple[str, ...] = ()
    wait: str | None = None
    sessions: int = 5
    calls: int = 200
    threads: int = 1
    affinity: str | None = None
    metric: str | None = None
    metric_better: str | None = None
    workloads: WorkloadsConfig = field(default_factory=WorkloadsConfig)
    prepare: bool = False
    power_mode: int | None = None
    cool_down: str | None = None
    until_decided: bool = False
    max_time: str = "10m"
    within: str | None = None
    runner: Runner = Runner.AUTO

    def names(self) -> tuple[str, ...]:
        """Return the devices to measure on, as they are written."""
        return self.devices or (self.device,)


@dataclass(frozen=True, slots=True)
class GateConfig:
    """One gate: `p99 <= 50ms`. on: the artifacts it judges, a precision, a format or a pattern.

    confidence: 0.95 where neither it nor the words say one. devices: patterns of the devices it holds on, or
    tags as in `tag:lab`; empty for all.
    """

    gate: str
    confidence: float | None = None
    on: str | None = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A trained model's way to a decision."""

    schema_version: int
    name: str
    model: ModelConfig
    data: DataConfig = field(default_factory=DataConfig)
    compress: CompressConfig = field(default_factory=CompressConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    gates: tuple[str | GateConfig, ...] = ()
    seed: int = 0


def load_pipeline(path: Path, overrides: tuple[str, ...] = ()) -> Pipeline:
    """Return the pipeline that a YAML file describes. Raises ConfigError, naming the line."""
    pipeline = load_config(path, Pipeline, overrides)
    if pipeline.schema_version != SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version {pipeline.schema_version} is not known to this edgebench",
            hint=f"this version reads schema_version {SCHEMA_VERSION}",
        )
    _check_ranges(pipeline, path)
    return pipeline


def _check_ranges(pipeline: Pipeline, path: Path) -> None:
    compress = pipeline.compress
    rules = {
        "name": (bool(pipeline.name.strip()), "must not be empty"),
        "export.formats": (bool(pipeline.export.formats), "must name at least one format"),
        "export.precisions": (bool(pipeline.export.precisions), "must name at least one precision"),
        "export.calibration_samples": (pipeline.export.calibration_samples > 0, "must be at least 1"),
        "benchmark.sessions": (pipeline.benchmark.sessions > 0, "must be at least 1"),
        "benchmark.devices": (
            not pipeline.benchmark.devices or pipeline.benchmark.device == "local:cpu",
            "and `benchmark.device` are both given: one of them says where",
        ),
        "benchmark.calls": (pipeline.benchmark.calls > 0, "must be at least 1"),
        "benchmark.threads": (pipeline.benchmark.threads > 0, "must be at least 1"),
        "compress.prune.sparsity": (
            compress.prune is None or 0 <= compress.prune.sparsity < 1,
            "must be 0 or more and less than 1",
        ),
        "compress": (
            compress.train is None or compress.distil is None,
            "has both `train` and `distil`: distilling trains the model already",
        ),
        "data.train": (
            pipeline.data.train is not None or compress == CompressConfig(),
            "is missing, and `compress` needs training data",
        ),
    }
    for key, (holds, rule) in rules.items():
        if not holds:
            raise ConfigError(f"{path}: `{key}` {rule}")


def pipeline_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a pipeline file."""
    import msgspec

    schema = msgspec.json.schema(Pipeline)
    for definition in schema["$defs"].values():
        if definition.get("type") == "object":
            definition["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgebench pipeline",
        **schema,
    }


STARTER = """\
# edgebench pipeline: a trained model in, a decision out.   Run it: edgebench run {file}
schema_version: 1
name: my-model

model:
  # m.onnx, m.keras, a SavedModel folder, m.pt2, or file.py:factory with weights
  model: model.py:build
  weights: weights.safetensors        # .pt, .pth or .safetensors; nothing is ever unpickled
  # input_shape: [[1, 3, 224, 224]]   # only where it cannot be discovered from the data

data:
  # x.npz (arrays x and y), a folder of class folders, a .csv or .parquet with path and label,
  # or file.py:function; relative paths are taken from this file's folder
  calibration: calibration.npz        # never the evaluation data
  evaluation: evaluation.npz
  preprocessing:                      # (x * scale - mean) / std; carried in every manifest
    scale: 0.00392156862745098
    # resize: [224, 224]              # height, width
    # colour: rgb                     # rgb, bgr, gray
    # mean: [0.485, 0.456, 0.406]
    # std: [0.229, 0.224, 0.225]
    # layout: nchw                    # raw images are nhwc

# compress:                           # PyTorch models; needs data.train
#   prune: {{sparsity: 0.5, finetune_epochs: 5}}

export:
  formats: [onnx, tflite]             # also tensorrt, where an NVIDIA GPU is
  precisions: [fp32, w8a8]            # also fp16, w8a32, w8a16
  io: float                           # float or int8 inputs and outputs of TFLite
  target: auto                        # this machine; or x86-avx2, x86-vnni, arm64, tensorrt
  # calibration_method: mse           # also percentile, entropy, min-max, moving-average
  # calibration_memory: 300MB         # the most that calibrating takes beyond the model
  # calibration_table: table.json     # of edgebench calibrate, in place of data.calibration
  # max_drop: 0.5pp                   # keep layers float until w8a8 loses no more top-1; needs labels

benchmark:
  device: local:cpu                   # or several at once: devices: [orin-1, tag:pi]
  sessions: 5                         # fresh processes per artifact
  calls: 200                          # timed calls per session
  threads: 1
  # affinity: big                     # cores: big, mid, little, or 0,2-3
  # prepare: true                     # governor and clocks for the time, put back afterwards
  # until_decided: true               # more sessions until every gate is decided
  # max_time: 10m                     # and no longer than this
  # within: 2%                        # or until what is open is known so narrowly

gates:                                # all must pass on a valid measurement for GO
  - p99 <= 50ms
  - size <= 10MB
  - shrink >= 3.5x on w8a8
  - drop <= 2pp
"""


def starter(file_name: str) -> str:
    """Return a commented pipeline file to edit; it parses as it stands."""
    return STARTER.format(file=file_name)
