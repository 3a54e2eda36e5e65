"""What a ladder found, rung by rung, tensor by tensor, and what is to blame. JSON.

Schema history: 1, the first.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgebench.datasets import Preprocessing

SCHEMA = 1


class Step(enum.StrEnum):
    """The rungs, from the top down."""

    FRAMEWORK = "framework fp32"
    EXPORTED = "exported fp32"
    QUANTIZED = "quantized, reference"
    TARGET = "target runtime"
    DECLARED = "as declared"
    """The target runtime on inputs preprocessed as the artifact's own manifest says."""


class Cause(enum.StrEnum):
    """What a loss is the fault of."""

    NONE = "none"
    PREPROCESSING = "preprocessing"
    CONVERSION = "conversion"
    QUANTIZATION = "quantization"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to compute the answers, compared with the rung above on the same samples.

    accuracy: top-1, 0–1; None without labels or classes. drop: how much of it the rung above has more.
    p_value: of the drop, exact McNemar, one-sided. agreement, churn: share of samples whose best class
    is, is not, the same. sqnr_db: 10·log10(signal/error), None where the error is exactly zero, or on
    the first rung. problem: why the answers cannot be compared.
    """

    step: Step
    runtime: str
    accuracy: float | None = None
    drop: float | None = None
    p_value: float | None = None
    agreement: float | None = None
    churn: float | None = None
    sqnr_db: float | None = None
    max_abs_error: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One tensor of the fp32 artifact beside the same tensor of the quantized one, in execution order.

    operator, node: what makes it in the fp32 file. accumulated_db: SQNR with all that happened before
    it. alone_db: SQNR of this layer by itself, on fp32 inputs; None where it cannot be run so. Both
    are 200 where there is no error. added: share of noise in its power that its inputs did not have,
    0 or more.
    """

    tensor: str
    operator: str
    node: str
    accumulated_db: float
    alone_db: float | None
    max_abs_error: float
    added: float


@dataclass(frozen=True, slots=True)
class RangeFit:
    """What the quantized file's input can hold beside what the samples hold, in the model's unit.

    clipped: share of the inputs' values outside. used: share of the range that the inputs span. like:
    the preprocessing, in words, that would fill the range; None where no simple one does.
    """

    tensor: str
    calibrated: tuple[float, float]
    seen: tuple[float, float]
    clipped: float
    used: float
    like: str | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor whose QuantizeLinear and DequantizeLinear differ in scale or zero point."""

    tensor: str
    quantize_scale: float
    dequantize_scale: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Another preprocessing, tried on the framework's model. p_value: of its gain, exact McNemar."""

    words: str
    preprocessing: Preprocessing
    accuracy: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the quantized file shows beside the fp32 one.

    wide_weights: whether int8 weights use more than 7 bits beside 8-bit activations.
    """

    layers: tuple[Layer, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    input_range: tuple[str, float, float] | None = None
    wide_weights: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blame:
    """The one rung that loses most, in a sentence, with what speaks for it. layer: the tensor's name."""

    cause: Cause
    sentence: str
    evidence: tuple[str, ...] = ()
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything that was found. samples: how many, of `data`; layer_samples: those of the layers."""

    model: str
    artifact: str
    data: str
    samples: int
    rungs: tuple[Rung, ...]
    blame: Blame
    layers: tuple[Layer, ...]
    layer_samples: int
    hypotheses: tuple[Hypothesis, ...]
    input_fit: RangeFit | None
    mismatches: tuple[Mismatch, ...]
    notes: tuple[str, ...]
    schema: int = SCHEMA
