"""The parts of a ladder that look into files; run in worker processes: plain data in, plain data out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench.artifact import Format
from edgebench.exporters.samples import read_samples
from edgebench.storage import to_plain


def anatomy(arguments: dict[str, Any]) -> Any:
    """Return the Anatomy, plain, of a quantized file beside an fp32 one of its format.

    arguments: path, fp32 (null where there is none), format, samples (npz of in_0, …).
    """
    from edgebench.ladder.onnx_layers import onnx_anatomy
    from edgebench.ladder.tflite_layers import tflite_anatomy

    look = {Format.ONNX: onnx_anatomy, Format.TFLITE: tflite_anatomy}[Format(arguments["format"])]
    fp32 = Path(arguments["fp32"]) if arguments["fp32"] else None
    return to_plain(look(fp32, Path(arguments["path"]), read_samples(Path(arguments["samples"]))))
