"""Compression steps on files: weights in, weights and a record out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgebench.errors import DataError, EdgebenchError, InputError, ModelError
from edgebench.storage import to_plain

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebench[torch]'")

from edgebench.compression import steps
from edgebench.compression.steps import StepJob
from edgebench.datasets import Layout, Preprocessing
from edgebench.torch_weights import read_weights

pytestmark = pytest.mark.torch

MODEL = """
import torch
def student():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
def teacher():
    layers = torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    return torch.nn.Sequential(torch.nn.Flatten(), *layers)
def three():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
def wide():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(99, 10))
def norms():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(64))
def image():
    return torch.nn.Conv2d(1, 10, 3)
class Wild(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) * 1e38 * 1e38
def wild():
    return Wild(64, 10)
def fails():
    raise RuntimeError("no weights today")
def number():
    return 7
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with scikit-learn's digits and networks for them."""
    datasets = pytest.importorskip("sklearn.datasets", reason="pip install 'edgebench[torch]'")
    folder = tmp_path_factory.mktemp("steps")
    digits = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = digits.images[order].astype(np.uint8)[..., None], digits.target[order]
    x, y = images[:600], labels[:600]
    np.savez(folder / "train.npz", x=x, y=y)
    np.savez(folder / "eval.npz", x=images[600:], y=labels[600:])
    np.savez(folder / "plain.npz", x=x)
    np.savez(folder / "two.npz", a=x, b=x, y=y)
    np.savez(folder / "eleven.npz", x=x, y=np.where(y == 9, 10, y))
    (folder / "model.py").write_text(MODEL)
    return folder


def job(base: Path, out: str = "w.safetensors", **changes: Any) -> dict[str, Any]:
    """Return a step's arguments as plain data, as a worker gets them."""
    settings: dict[str, Any] = {
        "model": "model.py:student",
        "base": str(base),
        "out": str(base / out),
        "data": "train.npz",
        "preprocessing": Preprocessing(scale=1 / 16, layout=Layout.NCHW),
        "epochs": 4,
    }
    plain: dict[str, Any] = json.loads(json.dumps(to_plain(StepJob(**{**settings, **changes}))))
    return plain


def test_the_way_from_teacher_to_pruned_student(base: Path) -> None:
    """Train, distil, prune and fine-tune, each from the files of the one before: 80 % on new scans."""
    taught = steps.train(job(base, "t.safetensors", model="model.py:teacher", epochs=30))
    assert taught["accuracy"] > 0.9
    made = steps.distil(
        job(
            base,
            "d.safetensors",
            epochs=30,
            teacher="model.py:teacher",
            teacher_weights=str(base / "t.safetensors"),
        )
    )
    assert made["teacher_accuracy"] == pytest.approx(taught["accuracy"])
    assert made["accuracy"] > 0.85
    pruned = steps.prune(job(base, "p.safetensors", weights=str(base / "d.safetensors"), sparsity=0.5))
    assert pruned["sparsity"] == 0.5
    assert pruned["per_layer"] == {"1.weight": 0.5}
    tuned = steps.finetune(job(base, "f.safetensors", weights=str(base / "p.safetensors"), epochs=30))
    assert tuned["sparsity"] == 0.5
    weight = read_weights(base / "f.safetensors")["1.weight"]
    assert int((weight == 0).sum()) == 320
    with np.load(base / "eval.npz") as stored:
        logits = (stored["x"].reshape(-1, 64) / 16) @ weight.numpy().T + read_weights(base / "f.safetensors")[
            "1.bias"
        ].numpy()
        assert (logits.argmax(1) == stored["y"]).mean() > 0.8


def test_records_are_plain_data(base: Path) -> None:
    """What a step returns survives JSON, and names what was done."""
    record = steps.train(job(base, epochs=1))
    assert json.loads(json.dumps(record)) == record
    assert record.keys() == {"epochs", "loss", "accuracy", "seconds"}
    assert (record["epochs"], record["loss"] > 0) == (1, True)


def test_the_same_job_writes_the_same_file(base: Path) -> None:
    """Byte for byte; another seed writes another file."""
    contents = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        steps.train(job(base, f"{name}.safetensors", epochs=1, seed=seed))
        contents.append((base / f"{name}.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_weights_given_are_where_training_starts(base: Path) -> None:
    """Zero epochs from given weights write those weights."""
    steps.train(job(base, "start.safetensors", epochs=1))
    steps.train(job(base, "same.safetensors", epochs=0, seed=9, weights=str(base / "start.safetensors")))
    first, second = (read_weights(base / f"{name}.safetensors") for name in ("start", "same"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("function", "changes", "kind", "words"),
    [
        ("train", {"data": "none.npz"}, DataError, "none.npz"),
        ("train", {"data": "plain.npz"}, DataError, "plain.npz: has no labels"),
        ("train", {"data": "two.npz"}, DataError, "has 2 inputs"),
        ("train", {"data": "eleven.npz"}, DataError, "the label 10 has no class: model.py:student tells 10"),
        (
            "train",
            {"model": "model.py:wide"},
            ModelError,
            "does not take the samples of train.npz, [1, 8, 8]",
        ),
        ("train", {"model": "model.py:image"}, ModelError, "answers [2, 10, 6, 6], not [samples, classes]"),
        ("train", {"model": "model.py:wild"}, ModelError, "NaN or infinite"),
        ("train", {"model": "model.py:fails"}, EdgebenchError, "no weights today"),
        ("train", {"model": "model.py:number"}, ModelError, "returned int"),
        ("train", {"model": "model.py:studnet"}, InputError, "studnet"),
        ("train", {"weights": "/none.safetensors"}, ModelError, "/none.safetensors: no such file"),
        ("finetune", {"model": "model.py:wide"}, ModelError, "does not take the samples"),
        ("distil", {}, ModelError, "needs a teacher"),
        (
            "distil",
            {"teacher": "model.py:three", "data": "train.npz"},
            DataError,
            "the label 9 has no class: model.py:three tells 3",
        ),
        ("prune", {"model": "model.py:norms", "sparsity": 0.5}, ModelError, "no linear layer to prune"),
    ],
)
def test_what_does_not_fit_is_named_and_writes_nothing(
    function: str, changes: dict[str, Any], kind: type[EdgebenchError], words: str, base: Path
) -> None:
    """Data, labels, models and teachers that do not fit are one line, and no weights are written."""
    with pytest.raises(kind) as caught:
        getattr(steps, function)(job(base, "never.safetensors", **changes))
    assert words in caught.value.message, caught.value.message
    assert "\n" not in caught.value.message
    assert not (base / "never.safetensors").exists()


def test_a_teacher_of_other_classes_is_refused(base: Path) -> None:
    """A teacher that tells fewer classes than its student cannot teach it: both counts are named."""
    np.savez(base / "low.npz", x=np.zeros((4, 8, 8, 1), np.uint8), y=np.arange(4) % 3)
    with pytest.raises(ModelError, match=r"model\.py:three 3 and model\.py:student 10"):
        steps.distil(job(base, data="low.npz", teacher="model.py:three"))
