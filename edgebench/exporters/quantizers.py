"""Which function makes an fp32 file smaller: names only, so that listing them loads nothing.

Each function takes a QuantizationJob, writes `job.out`, and returns a QuantizationResult. It runs in a
worker process. To add one, write its file and its line here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.calibration.observers import Range
from edgebench.calibration.recipe import ALL_PASSES, Pass
from edgebench.calibration.table import GraphTable
from edgebench.calibration.target import Target
from edgebench.errors import ExportError

_ROOM = 2.0


@dataclass(frozen=True, slots=True)
class QuantizationJob:
    """One fp32 file to one other precision.

    table: the ranges of the tensors of `base`; None where the precision needs none. io: what a TFLite
    file takes and gives. target: whose arithmetic the file is made for. samples: the folder of a
    SampleStore that weights are rounded by; None rounds each to the nearest integer. method: how ranges
    beside the table's are found. floats: layers that stay float, by the tensor of `base` that they give.
    keep: a folder for what does not depend on `floats`, from one job to the next of the same kind; or None.
    passes: what prepares the graph for w8a8.
    """

    base: Path
    out: Path
    precision: Precision
    target: Target
    table: GraphTable | None = None
    io: TensorIo = TensorIo.FLOAT
    samples: Path | None = None
    method: Method = DEFAULT_METHOD
    floats: tuple[str, ...] = ()
    keep: Path | None = None
    passes: frozenset[Pass] = ALL_PASSES


@dataclass(frozen=True, slots=True)
class QuantizationResult:
    """What was done, in words for the manifest. notes: what the user has to be told.

    target: whose arithmetic the file is made for; None where the job's target changes nothing.
    """

    steps: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    target: Target | None = None


def activation_ranges(job: QuantizationJob) -> dict[str, Range]:
    """Return the range of every tensor that a job's activations are quantized over.

    8 bits: what the table says. 16 bits: twice the extremes that were seen, since 65,536 steps are so many
    that half of them may wait for values that calibration did not meet. Raises ExportError without a table.
    """
    if job.table is None:
        raise ExportError(f"{job.precision} needs the ranges of the activations")
    tensors = job.table.tensors
    if job.precision is Precision.W8A16:
        return {
            name: Range(_ROOM * min(t.lowest, 0.0), _ROOM * max(t.highest, 0.0))
            for name, t in tensors.items()
        }
    return {name: tensor.range for name, tensor in tensors.items()}


QUANTIZERS: dict[Format, str] = {
    Format.ONNX: "edgebench.exporters.quantize_onnx:quantize",
    Format.TFLITE: "edgebench.exporters.quantize_tflite:quantize",
}
