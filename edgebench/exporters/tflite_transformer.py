"""How a TFLite transformer becomes w8a8: products alone, with ranges that are found at run time."""

from __future__ import annotations

from typing import Any

from edgebench.artifact import TensorIo
from edgebench.calibration.attention_masks import softmaxes, tflite_steps
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.quantizers import QuantizationJob


def is_transformer(job: QuantizationJob) -> bool:
    """Whether the file is a transformer for a processor that computes in float too.

    Its products take int8 activations with a range for each token, found at run time, and give floats: one
    fixed range for what all tokens give, as TFLite's static products want it, loses most of the answer.
    Who asks for int8 inputs and outputs has a device that knows nothing else.
    """
    steps = tflite_steps(TfliteGraph(job.base.read_bytes()))
    return job.io is TensorIo.FLOAT and bool(softmaxes(steps))


def load_recipe(tool: Any) -> None:
    """Let ai-edge-quantizer make the products and the lookups int8, ranges at run time."""
    from ai_edge_quantizer import recipe

    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())


PRODUCTS = "products of int8 activations, ranges per token at run time, and int8 weights per channel"
REST = "in float: all of the transformer but products with constants"
"""What is done to a transformer, in words for the manifest."""


def static_recipe() -> list[dict[str, Any]]:
    """Return ai-edge-quantizer's recipe of fixed ranges, with int8 tables to look up in, which it lacks."""
    from ai_edge_quantizer import qtyping, recipe

    lookups = {**recipe.dynamic_wi8_afp32()[0], "operation": qtyping.TFLOperationName.EMBEDDING_LOOKUP}
    return [*recipe.static_wi8_ai8(), lookups]
