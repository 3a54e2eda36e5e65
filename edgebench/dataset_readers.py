"""Readers of labelled data: .npz, class folders, CSV and Parquet manifests, functions."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.datasets import Colour, Dataset, Preprocessing
from edgebench.errors import DataError
from edgebench.user_code import is_function_spec, load_function

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
LABEL_NAMES = ("y", "labels", "label")
_MODES = {Colour.GRAY: "L", Colour.RGB: "RGB", Colour.BGR: "RGB"}
_KNOWN = "edgebench reads .npz, a folder of class folders, .csv, .parquet and file.py:function"

Array = NDArray[Any]


def read_dataset(spec: str, base: Path, steps: Preprocessing) -> Dataset:
    """Return the data that `spec` names. Raises DataError, or InputError from the user's function."""
    if is_function_spec(spec) and not (base / spec).exists():
        return _from_function(spec, base)
    path = base / spec
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", hint=_KNOWN)
    if path.is_dir():
        return _from_folder(spec, path, steps)
    readers = {".npz": _from_npz, ".csv": _from_manifest, ".parquet": _from_manifest}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: is not a data set of a known kind", hint=_KNOWN)
    return reader(spec, path, steps)


def make_dataset(
    spec: str, arrays: Mapping[str, Array], labels: Array | None, class_names: Sequence[str] = ()
) -> Dataset:
    """Return checked arrays and labels as a data set. Raises DataError, naming `spec`."""
    if not arrays:
        raise DataError(f"{spec}: holds labels and no inputs", hint="name the samples x")
    count = len(next(iter(arrays.values()))) if all(a.ndim for a in arrays.values()) else 0
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
        shape = "×".join(map(str, labels.shape))
        raise DataError(f"{spec}: has {count} samples and {shape} labels", hint="one class number per sample")
    if labels.dtype.kind not in "iub" and not (
        labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all())
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
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as err:
        reason = "holds Python objects" if "allow_pickle" in str(err) else str(err).splitlines()[0]
        raise DataError(
            f"{path}: not a readable .npz of plain arrays: {reason}", hint="np.savez(path, x=x, y=y)"
        ) from err
    return _split_labels(spec, arrays)


def _split_labels(spec: str, arrays: dict[str, Array], class_names: Sequence[str] = ()) -> Dataset:
    label_name = next((name for name in LABEL_NAMES if name in arrays), None)
    labels = arrays.pop(label_name) if label_name else None
    return make_dataset(spec, arrays, labels, class_names)


def _from_function(spec: str, base: Path) -> Dataset:
    try:
        result = load_function(spec, base=base)()
    except (TypeError, ValueError, OSError, ArithmeticError, LookupError) as err:
        raise DataError(f"{spec}: failed: {type(err).__name__}: {err}") from err
    if isinstance(result, Dataset):
        return result
    if isinstance(result, Mapping):
        return _split_labels(spec, {str(name): np.asarray(array) for name, array in result.items()})
    if isinstance(result, tuple) and len(result) == 2:  # noqa: PLR2004 - x and y
        return make_dataset(spec, {"x": np.asarray(result[0])}, np.asarray(result[1]))
    raise DataError(f"{spec}: returned {type(result).__name__}", hint="return (x, y), or a dict of arrays")


def _from_folder(spec: str, path: Path, steps: Preprocessing) -> Dataset:
    classes = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
    if not classes:
        raise DataError(f"{path}: has no class folders", hint="path/<class name>/<image>.png")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{path}: has no images in its class folders", hint="path/<class name>/<image>.png")
    return make_dataset(spec, {"x": _images(files, steps)}, np.asarray(labels), classes)


def _from_manifest(spec: str, path: Path, steps: Preprocessing) -> Dataset:
    import pandas as pd

    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError, UnicodeDecodeError) as err:  # pandas and pyarrow raise kinds of these
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
    return make_dataset(spec, {"x": _images(files, steps)}, labels, names)


def _manifest_labels(column: Any, path: Path) -> tuple[Array, Sequence[str]]:
    if column.isna().any():
        raise DataError(f"{path}: row {int(column.isna().to_numpy().argmax()) + 1} has no label")
    values = column.to_numpy()
    if values.dtype.kind in "iubf":
        return values, ()
    names = sorted({str(value) for value in values})
    return np.asarray([names.index(str(value)) for value in values]), names


def _images(files: Sequence[Path], steps: Preprocessing) -> Array:
    mode = _MODES[steps.colour] if steps.colour else None
    images = [_image(file, mode, steps.resize) for file in files]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        first, other = sorted(shapes)[:2]
        raise DataError(
            f"{files[0].parent.parent}: images differ in height, width or channels: {first} and {other}",
            hint="declare preprocessing resize and colour, as in {resize: [224, 224], colour: rgb}",
        )
    return np.stack(images)


def _image(file: Path, mode: str | None, size: tuple[int, int] | None) -> Array:
    """Return one image as uint8[h, w, c] (uint16 where it is stored so and no colour is declared)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            image = opened.convert(mode or _native_mode(opened.mode))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise DataError(f"{file}: is not a readable image: {err}") from err
    if size is not None and (image.height, image.width) != tuple(size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels  # noqa: PLR2004 - a gray image


def _native_mode(mode: str) -> str:
    if mode in ("1", "L"):
        return "L"
    return mode if mode.startswith("I;16") else "RGB"
