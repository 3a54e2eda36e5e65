"""Readers of labelled data: .npz, class folders, CSV and Parquet manifests, functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.dataset_images import IMAGE_SUFFIXES, read_images
from edgebench.datasets import Dataset, Labels, Preprocessing
from edgebench.errors import DataError
from edgebench.user_code import call_function, names_function

LABEL_NAMES = ("y", "labels", "label")
TARGET_NAMES = ("targets", "target")
CLASS_NAMES = ("classes", "class_names")
_SAVE = "np.savez(path, x=x, y=y)"
_KNOWN = "edgebench reads .npz, a folder of class folders, .csv, .parquet and file.py:function"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of the samples. labels: classes. targets: numbers. columns: text for each sample."""

    labels: Array | None = None
    targets: Array | None = None
    class_names: Sequence[str] = ()
    columns: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How data is read. labels: whether they are classes, or numbers to be met."""

    steps: Preprocessing
    labels: Labels = Labels.NAMED

    def truth(self, labels: Array | None, class_names: Sequence[str] = (), *, name: str = "y") -> Truth:
        """Return labels of a name as what they are: classes with names, or numbers."""
        floating = labels is not None and labels.dtype.kind == "f"
        numbers = self.labels is Labels.NUMBERS or (self.labels is Labels.TYPED and floating)
        if numbers or name in TARGET_NAMES:
            return Truth(targets=labels)
        return Truth(labels, class_names=class_names)


def read_dataset(spec: str, base: Path, wanted: Wanted) -> Dataset:
    """Return the data that `spec` names. Raises DataError, or InputError from the user's function."""
    if not spec.strip():
        raise DataError("no data set is named", hint=_KNOWN)
    if names_function(spec, base):
        return _from_function(spec, base, wanted)
    path = base / spec
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", hint=_KNOWN)
    readers = {".npz": _from_npz, ".csv": _from_manifest, ".parquet": _from_manifest}
    reader = _from_folder if path.is_dir() else readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: is not a data set of a known kind", hint=_KNOWN)
    try:
        return reader(spec, path, wanted)
    except OSError as err:
        raise DataError(f"{path}: cannot be read: {err}") from err


def make_dataset(spec: str, arrays: Mapping[str, Array], truth: Truth) -> Dataset:
    """Return checked arrays and what is true of them as a data set. Raises DataError, naming `spec`."""
    if not arrays:
        held = "no arrays" if truth.labels is None and truth.targets is None else "labels and no inputs"
        raise DataError(f"{spec}: holds {held}", hint="name the samples x, and their labels y")
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(
                f"{spec}: the array {name!r} is a single value, not samples",
                hint="every array but the labels is an input of the model, one row a sample",
            )
    count = len(next(iter(arrays.values())))
    if count == 0:
        raise DataError(f"{spec}: holds no samples")
    for name, array in arrays.items():
        _check_array(spec, name, array, count)
    names = truth.class_names
    labels = None if truth.labels is None else _check_labels(spec, truth.labels, count, names)
    targets = None if truth.targets is None else _check_targets(spec, truth.targets, count)
    return Dataset(
        spec=spec,
        inputs=tuple(arrays.values()),
        labels=labels,
        fingerprint=_fingerprint(arrays, labels if targets is None else targets),
        input_names=tuple(arrays),
        class_names=tuple(names),
        targets=targets,
        columns={name: np.asarray(column, np.str_) for name, column in truth.columns.items()},
    )


def _check_array(spec: str, name: str, array: Array, count: int) -> None:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{spec}: the array {name!r} holds {array.dtype}, not numbers")
    if len(array) != count:
        raise DataError(f"{spec}: the array {name!r} has {len(array)} samples, others have {count}")
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        bad = int(np.flatnonzero(~np.isfinite(array).reshape(count, -1).all(axis=1))[0])
        kind = "NaN" if bool(np.isnan(array[bad]).any()) else "Inf"
        raise DataError(f"{spec}: the array {name!r} has {kind} in sample {bad}", hint="clean the data first")


def _check_labels(spec: str, labels: Array, count: int, class_names: Sequence[str]) -> NDArray[np.int64]:
    if labels.shape != (count,):
        shape = "×".join(map(str, labels.shape)) or "a single value as"
        raise DataError(f"{spec}: has {count} samples and {shape} labels", hint="one class number per sample")
    if labels.dtype.kind not in "iub" and not (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
    ):
        raise DataError(
            f"{spec}: labels are {labels.dtype}, not class numbers",
            hint="0, 1, 2, …; numbers to be met are called `targets`",
        )
    if int(labels.min()) < 0:
        raise DataError(f"{spec}: the label {int(labels.min())} is negative", hint="classes count from 0")
    if class_names and int(labels.max()) >= len(class_names):
        raise DataError(f"{spec}: the label {int(labels.max())} has no class among {len(class_names)}")
    return labels.astype(np.int64)


def _check_targets(spec: str, targets: Array, count: int) -> NDArray[np.float64]:
    """Return numbers as float64[N, C]."""
    if targets.ndim == 0 or len(targets) != count:
        held = len(targets) if targets.ndim else "a single value as"
        raise DataError(f"{spec}: has {count} samples and {held} targets", hint="one row a sample")
    if targets.dtype.kind not in "fiub" or not bool(np.isfinite(targets).all()):
        raise DataError(f"{spec}: targets are not all finite numbers", hint="clean the data first")
    numbers: NDArray[np.float64] = targets.reshape(count, -1).astype(np.float64)
    return numbers


def _fingerprint(arrays: Mapping[str, Array], labels: Array | None) -> str:
    digest = hashlib.sha256()
    for name, array in (*arrays.items(), *([("labels", labels)] if labels is not None else [])):
        digest.update(f"{name}\0{array.shape}\0{array.dtype.str}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _from_npz(spec: str, path: Path, wanted: Wanted) -> Dataset:
    try:
        with path.open("rb") as stream:
            read = np.load(stream, allow_pickle=False)
            arrays = None if isinstance(read, np.ndarray) else {name: read[name] for name in read.files}
    except Exception as err:  # a damaged archive makes zipfile, zlib and numpy raise kinds of everything
        words = str(err) or type(err).__name__
        reason = "holds Python objects" if "allow_pickle" in words else words.splitlines()[0]
        raise DataError(f"{path}: not a readable .npz of plain arrays: {reason}", hint=_SAVE) from err
    if arrays is None:
        raise DataError(f"{path}: is one array, an .npy by another name", hint=_SAVE)
    return _split_labels(spec, arrays, wanted)


def _split_labels(spec: str, arrays: dict[str, Array], wanted: Wanted) -> Dataset:
    """Return arrays by name as a data set: labels and class names by their names, numbers as inputs.

    Text for each sample is no input of any model, but a column by which samples fall into groups; other
    text is left out.
    """
    found = [name for name in (*LABEL_NAMES, *TARGET_NAMES) if name in arrays]
    if len(found) > 1:
        raise DataError(f"{spec}: has labels under {' and '.join(found)}", hint="keep one of them")
    labels = arrays.pop(found[0]) if found else None
    text = {name: array for name, array in arrays.items() if array.dtype.kind in "US"}
    numbers = {name: array for name, array in arrays.items() if name not in text}
    if text and not numbers:
        raise DataError(f"{spec}: holds text and no numbers: {', '.join(text)}")
    named = next((text[name] for name in CLASS_NAMES if name in text), ())
    truth = wanted.truth(labels, [_text(name) for name in named], name=found[0] if found else "")
    count = len(next(iter(numbers.values()), ()))
    columns = {
        name: array for name, array in text.items() if name not in CLASS_NAMES and array.shape == (count,)
    }
    return make_dataset(spec, numbers, replace(truth, columns=columns))


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _from_function(spec: str, base: Path, wanted: Wanted) -> Dataset:
    result = call_function(spec, base=base)
    if isinstance(result, Dataset):
        return result
    if isinstance(result, Mapping):
        return _split_labels(
            spec, {str(name): _array(spec, name, array) for name, array in result.items()}, wanted
        )
    if isinstance(result, tuple) and len(result) == 2:  # noqa: PLR2004 - x and y
        x, y = result
        truth = wanted.truth(None if y is None else _array(spec, "y", y))
        return make_dataset(spec, {"x": _array(spec, "x", x)}, truth)
    raise DataError(f"{spec}: returned {type(result).__name__}", hint="return (x, y), or a dict of arrays")


def _array(spec: str, name: object, value: object) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as err:  # ragged lists; tensors with a gradient
        raise DataError(f"{spec}: {name!r} is no array: {' '.join(str(err).split())}") from err


def _from_folder(spec: str, path: Path, wanted: Wanted) -> Dataset:
    classes = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and _is_seen(folder))
    if not classes:
        raise DataError(f"{path}: has no class folders", hint="path/<class name>/<image>.png")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        found = [file for file in found if _is_seen(file)]
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{path}: has no images in its class folders", hint="path/<class name>/<image>.png")
    images = read_images(files, wanted.steps, what=str(path))
    return make_dataset(spec, {"x": images}, Truth(np.asarray(labels), class_names=classes))


def _is_seen(path: Path) -> bool:
    """Return whether a folder or file is the user's own: editors and archives leave others behind."""
    return not path.name.startswith(".") and path.name != "__MACOSX"


def _from_manifest(spec: str, path: Path, wanted: Wanted) -> Dataset:
    import pandas as pd

    try:
        # names such as NA and None are classes, not gaps; 0001 is a name, not a number
        plain = {"dtype": {"path": str}, "keep_default_na": False, "na_values": [""]}
        is_csv = path.suffix.lower() == ".csv"
        frame = pd.read_csv(path, **plain) if is_csv else pd.read_parquet(path)
    except (ValueError, OSError) as err:  # pandas and pyarrow raise kinds of these
        raise DataError(f"{path}: cannot be read: {str(err).splitlines()[0]}") from err
    target = next((name for name in TARGET_NAMES if name in frame.columns), None)
    for column in ("path", target or "label"):
        if column not in frame.columns:
            has = ", ".join(map(str, frame.columns))
            raise DataError(f"{path}: has no column {column!r}", hint=f"it has: {has}")
    if frame.empty:
        raise DataError(f"{path}: has no rows")
    files = [path.parent / str(name) for name in frame["path"]]
    for row, file in enumerate(files):
        if not file.is_file():
            raise DataError(f"{path}: row {row + 1} names {file}, which is not there")
    labels, names = _manifest_labels(frame[target or "label"], path)
    truth = wanted.truth(labels, names, name=target or "label")
    others = [str(name) for name in frame.columns if name not in {"path", "label", target}]
    truth = replace(truth, columns={name: frame[name].fillna("").astype(str).to_numpy() for name in others})
    return make_dataset(spec, {"x": read_images(files, wanted.steps, what=str(path))}, truth)


def _manifest_labels(column: Any, path: Path) -> tuple[Array, Sequence[str]]:
    """Return class numbers, and the classes' names in alphabetical order where the labels are words."""
    import pandas as pd

    if column.isna().any():
        raise DataError(f"{path}: row {int(column.isna().to_numpy().argmax()) + 1} has no label")
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64 if column.dtype.kind == "f" else np.int64), ()
    words = [str(value) for value in column]
    names = sorted(set(words))
    places = {name: place for place, name in enumerate(names)}
    return np.asarray([places[word] for word in words]), names
