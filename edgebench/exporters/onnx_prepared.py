"""An fp32 ONNX file as it is watched and quantized: shapes inferred, batch normalization folded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.errors import ModelError

if TYPE_CHECKING:
    import onnx

_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")


def prepared(base: Path) -> Path:
    """Return the prepared file beside `base`, made where it is not there yet.

    Its tensors are those that a calibration table names. Raises ModelError where `base` is quantized
    already.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgebench.calibration.passes.constants import fit_constants

    path = base.with_name(f"{base.stem}.prepared.onnx")
    if not path.exists():
        refuse_quantized(onnx.load(base, load_external_data=False))
        temporary = base.with_name(f"{base.stem}.part.onnx")
        quant_pre_process(str(base), str(temporary), skip_symbolic_shape=True)
        network = fit_constants(onnx.load(temporary))
        _name_nodes(network)
        onnx.save(network, temporary)
        temporary.replace(path)
    return path


def _name_nodes(network: onnx.ModelProto) -> None:
    """Give each node a name of its own, by which a quantizer can leave it out; ONNX asks for none."""
    taken: set[str] = set()
    for place, node in enumerate(network.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{place}_{next(iter(node.output), '')}"
        taken.add(node.name)


def refuse_quantized(network: onnx.ModelProto, what: str = "the model") -> None:
    """Raise ModelError where a graph computes with integers that stand for real numbers."""
    kinds = [node.op_type for node in network.graph.node]
    found = [kind for kind in kinds if kind in _QUANTIZED or kind.startswith("QLinear") or "Integer" in kind]
    if found:
        named = ", ".join(dict.fromkeys(found))
        raise ModelError(
            f"{what} is already quantized: {len(found)} of its {len(kinds)} operators are {named}",
            hint="edgebench benchmark measures it as it is; to quantize anew, export the float model",
        )
