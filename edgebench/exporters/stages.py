"""The parts of an export that run in worker processes: plain data in, plain data out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, Precision
from edgebench.exporters.converters import CONVERTERS, ConversionJob
from edgebench.exporters.quantizers import QUANTIZERS, QuantizationJob
from edgebench.storage import from_plain, to_plain


def convert(arguments: dict[str, Any]) -> Any:
    """Write the fp32 file of a conversion. arguments: job, format. Returns a ConversionResult, plain."""
    job = from_plain(ConversionJob, arguments["job"], what="conversion")
    return to_plain(named_function(CONVERTERS[job.source.kind, Format(arguments["format"])])(job))


def calibrate(arguments: dict[str, Any]) -> Any:
    """Return the ranges of a graph's tensors: Ranges, plain. arguments: job."""
    from edgebench.exporters.graph_ranges import RangesJob, find_ranges

    return to_plain(find_ranges(from_plain(RangesJob, arguments["job"], what="calibration")))


def quantize(arguments: dict[str, Any]) -> Any:
    """Write one other precision. arguments: job, format. Returns a QuantizationResult, plain."""
    job = from_plain(QuantizationJob, arguments["job"], what="quantization")
    return to_plain(named_function(QUANTIZERS[Format(arguments["format"])])(job))


def describe(arguments: dict[str, Any]) -> Any:
    """Return the Description, plain, of a model file. arguments: path, format."""
    from edgebench.exporters import inspect

    return to_plain(inspect.describe(Path(arguments["path"]), Format(arguments["format"])))


def verify(arguments: dict[str, Any]) -> Any:
    """Return description, parity and notes, plain, of an artifact.

    arguments: path, format, precision, samples and reference (npz files), data (the samples' name). Parity
    is None where no output can be compared. Raises ExportError where the outputs are wrong.
    """
    import numpy as np

    from edgebench.exporters import inspect, parity
    from edgebench.exporters.samples import read_samples

    path, fmt = Path(arguments["path"]), Format(arguments["format"])
    with np.load(arguments["reference"], allow_pickle=False) as stored:
        reference = [stored[f"out_{index}"] for index in range(len(stored.files))]
    given = parity.answers(path, fmt, read_samples(Path(arguments["samples"])))
    precision = Precision(arguments["precision"])
    figures, notes = parity.against_source(arguments["data"], precision, reference, given)
    return to_plain({"description": inspect.describe(path, fmt), "parity": figures, "notes": notes})


def named_function(name: str) -> Any:
    """Return the function that `package.module:function` names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
