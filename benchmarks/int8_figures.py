"""What int8_accuracy.py measures of a file, and the goals over all files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from bench import Goal

OURS = "edgebench"
CONFIDENCE = 0.95
OTHER_PRECISION = "w8a32"
"""Ends the names of peers that keep activations in float: they count on single models, not in the means."""
COARSER = "per tensor"
"""Ends the names of peers with one scale for all outputs of a layer, which need fewer bytes."""

_ROUNDS, _CALLS, _SECONDS = 7, 40, 0.5
_MEAN_CHURN, _DECIBELS, _SIZE = 0.7, 3.0, 0.30


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one int8 file beside fp32. drop: fp32's accuracy minus this one's, with its interval.

    churn: share of samples whose best class changes. latency, size: divided by fp32's. right: bool [N].
    """

    model: str
    runtime: str
    who: str
    accuracy: float
    drop: float
    interval: tuple[float, float]
    churn: float
    sqnr: float
    size: float
    latency: float
    right: np.ndarray


Run = Callable[[Sequence[np.ndarray]], np.ndarray]


def runner(path: Path) -> Run:
    """Return the file, opened on one thread, as a function of one sample's inputs [1, ...]."""
    return _onnx(path) if path.suffix == ".onnx" else _tflite(path)


def _onnx(path: Path) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(sample: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(session.run(None, dict(zip(names, sample, strict=True)))[0])

    return run


def _tflite(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details(), interpreter.get_output_details()[0]

    def run(sample: Sequence[np.ndarray]) -> np.ndarray:
        for detail, part in zip(given, sample, strict=True):
            interpreter.set_tensor(detail["index"], _stored(part, detail))
        interpreter.invoke()
        return _real(interpreter.get_tensor(taken["index"]), taken)

    return run


def _stored(sample: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if detail["quantization"][0] == 0:
        return sample.astype(detail["dtype"])  # float, or a text's tokens
    scale, zero = detail["quantization"]
    bounds = np.iinfo(detail["dtype"])
    return np.clip(np.rint(sample / scale) + zero, bounds.min, bounds.max).astype(detail["dtype"])


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if detail["dtype"] is np.float32:
        return np.array(values)
    scale, zero = detail["quantization"]
    return (values.astype(np.float32) - zero) * scale


def least_bytes(path: Path) -> int:
    """Return what an fp32 file's layers need in int8 whatever the format: weights, scales and biases.

    One byte a weight, and eight an output channel: of a scale in float32 and a bias in int32.
    """
    return sum(layer.outputs * (layer.windows.columns + 8) for layer in _layers(path))


def _layers(path: Path) -> Sequence[Any]:
    if path.suffix == ".onnx":
        import onnx

        from edgebench.calibration.passes.layers import layers

        return layers(onnx.load(path))
    from edgebench.calibration.passes.tflite_layers import layers as tflite_layers
    from edgebench.calibration.tflite_graph import TfliteGraph

    return tflite_layers(TfliteGraph(path.read_bytes()))


def answers(path: Path, feeds: Iterable[Sequence[np.ndarray]]) -> np.ndarray:
    """Return the scores of every sample, float64 [N, classes]."""
    run = runner(path)
    return np.concatenate([run(feed).reshape(1, -1) for feed in feeds]).astype(np.float64)


def latencies(paths: Sequence[Path], feed: Sequence[np.ndarray]) -> list[float]:
    """Return the seconds of a call of each file: the median of rounds in which they take turns."""
    runs = [runner(path) for path in paths]
    for run in runs:
        run(feed)
    rounds = [[_timed(run, feed) for run in runs] for _ in range(_ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def _timed(run: Run, feed: Sequence[np.ndarray]) -> float:
    """Return the seconds of a call: the mean of _CALLS, or of as many as half a second holds."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or (calls < _CALLS and time.perf_counter() - start < _SECONDS):
        run(feed)
        calls += 1
    return (time.perf_counter() - start) / calls


def row(place: tuple[str, str, str], labels: np.ndarray, scores: Sequence[np.ndarray], **more: float) -> Row:
    """Return the figures of one file. place: model, runtime, who. scores: of fp32 and of the file."""
    before, after = scores
    right_before, right = before.argmax(1) == labels, after.argmax(1) == labels
    noise = float(((before - after) ** 2).sum())
    return Row(
        *place,
        accuracy=float(right.mean()),
        drop=float(right_before.mean() - right.mean()),
        interval=difference(right_before, right),
        churn=float((before.argmax(1) != after.argmax(1)).mean()),
        sqnr=float(10 * np.log10((before**2).sum() / noise)) if noise else float("inf"),
        size=more["size"],
        latency=more["latency"],
        right=right,
    )


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the paired interval of first's accuracy minus second's."""
    from edgebench.benchmark.statistics import paired_difference_interval

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    found = paired_difference_interval(only_first, only_second, len(first), CONFIDENCE)
    return float(found.lower or 0.0), float(found.upper or 0.0)


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Return the goals of each runtime over its models, and those over all."""
    found = []
    for runtime in dict.fromkeys(r.runtime for r in rows):
        found += _runtime_goals(runtime, [r for r in rows if r.runtime == runtime])
    ours = [r for r in rows if r.who == OURS]
    worse = [(o, p) for o in ours for p in rows if _same(o, p) and difference(p.right, o.right)[0] > 0]
    beaten = [o.model for o in too_large(rows) if any(_comparable(o, p) and p.size < o.size for p in rows)]
    return [
        *found,
        Goal("peers significantly more accurate on a model", len(worse), "0", not worse),
        Goal(f"files over {_SIZE} of fp32, and larger than a peer's", len(beaten), "0", not beaten),
    ]


def too_large(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of edgebench's files that are larger than 0.30 of fp32.

    Of layers of few weights an output, as depthwise ones of nine, one byte a weight and eight an output
    are more than that already: 17 bytes of 40.
    """
    return [r for r in rows if r.who == OURS and r.size > _SIZE]


def _comparable(ours: Row, other: Row) -> bool:
    """Return whether another file has integers and scales as edgebench's has."""
    return _same(ours, other) and not other.who.endswith((OTHER_PRECISION, COARSER))


def _runtime_goals(runtime: str, rows: Sequence[Row]) -> list[Goal]:
    ours = {r.model: r for r in rows if r.who == OURS}
    others = [r for r in rows if r.who != OURS]
    beaten = [r.model for r in others if ours[r.model].churn > r.churn]
    found = [Goal(f"{runtime}: models where a peer churns less", len(set(beaten)), "0", not beaten)]
    churns, gains = [], []
    for who in dict.fromkeys(r.who for r in others if not r.who.endswith(OTHER_PRECISION)):
        theirs = [r for r in others if r.who == who]
        churns.append(_ratio(fmean(ours[r.model].churn for r in theirs), fmean(r.churn for r in theirs)))
        gains.append(fmean(ours[r.model].sqnr - r.sqnr for r in theirs))
    # A peer that refuses models is compared on those that it takes.
    churn, gain = max(churns), min(gains)
    name = f"{runtime}: mean churn / that of the best single peer"
    found.append(Goal(name, churn, f"<= {_MEAN_CHURN}", churn <= _MEAN_CHURN))
    name = f"{runtime}: mean SQNR above that of the best single peer, dB"
    return [*found, Goal(name, gain, f">= {_DECIBELS}", gain >= _DECIBELS)]


def _ratio(ours: float, theirs: float) -> float:
    if theirs:
        return ours / theirs
    return 0.0 if not ours else float("inf")


def _same(ours: Row, other: Row) -> bool:
    return other.who != OURS and (ours.model, ours.runtime) == (other.model, other.runtime)
