"""A Keras file or a SavedModel as one function of tensors; runs in the export worker process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.artifact import TensorSpec
from edgebench.errors import MissingExtraError, ModelError
from edgebench.exporters.keras_safety import check_keras_file, check_saved_model
from edgebench.exporters.source import Source, SourceKind
from edgebench.exporters.tflite_names import SIGNATURE, identifier, unique

_EXTRA = "pip install 'edgebench[tensorflow]'"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    call: tensors in the order of `inputs` → list of tensors in the order of `outputs`.
    owner: the object that keeps the variables alive. loader: how it was loaded, in words. notes: what
    the user has to be told.
    """

    call: Callable[..., list[Any]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    owner: Any
    loader: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


def load(source: Source) -> LoadedModel:
    """Return the model of a .keras, .h5 or SavedModel source.

    Raises MissingExtraError without TensorFlow, and ModelError where the file cannot be read, would
    run code of its own, has no usable signature, or holds weights that are not finite.
    """
    path = source.path
    if path is None:
        raise ModelError(f"{source.model}: not a file")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever keras.json says: only it converts to TFLite
    try:
        import tensorflow  # noqa: F401, ICN001
    except ImportError as err:
        raise MissingExtraError(f"{path}: needs TensorFlow, which is not installed", hint=_EXTRA) from err
    return _load_saved_model(path) if source.kind is SourceKind.SAVED_MODEL else _load_keras(path)


def _load_keras(path: Path) -> LoadedModel:
    import keras

    check_keras_file(path)
    notes: tuple[str, ...] = ()
    library: Any = keras
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as refused:  # noqa: BLE001 - Keras raises whatever the file's content provokes
        library, model = _load_with_tf_keras(path, refused)
        reason = _first_line(refused)
        notes = (f"{path.name}: loaded through tf_keras {library.__version__}; Keras 3 refused it: {reason}",)
    loader = "tf_keras" if notes else "keras"
    _check_finite(path, [(w.path if loader == "keras" else w.name, w.numpy()) for w in model.weights])
    inputs = _keras_inputs(path, model)

    def call(*tensors: Any) -> list[Any]:
        given = list(tensors) if len(inputs) > 1 else tensors[0]
        return _flat(model(given, training=False))

    outputs = unique(identifier(name) for name in _keras_outputs(model))
    versions = {loader: library.__version__, **_tensorflow_version()}
    return LoadedModel(call, inputs, outputs, model, f"{loader} {library.__version__}", versions, notes)


def _load_with_tf_keras(path: Path, refused: Exception) -> tuple[Any, Any]:
    """Return tf_keras and the model it loads. Raises ModelError with Keras 3's reason otherwise."""
    reason = f"{path}: Keras cannot load it: {_first_line(refused)}"
    try:
        import tf_keras
    except ImportError as err:
        raise ModelError(reason, hint=f"older files need tf_keras: {_EXTRA}") from err
    try:
        return tf_keras, tf_keras.models.load_model(path, compile=False)
    except Exception as err:  # as above
        raise ModelError(reason) from err


def _keras_inputs(path: Path, model: Any) -> tuple[TensorSpec, ...]:
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ModelError(
            f"{path}: the model does not say its input's shape",
            hint="call it once before saving, or export a SavedModel: model.export('folder')",
        )
    names = unique(identifier(tensor.name or "input") for tensor in tensors)
    return tuple(_spec(name, t.shape, t.dtype) for name, t in zip(names, tensors, strict=True))


def _keras_outputs(model: Any) -> list[str]:
    names = list(getattr(model, "output_names", None) or [])
    count = len(_flat(model.outputs))
    return names if len(names) == count else [f"output_{index}" for index in range(count)]


def _load_saved_model(path: Path) -> LoadedModel:
    import tensorflow as tf

    check_saved_model(path)
    notes, needs_tf_keras = (), _is_keras_2(path)
    if needs_tf_keras:
        notes = (_announce_tf_keras(path),)
    try:
        loaded = tf.saved_model.load(path)
    except Exception as err:  # TensorFlow raises whatever the folder's content provokes
        raise ModelError(f"{path}: TensorFlow cannot load it: {_first_line(err)}") from err
    name = _signature(path, list(loaded.signatures))
    signature = loaded.signatures[name]
    specs = signature.structured_input_signature[1]
    keys, results = list(specs), list(signature.structured_outputs)
    _check_finite(path, [(v.name, v.numpy()) for v in getattr(loaded, "variables", ())])
    labels = unique(identifier(key) for key in keys)

    def call(*tensors: Any) -> list[Any]:
        answers = signature(**dict(zip(keys, tensors, strict=True)))
        return [answers[key] for key in results]

    if len(keys) > 1:
        notes = (*notes, f"{path.name}: inputs are taken in the order {', '.join(keys)}")
    inputs = tuple(
        _spec(label, specs[k].shape, specs[k].dtype) for label, k in zip(labels, keys, strict=True)
    )
    outputs = unique(identifier(key) for key in results)
    loader = f"SavedModel, signature {name}"
    return LoadedModel(call, inputs, outputs, loaded, loader, _tensorflow_version(), notes)


def _is_keras_2(path: Path) -> bool:
    """Whether Keras 2 saved the folder: Keras 3 does not load such a one, and TensorFlow needs tf_keras."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    nodes = [node for meta in saved.meta_graphs for node in meta.object_graph_def.nodes]
    return any(node.user_object.identifier.startswith("_tf_keras") for node in nodes)


def _announce_tf_keras(path: Path) -> str:
    try:
        import tf_keras
    except ImportError as err:
        raise MissingExtraError(
            f"{path}: saved by Keras 2, which needs tf_keras to load", hint=_EXTRA
        ) from err
    version = tf_keras.__version__
    return f"{path.name}: saved by Keras 2, which Keras 3 refuses: loaded through tf_keras {version}"


def _signature(path: Path, names: Sequence[str]) -> str:
    usable = [name for name in names if name != "__saved_model_init_op"]
    if SIGNATURE in usable:
        return SIGNATURE
    if len(usable) == 1:
        return usable[0]
    found = f"it has {', '.join(usable)}" if usable else "it has none"
    raise ModelError(
        f"{path}: no signature {SIGNATURE} in the SavedModel: {found}",
        hint=f"tf.saved_model.save(model, folder, signatures={{'{SIGNATURE}': function}})",
    )


def _spec(name: str, shape: Any, dtype: Any) -> TensorSpec:
    import tensorflow as tf

    if getattr(shape, "rank", 0) is None:
        raise ModelError(f"the input {name} has no known number of dimensions")
    return TensorSpec(
        name, tuple(-1 if size is None else int(size) for size in shape), tf.as_dtype(dtype).name
    )


def _check_finite(path: Path, weights: Sequence[tuple[str, Any]]) -> None:
    import numpy as np

    for name, values in weights:
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float32)).all():
            raise ModelError(f"{path}: the weights {name} hold NaN or infinity")


def _flat(value: Any) -> list[Any]:
    import tensorflow as tf

    return list(tf.nest.flatten(value))


def _tensorflow_version() -> dict[str, str]:
    import tensorflow as tf

    return {"tensorflow": tf.__version__}


def _first_line(err: Exception) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return f"{type(err).__name__}: {lines[0]}" if lines else type(err).__name__
