"""Whether a Keras file or a SavedModel would run code of its own on loading or running.

Keras 3's safe mode refuses Lambda layers, but tf_keras, which older files need, does not; so the
configuration is read here first, as data.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebench.errors import ModelError

_TRUSTED_PACKAGES = ("keras", "tf_keras", "builtins")
_UNTRUSTED_MODULES = (
    "keras.src.utils",
    "keras.utils",
    "keras.saving",
    "keras.src.saving",
    "keras.src.legacy",
)
_PURE_OPERATIONS = ("__operators__.", "math.", "nn.", "image.", "linalg.", "signal.", "compat.v1.transpose")
_SIDE_EFFECTS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile"})
"""Graph operators that run Python or reach for files: no inference needs them."""


def check_keras_file(path: Path) -> None:
    """Return where the .keras or .h5 file holds built-in layers only.

    Raises ModelError where it cannot be read, holds weights but no model, or names code to run.
    """
    config = _zip_config(path) if zipfile.is_zipfile(path) else _h5_config(path)
    for entry in _entries(config):
        _check_entry(path, entry)


def check_saved_model(path: Path) -> None:
    """Return where no operator of the SavedModel runs Python or touches files.

    Raises ModelError where one does, or where the file cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except (DecodeError, OSError) as err:
        raise ModelError(f"{path}: saved_model.pb cannot be read: truncated or not a SavedModel") from err
    for meta in saved.meta_graphs:
        functions = (node for f in meta.graph_def.library.function for node in f.node_def)
        for node in (*meta.graph_def.node, *functions):
            if node.op in _SIDE_EFFECTS:
                raise ModelError(
                    f"{path}: the operator {node.op} (node {node.name}) runs code or touches files",
                    hint="save the model without it",
                )


def _zip_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as err:
        raise ModelError(f"{path}: not a readable .keras file: {err}") from err


def _h5_config(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except OSError as err:
        raise ModelError(
            f"{path}: neither a .keras archive nor a readable HDF5 file: truncated or of another kind"
        ) from err
    if text is None:
        raise ModelError(
            f"{path}: holds weights but no model", hint="save the whole model: model.save('model.keras')"
        )
    try:
        return json.loads(text)
    except ValueError as err:
        raise ModelError(f"{path}: its model_config is not JSON") from err


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary in the configuration, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _check_entry(path: Path, entry: dict[str, Any]) -> None:
    kind, module, inner = entry.get("class_name"), entry.get("module"), entry.get("config")
    name = inner.get("name", kind) if isinstance(inner, dict) else kind
    if kind in ("Lambda", "__lambda__"):
        raise ModelError(
            f"{path}: the layer {name} is a Lambda: loading it would run the Python code it carries",
            hint="replace it by built-in layers or keras.ops and save again",
        )
    if isinstance(module, str) and kind is not None and not _is_trusted(module):
        raise ModelError(
            f"{path}: {kind} comes from the Python module {module}: only Keras's own layers can be loaded",
            hint="export a SavedModel instead: model.export('folder')",
        )
    if kind == "TFOpLambda" and isinstance(inner, dict) and not _is_pure(str(inner.get("function", ""))):
        raise ModelError(f"{path}: the layer {name} calls tf.{inner.get('function')}, which is not pure")


def _is_trusted(module: str) -> bool:
    package = module.split(".", maxsplit=1)[0]
    barred = any(module == m or module.startswith(f"{m}.") for m in _UNTRUSTED_MODULES)
    return package in _TRUSTED_PACKAGES and not barred


def _is_pure(operation: str) -> bool:
    """Whether the TensorFlow function computes only: a mathematical module's, or one of the shape ones."""
    shapes = ("reshape", "concat", "expand_dims", "squeeze", "transpose", "pad", "cast", "split", "stack")
    return operation.startswith(_PURE_OPERATIONS) or operation in shapes
