"""The bound on memory: kept, or refused with what is needed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgebench.calibration.memory import bins_within, needed_bytes, parse_memory
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import observe
from edgebench.calibration.watch import Watchable, watch
from edgebench.errors import ConfigError, InputError

GRAPH = Watchable(
    tuple(f"t{i}" for i in range(100)), (2048,) * 100, 5_000_000, lambda _: np.zeros(1, np.float32)
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("300MB", 300_000_000), ("1GiB", 2**30), ("0.5 GB", 500_000_000), ("7kb", 7000), (None, None)],
)
def test_amounts_of_memory(text: str | None, amount: int | None) -> None:
    """Decimal and binary units, in any case, with a fraction or not."""
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "300", "lots", "-3MB", "0MB", "3TB", "ib"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """The option and an example stand in the refusal."""
    with pytest.raises(ConfigError, match="--max-calib-memory") as caught:
        parse_memory(text)
    assert "300MB" in str(caught.value)


def test_bins_are_halved_until_they_fit() -> None:
    """Without a bound 4,096; with less room fewer, and what they need is within the bound."""
    assert bins_within(None, GRAPH, 4, "g") == 4096
    for bins in (4096, 2048, 1024, 512):
        limit = needed_bytes(GRAPH, bins, 4)
        assert bins_within(limit, GRAPH, 4, "g") == bins


def test_too_little_is_refused_with_what_is_needed() -> None:
    """Below 512 bins nothing is watched; the hint's amount is one that suffices."""
    with pytest.raises(InputError, match="too little for the onnx graph: 100 tensors") as caught:
        bins_within(10**6, GRAPH, 4, "the onnx graph")
    needed = parse_memory((caught.value.hint or "").split()[1].rstrip(","))
    assert bins_within(needed, GRAPH, 4, "the onnx graph") == 512


@pytest.mark.parametrize("bins", [4096, 512])
def test_what_is_allocated_stays_within_what_is_said(bins: int) -> None:
    """Watching 300 tensors of 2,048 values and finding ranges takes no more than was computed before."""
    count, folds = 300, 4
    values = np.random.default_rng(0).normal(size=count * 2048).astype(np.float32)
    names = tuple(map(str, range(count)))
    graph = Watchable(names, (2048,) * count, count * 2048, lambda _: values.copy())
    tracemalloc.start()
    try:
        watched = watch(graph, [[]] * 12, bins=bins, folds=folds)
        for name in names[:20]:
            for part in (watched.whole(name), *watched.subsets(name)):
                observe(part, Method.MSE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.6 * needed_bytes(graph, bins, folds) < peak < needed_bytes(graph, bins, folds)
