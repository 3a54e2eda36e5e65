"""The ranges of some of an ONNX graph's tensors, watched anew after a pass has changed them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    Array = NDArray[np.generic]


def measured_ranges(
    model: ModelProto, names: Sequence[str], samples: Iterable[list[Array]], method: Method
) -> dict[str, Range]:
    """Return the ranges of some of a graph's float tensors over the samples."""
    import onnx

    from edgebench.calibration.watch import watch_onnx

    if not names:
        return {}
    with tempfile.TemporaryDirectory(prefix="edgebench-ranges-") as folder:
        path = Path(folder) / "watched.onnx"
        onnx.save(model, path)
        values = watch_onnx(path, samples, exact=method.exact)
    return {name: observe(values[name], method) for name in names}
