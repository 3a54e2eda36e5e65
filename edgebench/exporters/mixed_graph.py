"""A graph as the search for float layers sees it: operators, what their weights cost, who follows whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edgebench.artifact import Format

Sources = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator. inputs, outputs: tensors that are computed. multiplications: by its weights, 0 without.

    fixed: the quantizer leaves it in float whatever it is told.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    multiplications: int
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """The operators of a graph in an order in which they can be computed."""

    operators: tuple[Operator, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The operators with weights that are int8 unless told otherwise, by the tensor that each gives."""
        return tuple(op.outputs[0] for op in self.operators if op.multiplications and not op.fixed)

    def share(self, layers: Collection[str]) -> float:
        """Return the layers' share of all multiplications by weights, 0–1."""
        total = sum(op.multiplications for op in self.operators)
        return sum(op.multiplications for op in self.operators if op.outputs[0] in layers) / max(total, 1)

    def floats(self, layers: Collection[str]) -> tuple[str, ...]:
        """Return the tensors of the layers, and of the operators that follow nothing but float ones.

        An addition between two float layers would otherwise quantize what they give.
        """
        sources = self._sources()
        free = frozenset(layers) | {op.outputs[0] for op in self.operators if op.fixed}
        return tuple(
            op.outputs[0]
            for op in self.operators
            if op.outputs[0] in layers
            or (not op.multiplications and (own := sources[op.outputs[0]]) <= free and own & set(layers))
        )

    def _sources(self) -> Sources:
        """Return, for each tensor, the nearest layers that it is computed from; itself where it is one."""
        sources: Sources = {}
        for op in self.operators:
            above = frozenset().union(*(sources.get(name, frozenset()) for name in op.inputs))
            own = frozenset(op.outputs[:1]) if op.multiplications else above
            sources |= dict.fromkeys(op.outputs, own)
        return sources


READERS = {
    Format.ONNX: "edgebench.exporters.mixed_onnx:read_graph",
    Format.TFLITE: "edgebench.exporters.mixed_tflite:read_graph",
}
"""Which function reads the fp32 file of a QuantizationJob as a LayerGraph."""
