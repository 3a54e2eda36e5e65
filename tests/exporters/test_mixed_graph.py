"""The graph of the search: what layers cost, and which operators follow float layers."""

from __future__ import annotations

from edgebench.exporters.mixed_graph import LayerGraph, Operator


def graph(*operators: tuple[str, str, int]) -> LayerGraph:
    """Return a graph of operators `inputs`, `output`, multiplications; inputs with spaces."""
    return LayerGraph(
        tuple(Operator("any", tuple(read.split()), (given,), work) for read, given, work in operators)
    )


RESIDUAL = graph(("x", "a", 10), ("a", "b", 30), ("a b", "sum", 0), ("sum", "relu", 0), ("relu", "c", 60))


def test_the_cost_is_a_share_of_the_multiplications() -> None:
    """Two layers of ten and thirty among a hundred are 40 %."""
    assert RESIDUAL.layers == ("a", "b", "c")
    assert RESIDUAL.share(["a", "b"]) == 0.4


def test_what_follows_nothing_but_float_layers_is_float() -> None:
    """An addition is float when both layers that it adds are; what it feeds too, up to the next layer."""
    assert RESIDUAL.floats(["a"]) == ("a",)
    assert RESIDUAL.floats(["a", "b"]) == ("a", "b", "sum", "relu")
    assert RESIDUAL.floats([]) == ()


def test_a_layer_that_is_float_anyway_is_no_choice() -> None:
    """A fixed layer costs nothing extra, cannot be chosen, and counts as float for what follows it."""
    fixed = LayerGraph((Operator("any", ("x",), ("a",), 10, fixed=True), *RESIDUAL.operators[1:]))
    assert fixed.layers == ("b", "c")
    assert fixed.floats([]) == ()
    assert fixed.floats(["b"]) == ("b", "sum", "relu")
