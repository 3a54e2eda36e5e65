"""The ranges of one fp32 graph's tensors; runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebench.artifact import Format, TensorSpec
from edgebench.calibration.histogram import Distribution
from edgebench.calibration.memory import bins_within
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe
from edgebench.calibration.samples import SampleStore
from edgebench.calibration.table import GraphTable, TensorStatistics
from edgebench.calibration.watch import Watchable, Watched, open_onnx, open_tflite, watch
from edgebench.errors import DataError
from edgebench.exporters.graph_hash import graph_sha256
from edgebench.exporters.samples import check_fit

FOLDS = 4
"""Parts of the samples that are left out in turn: enough to see an odd part, at four times the counts."""
UNSTEADY = 0.25
"""Spread of a range from which a note is made of it."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class RangesJob:
    """One graph to watch. samples: a SampleStore's folder. names, numbers: of the data's arrays, samples.

    stability: also find how far ranges move as parts of the samples are left out. memory_bytes: a bound
    on what is needed beyond the model; None for none.
    """

    base: Path
    runtime: Format
    samples: Path
    method: Method
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    stability: bool = False
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Ranges:
    """A graph's table, and what the user has to be told."""

    table: GraphTable
    notes: tuple[str, ...]


def find_ranges(job: RangesJob) -> Ranges:
    """Return the range of every float tensor of a graph.

    Raises DataError where the samples do not fit the graph or a value is NaN, ModelError where the graph is
    already quantized, InputError where the memory does not suffice.
    """
    samples = SampleStore(job.samples)
    opened, inputs = _OPENERS[job.runtime](job, samples)
    guessed = _check_samples(samples, inputs, job.names)
    graph = opened()
    folds = FOLDS if job.stability else 1
    bins = bins_within(job.memory_bytes, graph, folds, f"the {job.runtime} graph")
    watched = watch(graph, samples, bins=bins, folds=folds, numbers=job.numbers)
    tensors = {name: _statistics(watched, name, job.method) for name in watched.names}
    tensors |= {name: tensors[other] for name, other in watched.same_as.items()}
    table = GraphTable(job.runtime, graph_sha256(job.base, job.runtime), bins, tensors)
    notes = (*guessed, *_notes(table, watched))
    return Ranges(table, tuple(f"{job.runtime}: {note}" for note in notes))


_Opened = tuple[Callable[[], Watchable], tuple[TensorSpec, ...]]


def _open_onnx(job: RangesJob, samples: SampleStore) -> _Opened:
    from edgebench.exporters.onnx_file import open_session, session_specs
    from edgebench.exporters.onnx_prepared import prepared

    model = prepared(job.base)
    inputs = session_specs(open_session(model, model.name).get_inputs())
    return lambda: open_onnx(model, next(iter(samples)), exact=job.method.exact), inputs


def _open_tflite(job: RangesJob, samples: SampleStore) -> _Opened:
    from edgebench.exporters.tflite_file import open_interpreter, tensor_specs

    del samples
    inputs = tensor_specs(open_interpreter(job.base, str(job.base)))[0]
    return lambda: open_tflite(job.base, exact=job.method.exact), inputs


_OPENERS = {Format.ONNX: _open_onnx, Format.TFLITE: _open_tflite}


def _check_samples(
    samples: SampleStore, inputs: Sequence[TensorSpec], names: Sequence[str]
) -> tuple[str, ...]:
    """Return what was guessed of which array is which input, in words; nothing where their names tell.

    Raises DataError where the data's arrays are not the model's inputs, or in another order.
    """
    check_fit([np.empty((0, *shape), dtype) for shape, dtype in samples.specs], inputs)
    wanted = [spec.name for spec in inputs]
    pairs = list(zip(names, wanted, strict=False))
    if any(name in wanted and name != own for name, own in pairs):
        raise DataError(
            f"the data's arrays are in the order {', '.join(names)}, the model takes {', '.join(wanted)}",
            hint="write them in the model's order",
        )
    if len(pairs) > 1 and all(name != own for name, own in pairs):
        return (f"the data's arrays {', '.join(names)} are taken for the inputs {', '.join(wanted)}",)
    return ()


def _statistics(watched: Watched, name: str, method: Method) -> TensorStatistics:
    whole = watched.whole(name)
    found = observe(whole, method)
    subsets = [observe(part, method) for part in watched.subsets(name)]
    return TensorStatistics(
        range=found,
        lowest=whole.lowest,
        highest=whole.highest,
        zeros=_zeros(whole),
        values=whole.total,
        spread=_spread(found, subsets) if subsets else None,
    )


def _zeros(values: Distribution) -> float:
    return values.zeros / max(values.total, 1)


def _spread(found: Range, subsets: Sequence[Range]) -> float:
    """Return how far the ends lie apart over the subsets, as a share of the range's width."""
    width = found.highest - found.lowest
    ends = ([part.lowest for part in subsets], [part.highest for part in subsets])
    moved = max(max(end) - min(end) for end in ends)
    return moved / width if width else 0.0


def _notes(table: GraphTable, watched: Watched) -> list[str]:
    notes = []
    zero = [name for name in watched.names if table.tensors[name].zeros == 1.0]
    if zero:
        notes.append(f"always zero on the calibration samples: {_some(zero)}")
    unsteady = [
        (name, spread) for name, spread in table.least_steady(len(watched.names)) if spread > UNSTEADY
    ]
    if unsteady:
        named = _some([f"{name} ({spread:.0%})" for name, spread in unsteady])
        notes.append(f"ranges move much as a quarter of the samples is left out, take more: {named}")
    return notes


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
