"""Readers of labelled data: .npz, class folders, CSV and Parquet manifests, functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.dataset_images import IMAGE_SUFFIXES, read_images
from edgebench.datasets import Dataset, Preprocessing
from edgebench.errors import DataError
from edgebench.user_code import call_function, is_function_spec

LABEL_NAMES = ("y", "labels", "label")
CLASS_NAMES = ("classes", "class_names")
_SAVE = "np.savez(path, x=x, y=y)"
_KNOWN = "edgebench reads .npz, a folder of class folders, .csv, .parquet and file.py:function"

Array = NDArray[Any]


def read_dataset(spec: str, base: Path, steps: Preprocessing) -> Dataset:
    """Return the data that `spec` names. Raises DataError, or InputError from the user's function."""
    if not spec.strip():
        raise DataError("no data set is named", hint=_KNOWN)
    if is_function_spec(spec) and not (base / spec).exists():
        return _from_function(spec, base)
    path = base / spec
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", hint=_KNOWN)
    readers = {".npz": _from_npz, ".csv": _from_manifest, ".parquet": _from_manifest}
    reader = _from_folder if path.is_dir() else readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: is not a data set of a known kind", hint=_KNOWN)
    try:
        return reader(spec, path, steps)
    except OSError as err:
        raise DataError(f"{path}: cannot be read: {err}") from err


def make_dataset(
    spec: str, arrays: Mapping[str, Array], labels: Array | None, class_names: Sequence[str] = ()
) -> Dataset:
    """Return checked arrays and labels as a data set. Raises DataError, naming `spec`."""
    if not arrays:
        held = "no arrays" if labels is None else "labels and no inputs"
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
    checked = None if labels is None else _check_labels(spec, labels, count, class_names)
    return Dataset(
        spec=spec,
        inputs=tuple(arrays.values()),
        labels=checked,
        fingerprint=_fingerprint(arrays, checked),
        input_names=tuple(arrays),
        class_names=tuple(class_names),
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
        raise DataError(f"{spec}: labels are {labels.dtype}, not class numbers", hint="0, 1, 2, …")
    if int(labels.min()) < 0:
        raise DataError(f"{spec}: the label {int(labels.min())} is negative", hint="classes count from 0")
    if class_names and int(labels.max()) >= len(class_names):
        raise DataError(f"{spec}: the label {int(labels.max())} has no class among {len(class_names)}")
    return labels.astype(np.int64)


def _fingerprint(arrays: Mapping[str, Array], labels: Array | None) -> str:
    digest = hashlib.sha256()
    for name, array in (*arrays.items(), *([("labels", labels)] if labels is not None else [])):
        digest.update(f"{name}\0{array.shape}\0{array.dtype.str}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _from_npz(spec: str, path: Path, steps: Preprocessing) -> Dataset:
    del steps
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
    return _split_labels(spec, arrays)


def _split_labels(spec: str, arrays: dict[str, Array]) -> Dataset:
    """Return arrays by name as a data set: labels and class names by their names, numbers as inputs.

    Text beside them, such as file names, is no input of any model and is left out.
    """
    found = [name for name in LABEL_NAMES if name in arrays]
    if len(found) > 1:
        raise DataError(f"{spec}: has labels under {' and '.join(found)}", hint="keep one of them")
    labels = arrays.pop(found[0]) if found else None
    text = {name: array for name, array in arrays.items() if array.dtype.kind in "US"}
    numbers = {name: array for name, array in arrays.items() if name not in text}
    if text and not numbers:
        raise DataError(f"{spec}: holds text and no numbers: {', '.join(text)}")
    named = next((text[name] for name in CLASS_NAMES if name in text), ())
    return make_dataset(spec, numbers, labels, [_text(name) for name in named])


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _from_function(spec: str, base: Path) -> Dataset:
    result = call_function(spec, base=base)
    if isinstance(result, Dataset):
        return result
    if isinstance(result, Mapping):
        return _split_labels(spec, {str(name): _array(spec, name, array) for name, array in result.items()})
    if isinstance(result, tuple) and len(result) == 2:  # noqa: PLR2004 - x and y
        x, y = result
        return make_dataset(spec, {"x": _array(spec, "x", x)}, None if y is None else _array(spec, "y", y))
    raise DataError(f"{spec}: returned {type(result).__name__}", hint="return (x, y), or a dict of arrays")


def _array(spec: str, name: object, value: object) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as err:  # ragged lists; tensors with a gradient
        raise DataError(f"{spec}: {name!r} is no array: {' '.join(str(err).split())}") from err


def _from_folder(spec: str, path: Path, steps: Preprocessing) -> Dataset:
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
    images = read_images(files, steps, what=str(path))
    return make_dataset(spec, {"x": images}, np.asarray(labels), classes)


def _is_seen(path: Path) -> bool:
    """Return whether a folder or file is the user's own: editors and archives leave others behind."""
    return not path.name.startswith(".") and path.name != "__MACOSX"


def _from_manifest(spec: str, path: Path, steps: Preprocessing) -> Dataset:
    import pandas as pd

    try:
        # names such as NA and None are classes, not gaps; 0001 is a name, not a number
        plain = {"dtype": {"path": str}, "keep_default_na": False, "na_values": [""]}
        is_csv = path.suffix.lower() == ".csv"
        frame = pd.read_csv(path, **plain) if is_csv else pd.read_parquet(path)
    except (ValueError, OSError) as err:  # pandas and pyarrow raise kinds of these
        raise DataError(f"{path}: cannot be read: {str(err).splitlines()[0]}") from err
    for column in ("path", "label"):
        if column not in frame.columns:
            has = ", ".join(map(str, frame.columns))
            raise DataError(f"{path}: has no column {column!r}", hint=f"it has: {has}")
    if frame.empty:
        raise DataError(f"{path}: has no rows")
    files = [path.parent / str(name) for name in frame["path"]]
    for row, file in enumerate(files):
        if not file.is_file():
            raise DataError(f"{path}: row {row + 1} names {file}, which is not there")
    labels, names = _manifest_labels(frame["label"], path)
    return make_dataset(spec, {"x": read_images(files, steps, what=str(path))}, labels, names)


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
