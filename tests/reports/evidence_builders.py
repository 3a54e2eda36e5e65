"""Evidence made in memory: artifacts, timings and answers with known statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.artifact import (
    Artifact,
    CalibrationRecord,
    Format,
    Parity,
    Precision,
    Quantization,
    Skipped,
    SourceRecord,
    TensorSpec,
)
from edgebench.benchmark.evidence import (
    AccuracyRecord,
    Answers,
    DeviceFacts,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    Timing,
)
from edgebench.datasets import Layout, Preprocessing

URI = "local:cpu"
DEVICE = DeviceFacts(
    uri=URI,
    name="bench-7",
    processor="Intel(R) Xeon(R) CPU @ 2.20GHz",
    cores=2,
    memory_bytes=8_330_000_000,
    system="Linux 6.1.0 x86_64",
    extra={"governor": "performance"},
)
MS = 1_000_000


def timing(runtime: str = "onnxruntime", **changes: Any) -> Timing:
    """Return a timing definition of one thread and one sample a call."""
    base = Timing(
        runtime=runtime,
        runtime_version="1.32.0" if runtime == "onnxruntime" else "2.3.0",
        provider="CPUExecutionProvider" if runtime == "onnxruntime" else "XNNPACK",
        batch=1,
        threads=1,
        affinity=(0,),
        timed="run_with_iobinding: inputs bound before, outputs copied out",
    )
    return replace(base, **changes)


def artifact(name: str, precision: Precision, form: Format, size_bytes: int, **changes: Any) -> Artifact:
    """Return a manifest of a 10-class image model."""
    tensor = TensorSpec("image", (-1, 1, 8, 8), "float32")
    base = Artifact(
        name=name,
        path=f"{name}.{precision}.{form}",
        format=form,
        precision=precision,
        sha256="ab" * 32,
        size_bytes=size_bytes,
        inputs=(tensor,),
        outputs=(TensorSpec("logits", (-1, 10), "float32", Quantization(0.1, 3)),),
        source=SourceRecord("model.py:build", "torch", "cd" * 32, "student.safetensors", "ef" * 32),
        preprocessing=Preprocessing(scale=1 / 16, mean=(0.5,), std=(0.25,), layout=Layout.NCHW),
        steps=("torch.onnx.export(dynamo=True), opset 18", "quantize_static QDQ, per channel"),
        calibration=CalibrationRecord("pipeline:calibration", "12" * 32, 256, "min-max")
        if precision is Precision.W8A8
        else None,
        parity=Parity("pipeline:calibration", 64, 0.0132, 0.99987, 36.1, 1.0),
        versions={"onnx": "1.19.0", "torch": "2.13.0"},
    )
    return replace(base, **changes)


def sessions(count: int, calls: int, stem: str, definition: Timing, **changes: Any) -> tuple[Session, ...]:
    """Return `count` sessions whose start costs differ a little."""
    return tuple(
        replace(
            Session(
                index=index,
                started_utc=f"2026-01-02T03:0{index}:00Z",
                load_ns=(4 + index) * MS,
                first_ns=2 * MS + index * 10_000,
                peak_rss_bytes=64_000_000 + 100_000 * index,
                model_rss_bytes=9_000_000,
                calls=calls,
                warmup_calls=20,
                samples=f"samples/{stem}.s{index}.parquet",
                timing=definition,
            ),
            **changes,
        )
        for index in range(count)
    )


def latencies(
    p50_ms: float, n: int = 600, count: int = 3, seed: int = 0, spread: float = 0.05
) -> LatencySamples:
    """Return log-normal timings around a median, split evenly over the sessions."""
    rng = np.random.default_rng(seed)
    values = (p50_ms * MS * rng.lognormal(0, spread, n)).astype(np.int64)
    return LatencySamples(values, np.repeat(np.arange(count), n // count), values[:20] * 2)


def answers(n: int, wrong: Sequence[int] = (), classes: int = 10) -> Answers:
    """Return answers that are right but for the samples in `wrong`, which get the next class."""
    labels = np.arange(n, dtype=np.int64) % classes
    best = labels.copy()
    best[list(wrong)] = (best[list(wrong)] + 1) % classes
    logits: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[best] * 5
    return Answers(logits, labels)


@dataclass
class Run:
    """Evidence with the samples and answers that belong to it."""

    evidence: Evidence
    samples: Mapping[tuple[str, str], LatencySamples]
    answers: Mapping[tuple[str, str], Answers]


@dataclass
class Builder:
    """Collects measurements into a run."""

    name: str = "digits"
    baseline: str | None = None
    measurements: list[Measurement] = field(default_factory=list)
    samples: dict[tuple[str, str], LatencySamples] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answers] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def add(
        self,
        made: Artifact,
        timed: LatencySamples | None = None,
        answered: Answers | None = None,
        device: DeviceFacts = DEVICE,
        **changes: Any,
    ) -> Builder:
        """Add a measured artifact; the first fp32 one becomes the baseline."""
        runtime = "onnxruntime" if made.format is Format.ONNX else "litert"
        count = 0 if timed is None else len(np.unique(timed.session))
        calls = 0 if timed is None else len(timed.latency_ns) // max(count, 1)
        record = (
            None
            if answered is None
            else AccuracyRecord(
                data="pipeline:evaluation",
                fingerprint="34" * 32,
                samples=len(answered.labels),
                classes=answered.logits.shape[1],
                outputs=f"outputs/{made.id}.npz",
            )
        )
        base = Measurement(made, device, sessions(count, calls, made.id, timing(runtime)), record)
        self.measurements.append(replace(base, **changes))
        key = (made.id, device.uri)
        if timed is not None:
            self.samples[key] = timed
        if answered is not None:
            self.answers[key] = answered
        if self.baseline is None and made.precision is Precision.FP32:
            self.baseline = made.id
        return self

    def run(self, **changes: Any) -> Run:
        """Return the run."""
        evidence = Evidence(
            name=self.name,
            created_utc="2026-01-02T03:04:05Z",
            tool_version="0.1.0",
            measurements=tuple(self.measurements),
            baseline=self.baseline,
            skipped=self.skipped,
            seed=7,
            environment={"python": "3.11.7", "onnxruntime": "1.32.0", "ai-edge-litert": "2.3.0"},
            notes=self.notes,
        )
        return Run(replace(evidence, **changes), self.samples, self.answers)


def digits(name: str = "digits", *, w8a8_ms: float = 0.09, wrong: int = 12) -> Builder:
    """Return six artifacts as the demo makes them: two formats at three precisions."""
    builder = Builder(name)
    builder.skipped = (Skipped(Format.TENSORRT, Precision.W8A8, "no NVIDIA GPU on this machine"),)
    sizes = {Precision.FP32: 652_000, Precision.FP16: 331_000, Precision.W8A8: 175_000}
    times = {Precision.FP32: 0.21, Precision.FP16: 0.24, Precision.W8A8: w8a8_ms}
    for form in (Format.ONNX, Format.TFLITE):
        for precision, size in sizes.items():
            missed = range(wrong - 2 if precision is not Precision.W8A8 else wrong)
            factor = 1.0 if form is Format.ONNX else 0.8
            builder.add(
                artifact(name, precision, form, int(size * factor)),
                latencies(times[precision] * factor, seed=size + len(form)),
                answers(540, [7 * i for i in missed]),
            )
    return builder
