"""Whether a Keras file would run code of its own on loading or running.

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
from edgebench.exporters.saved_model_safety import does_more

AS_SAVED_MODEL = "export a SavedModel where its code is at hand: model.export('folder')"
_TRUSTED_PACKAGES = ("keras", "tf_keras", "builtins")
_UNTRUSTED_MODULES = (
    "keras.src.utils",
    "keras.utils",
    "keras.saving",
    "keras.src.saving",
    "keras.src.legacy",
)
"""Of keras and of tf_keras alike: they hold functions that reach for files and the network."""
_PURE_MODULES = ("__operators__.", "math.", "nn.", "image.", "linalg.", "signal.", "bitwise.")
_PURE_FUNCTIONS = frozenset(
    "broadcast_to cast clip_by_value concat convert_to_tensor einsum ensure_shape expand_dims fill gather "
    "gather_nd identity one_hot ones_like pad range rank repeat reshape reverse roll shape size slice split "
    "squeeze stack stop_gradient strided_slice tile transpose unstack where zeros_like "
    "compat.v1.gather compat.v1.shape compat.v1.size compat.v1.squeeze compat.v1.transpose".split()
)
"""What a layer of tf_keras may wrap: functions of TensorFlow that compute, and nothing else."""


def check_keras_file(path: Path) -> None:
    """Return where the .keras or .h5 file holds built-in layers only.

    What Keras and tf_keras load as HDF5 is read as such, also where it is a zip archive at once. Raises
    ModelError where it cannot be read, holds weights but no model, or names code to run.
    """
    zipped = path.name.endswith(".keras") and zipfile.is_zipfile(path)
    config = _zip_config(path) if zipped else _h5_config(path)
    if isinstance(config, dict):
        config.pop("compile_config", None)  # losses and metrics are never loaded
    for entry in _entries(config):
        _check_entry(path, entry)


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
            hint=AS_SAVED_MODEL,
        )
    if isinstance(inner, dict) and (operation := _impure_operation(kind, inner)):
        raise ModelError(
            f"{path}: the layer {name} calls {operation}, which may do more than compute", hint=AS_SAVED_MODEL
        )


def _is_trusted(module: str) -> bool:
    package, name = module.split(".", maxsplit=1)[0], module.removeprefix("tf_")
    barred = any(name == m or name.startswith(f"{m}.") for m in _UNTRUSTED_MODULES)
    return package in _TRUSTED_PACKAGES and not barred


def _impure_operation(kind: Any, config: dict[str, Any]) -> str | None:
    """Return the TensorFlow operation that a layer of tf_keras wraps, unless it is known to compute only."""
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = str(config.get("function"))
        pure = function.startswith(_PURE_MODULES) or function in _PURE_FUNCTIONS
        return None if pure else f"tf.{function}"
    if kind in ("ClassMethod", "InstanceMethod"):
        return f"{config.get('cls_symbol', 'a tensor')}.{config.get('method_name', config.get('attr_name'))}"
    if kind == "TensorFlowOpLayer":
        node = config.get("node_def")
        operator = node.get("op") if isinstance(node, dict) else None
        return None if operator and not does_more(operator) else str(operator or node)
    return None
