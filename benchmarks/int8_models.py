"""The models and the data of int8_accuracy.py: trained here on scikit-learn's digits, or from ../shared."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"
CALIBRATION = 256
"""Samples that fix the ranges, for edgebench and every peer; where there are few, a fifth of them."""

_NETWORKS = Path(__file__).with_name("int8_networks.py")
_DIGITS_TRAIN = 1297
_EPOCHS = 40
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Case:
    """One model and its data, preprocessed: calibration and images float32 [N, ...], labels int64 [N].

    source: what edgebench exports. keras: the file for TFLiteConverter, where the source is one. No
    image is in both parts. names: of the inputs of a text model, whose samples are [inputs, tokens].
    """

    name: str
    source: str
    formats: tuple[str, ...]
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    weights: Path | None = None
    keras: Path | None = None
    names: tuple[str, ...] = ()

    def feed(self, sample: np.ndarray) -> list[np.ndarray]:
        """Return the model's inputs [1, ...] for one of the samples."""
        return [part[None] for part in (sample if self.names else [sample])]


def cases(folder: Path, *, quick: bool) -> Iterator[Case]:
    """Yield the models one after the other, trained ones first. folder: for trained weights.

    quick: the first alone.
    """
    for name in ("convolutional", "depthwise", "transformer")[: 1 if quick else 3]:
        yield digits(folder, name)
    if quick:
        return
    if not ASSETS.is_dir():
        print("no ../shared/assets here: only the models trained by this benchmark", flush=True)
        return
    from int8_text import text_cases

    makers: tuple[Callable[[], Case], ...] = (
        lambda: resnet("resnet20", "resnet20-12fca82f.th"),
        resnet8,
        _resnet8_tflite,
        _mnist_onnx,
        _mnist_tflite,
        keyword_spotter,
        _kws_onnx,
        lambda: resnet("resnet56", "resnet56-4bfd9763.th"),
    )
    for make in makers:
        yield make()
    yield from text_cases(folder)


def digits(folder: Path, name: str) -> Case:
    """Return a network of int8_networks.py, trained on digits; evaluated on those it was not trained on."""
    images, labels = _scans()
    weights = folder / f"{name}.pth"
    train(name, images[:_DIGITS_TRAIN], labels[:_DIGITS_TRAIN], weights)
    return Case(
        name=f"digits-{name}",
        source=f"{_NETWORKS}:{name}",
        formats=("onnx", "tflite"),
        calibration=images[:CALIBRATION],
        images=images[_DIGITS_TRAIN:],
        labels=labels[_DIGITS_TRAIN:],
        weights=weights,
    )


def digits_held_back() -> np.ndarray:
    """Return the digits that `digits` trains on and does not calibrate on, float32 [N, 1, 8, 8]."""
    return _scans()[0][CALIBRATION:_DIGITS_TRAIN]


def _scans() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    scans = load_digits()
    order = np.random.default_rng(0).permutation(len(scans.target))
    return (scans.images[order, None] / 16).astype(np.float32), scans.target[order].astype(np.int64)


def train(name: str, images: np.ndarray, labels: np.ndarray, weights: Path) -> None:
    """Train a network of int8_networks.py and write its state."""
    import int8_networks
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    torch.set_num_threads(1)  # more of them wait for each other on networks this small
    network: Any = getattr(int8_networks, name)()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    pixels, classes = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels[chosen]), classes[chosen]).backward()
            optimizer.step()
        schedule.step()
    torch.save(network.state_dict(), weights)


def cifar(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a part of CIFAR-10: images uint8 [N, 32, 32, 3] and labels."""
    with np.load(ASSETS / "cifar10" / "data" / name, allow_pickle=False) as stored:
        return stored["x"], stored["y"]


def cifar_calibration() -> np.ndarray:
    """Return the training images that fix the ranges, uint8 [N, 32, 32, 3]."""
    images, _ = cifar("train_20000.npz")
    return images[_chosen(len(images))]


def cifar_held_back(count: int) -> np.ndarray:
    """Return training images that do not fix the ranges, uint8 [count, 32, 32, 3]."""
    images, _ = cifar("train_20000.npz")
    others = np.setdiff1d(np.arange(len(images)), _chosen(len(images)))
    return images[np.random.default_rng(1).choice(others, count, replace=False)]


def _chosen(count: int) -> np.ndarray:
    return np.random.default_rng(0).choice(count, CALIBRATION, replace=False)


def resnet(name: str, file: str) -> Case:
    """Return a CIFAR ResNet with its published weights."""
    images, labels = cifar("test_7500.npz")
    return Case(
        name=name,
        source=f"{_NETWORKS}:{name}",
        formats=("onnx", "tflite"),
        calibration=normalised(cifar_calibration()),
        images=normalised(images),
        labels=labels,
        weights=ASSETS / "cifar10" / "models" / file,
    )


def normalised(images: np.ndarray) -> np.ndarray:
    """Return uint8 [N, 32, 32, 3] as float32 [N, 3, 32, 32] of mean 0 and deviation 1."""
    values = (images.astype(np.float32) / 255 - np.float32(_MEAN)) / np.float32(_DEVIATION)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def resnet8() -> Case:
    """Return MLPerf Tiny's ResNet-8, from its Keras file."""
    images, labels = cifar("test_7500.npz")
    file = ASSETS / "mlperf_tiny_ic" / "models" / "pretrainedResnet.h5"
    return Case(
        name="resnet8",
        source=str(file),
        formats=("onnx", "tflite"),
        calibration=cifar_calibration().astype(np.float32),
        images=images.astype(np.float32),
        labels=labels,
        keras=file,
    )


def _resnet8_tflite() -> Case:
    from dataclasses import replace

    file = ASSETS / "mlperf_tiny_ic" / "models" / "pretrainedResnet.tflite"
    return replace(resnet8(), name="resnet8.tflite", source=str(file), formats=("tflite",), keras=None)


def _mnist(name: str, source: str, formats: tuple[str, ...], images: np.ndarray) -> Case:
    content = gzip.decompress((ASSETS / "mnist" / "data" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(content, np.uint8, offset=8).astype(np.int64)
    file = ASSETS / "mnist" / "models" / source
    return Case(
        name=name,
        source=str(file),
        formats=formats,
        calibration=images[:CALIBRATION],
        images=images[CALIBRATION:],
        labels=labels[CALIBRATION:],
    )


def _mnist_images() -> np.ndarray:
    content = gzip.decompress((ASSETS / "mnist" / "data" / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28).astype(np.float32)


def _mnist_onnx() -> Case:
    return _mnist("mnist-cntk", "cntk_mnist.onnx", ("onnx",), _mnist_images()[:, None])


def _mnist_tflite() -> Case:
    return _mnist("mnist-aeq", "aeq_conv_fc_mnist.tflite", ("tflite",), _mnist_images()[..., None] / 255)


def _keywords(name: str, source: str, formats: tuple[str, ...]) -> Case:
    folder = ASSETS / "mlperf_tiny_kws"
    with np.load(folder / "data" / "kws01.npz", allow_pickle=False) as stored:
        order = np.random.default_rng(0).permutation(len(stored["y"]))
        features = ((stored["x"][order].astype(np.float32) - 83) * 0.5847029089927673).astype(np.float32)
        labels = stored["y"][order]
    few = len(labels) // 5
    file = folder / "models" / source
    return Case(
        name=name,
        source=str(file),
        formats=formats,
        calibration=features[:few],
        images=features[few:],
        labels=labels[few:],
        keras=file if file.is_dir() else None,
    )


def keyword_spotter() -> Case:
    """Return MLPerf Tiny's depthwise keyword spotter, a SavedModel."""
    return _keywords("kws-savedmodel", "kws_ref_model", ("onnx", "tflite"))


def _kws_onnx() -> Case:
    return _keywords("kws-alibaba", "alibaba_model_kws.onnx", ("onnx",))
