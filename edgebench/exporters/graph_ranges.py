"""The ranges of one fp32 graph's tensors; runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebench.artifact import Format, TensorSpec
from edgebench.calibration.channels import CHANNEL_BINS, Channels, Choose, no_channels
from edgebench.calibration.histogram import Distribution
from edgebench.calibration.memory import bins_within, channels_within, needed_bytes
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe
from edgebench.calibration.samples import SampleStore
from edgebench.calibration.table import ChannelStatistics, GraphTable, TensorStatistics
from edgebench.calibration.watch import Watchable, Watched, open_onnx, open_tflite, watch
from edgebench.errors import DataError
from edgebench.exporters.graph_hash import graph_sha256
from edgebench.exporters.range_notes import range_notes
from edgebench.exporters.samples import check_fit

FOLDS = 4
"""Parts of the samples that are left out in turn: enough to see an odd part, at four times the counts."""


@dataclass(frozen=True, slots=True)
class RangesJob:
    """One graph to watch. samples: a SampleStore's folder. names, numbers: of the data's arrays, samples.

    stability: also find how far ranges move as parts of the samples are left out. memory_bytes: a bound
    on what is needed beyond the model; None for none. per_channel: watch channels too.
    """

    base: Path
    runtime: Format
    samples: Path
    method: Method
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    stability: bool = False
    memory_bytes: int | None = None
    per_channel: bool = False


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
    graph = opened(no_channels)
    folds = FOLDS if job.stability else 1
    bins = bins_within(job.memory_bytes, graph, folds, f"the {job.runtime} graph")
    room = _Room(None if job.memory_bytes is None else job.memory_bytes - needed_bytes(graph, bins, folds))
    if job.per_channel:
        graph = opened(room.choose)
    watched = watch(graph, samples, bins=bins, channel_bins=room.bins, folds=folds, numbers=job.numbers)
    tensors = {name: _statistics(watched, name, job.method) for name in watched.names}
    tensors |= {name: tensors[other] for name, other in watched.same_as.items()}
    channel_bins = room.bins if graph.channels else None
    table = GraphTable(job.runtime, graph_sha256(job.base, job.runtime), bins, tensors, channel_bins)
    notes = (*guessed, *range_notes(table, watched.names, room.left, len(samples)))
    return Ranges(table, tuple(f"{job.runtime}: {note}" for note in notes))


@dataclass(slots=True)
class _Room:
    """How many bytes channels may take, None for any number. left: tensors that were too many for it."""

    bytes: int | None
    bins: int = CHANNEL_BINS
    left: tuple[str, ...] = ()

    def choose(self, found: Mapping[str, Channels]) -> Mapping[str, Channels]:
        """Return what fits, and remember what does not."""
        chosen, self.bins = channels_within(self.bytes, found)
        self.left = tuple(name for name in found if name not in chosen)
        return chosen


_Opened = tuple[Callable[[Choose], Watchable], tuple[TensorSpec, ...]]


def _open_onnx(job: RangesJob, samples: SampleStore) -> _Opened:
    from edgebench.exporters.onnx_file import open_session, session_specs
    from edgebench.exporters.onnx_prepared import prepared

    model = prepared(job.base)
    inputs = session_specs(open_session(model, model.name).get_inputs())
    first, exact = next(iter(samples)), job.method.exact
    return lambda choose: open_onnx(model, first, exact=exact, choose=choose), inputs


def _open_tflite(job: RangesJob, samples: SampleStore) -> _Opened:
    from edgebench.exporters.tflite_file import open_interpreter, tensor_specs

    del samples
    inputs = tensor_specs(open_interpreter(job.base, str(job.base)))[0]
    return lambda choose: open_tflite(job.base, exact=job.method.exact, choose=choose), inputs


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
        channels=_channels(watched, name, method),
    )


def _channels(watched: Watched, name: str, method: Method) -> ChannelStatistics | None:
    if watched.by_channel is None or name not in watched.by_channel.tensors:
        return None
    seen = list(watched.by_channel.distributions(name))
    spreads = watched.by_channel.spreads(name)
    return ChannelStatistics(
        axis=watched.by_channel.tensors[name].axis,
        ranges=tuple(observe(values, method) for values in seen),
        lowest=tuple(values.lowest for values in seen),
        highest=tuple(values.highest for values in seen),
        spread=() if spreads is None else tuple(spreads.tolist()),
    )


def _zeros(values: Distribution) -> float:
    return values.zeros / max(values.total, 1)


def _spread(found: Range, subsets: Sequence[Range]) -> float:
    """Return how far the ends lie apart over the subsets, as a share of the range's width."""
    width = found.highest - found.lowest
    ends = ([part.lowest for part in subsets], [part.highest for part in subsets])
    moved = max(max(end) - min(end) for end in ends)
    return moved / width if width else 0.0
