"""Converting Keras models in tests: small ones are saved, converted and run in their runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.artifact import Format
from edgebench.exporters import keras_source, parity
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.inspect import Description, describe
from edgebench.exporters.samples import read_samples
from edgebench.exporters.source import open_source

FORMATS = [Format.TFLITE, Format.ONNX]
CONVERT = {Format.TFLITE: keras_source.to_tflite, Format.ONNX: keras_source.to_onnx}
NEAR = 1e-4


def framework(name: str) -> Any:
    """Return TensorFlow, Keras 3 or tf_keras; skip, saying how to enable, where it is absent."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    return pytest.importorskip(name, reason="needs TensorFlow: pip install 'edgebench[tensorflow]'")


@dataclass(frozen=True)
class Made:
    """An artifact: what it says of itself, what it answers, and what its source answered."""

    description: Description
    given: Sequence[np.ndarray]
    reference: Sequence[np.ndarray]
    result: ConversionResult

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """Names of inputs and of outputs, in order."""
        return [i.name for i in self.description.inputs], [o.name for o in self.description.outputs]

    @property
    def error(self) -> float:
        """The largest difference between artifact and source, over all outputs."""
        pairs = zip(self.given, self.reference, strict=True)
        return max(float(np.abs(given - wanted).max()) for given, wanted in pairs)


def convert(
    model: Path, fmt: Format, folder: Path, samples: Sequence[np.ndarray] = (), shapes: Any = ()
) -> Made:
    """Convert a source and run the artifact in its runtime on the samples."""
    out, file = folder / f"m.{fmt}", None
    if samples:
        file = folder / "samples.npz"
        np.savez(file, **{f"in_{index}": array for index, array in enumerate(samples)})
    result = CONVERT[fmt](ConversionJob(open_source(str(model), input_shapes=shapes), out, file))
    assert result.reference is not None
    with np.load(result.reference) as stored:
        reference = [stored[f"out_{index}"] for index in range(len(stored.files))]
    return Made(describe(out, fmt), parity.answers(out, fmt, read_samples(result.samples)), reference, result)


def saved(model: Any, path: Path) -> Path:
    """Save a Keras model in the form that the path's ending asks for."""
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


def normal(*shape: int) -> np.ndarray:
    """Return reproducible normal numbers, float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def linear(library: Any, width: int = 3) -> Any:
    """Return one dense layer on 4 numbers, as a model of keras or tf_keras."""
    return library.Sequential([library.Input((4,)), library.layers.Dense(width, name="d")])
