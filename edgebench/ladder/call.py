"""The Python call behind `edgebench ladder`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.ladder.record import Ladder


def ladder(
    model: str,
    quantized: Path,
    *,
    data: str,
    fp32: Path | None = None,
    weights: Path | None = None,
    input_shape: Sequence[str] = (),
    preprocessing: str | None = None,
    samples: int = 200,
    device: str = "local:cpu",
    out: Path | None = None,
    progress: Progress = silent,
) -> Ladder:
    """Return where the accuracy of `quantized`, an artifact made of `model`, went.

    fp32: the fp32 artifact; None for the one beside `quantized`, else one made now. preprocessing: what
    the model takes; None for what the manifests say. out: a JSON file that gets the answer too. Raises
    InputError for a model, file or data that do not fit, DeviceError where the device fails.
    """
    from edgebench.config import parse_config
    from edgebench.datasets import Preprocessing, load_dataset
    from edgebench.exporters.source import open_source
    from edgebench.ladder.climb import LadderRequest, climb
    from edgebench.options import shape_of
    from edgebench.storage import write_json

    steps = parse_config(preprocessing, Preprocessing, name="--preprocessing") if preprocessing else None
    request = LadderRequest(
        source=open_source(model, weights=weights, input_shapes=[shape_of(text) for text in input_shape]),
        quantized=quantized,
        data=load_dataset(data, preprocessing=steps),
        fp32=fp32,
        preprocessing=steps,
        samples=samples,
        device=device,
    )
    found = climb(request, progress=progress)
    if out is not None:
        write_json(out, found)
    return found


def ladder_table(found: Ladder) -> str:
    """Return a ladder as text for a terminal."""
    from edgebench.ladder.text import ladder_text

    return ladder_text(found)
