"""A Keras file or a SavedModel as one function of tensors; runs in the export worker process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.artifact import TensorSpec
from edgebench.errors import MissingExtraError, ModelError
from edgebench.exporters.keras_safety import AS_SAVED_MODEL, check_keras_file
from edgebench.exporters.saved_model_safety import check_saved_model
from edgebench.exporters.source import Source, SourceKind
from edgebench.exporters.tflite_names import SIGNATURE, identifier, unique

_EXTRA = "pip install 'edgebench[tensorflow]'"
_LONGEST = 200
"""Characters of Keras's own words that are repeated: it prints whole configurations."""
_UNKNOWN_CLASS = re.compile(r"(?:Could not locate (?:class|function)|Unknown [\w ]+:) '?([\w>.]+)")
"""How Keras 3 says that a file names a class or function which it does not have."""


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
    import tensorflow as tf

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
    _check_precision(path, model)
    _check_finite(path, [(w.path if loader == "keras" else w.name, w.numpy()) for w in model.weights])
    inputs = _keras_inputs(path, model)
    form = _input_form(model)

    def call(*tensors: Any) -> list[Any]:
        return _flat(model(tf.nest.pack_sequence_as(form, tensors), training=False))

    outputs = _output_names(inputs, _keras_outputs(model))
    versions = {loader: library.__version__, **_tensorflow_version()}
    return LoadedModel(call, inputs, outputs, model, f"{loader} {library.__version__}", versions, notes)


def _load_with_tf_keras(path: Path, refused: Exception) -> tuple[Any, Any]:
    """Return tf_keras and the model it loads. Raises ModelError with Keras 3's reason otherwise."""
    try:
        import tf_keras
    except ImportError as err:
        raise _refusal(path, refused, hint=f"older files need tf_keras: {_EXTRA}") from err
    try:
        return tf_keras, tf_keras.models.load_model(path, compile=False)
    except Exception as err:  # as above
        raise _refusal(path, refused) from err


def _refusal(path: Path, refused: Exception, *, hint: str | None = None) -> ModelError:
    if unknown := _UNKNOWN_CLASS.search(str(refused)):
        name = unknown.group(1)
        return ModelError(
            f"{path}: {name} is not one of Keras's own layers or functions", hint=hint or AS_SAVED_MODEL
        )
    return ModelError(f"{path}: Keras cannot load it: {_first_line(refused)}", hint=hint)


def _keras_inputs(path: Path, model: Any) -> tuple[TensorSpec, ...]:
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ModelError(
            f"{path}: the model does not say its input's shape",
            hint=f"call it once before saving; or {AS_SAVED_MODEL}",
        )
    names = unique(identifier(tensor.name or "input") for tensor in tensors)
    return tuple(_spec(path, name, t.shape, t.dtype) for name, t in zip(names, tensors, strict=True))


def _input_form(model: Any) -> Any:
    """Return what the model was built to take: one tensor, a list, or a dictionary (sorted by key)."""
    one = model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)
    return getattr(model, "input", one)  # a Sequential of Keras 3 has no `input`


def _keras_outputs(model: Any) -> list[str]:
    names = list(getattr(model, "output_names", None) or [])
    count = len(_flat(model.outputs))
    return names if len(names) == count else [f"output_{index}" for index in range(count)]


def _load_saved_model(path: Path) -> LoadedModel:
    import tensorflow as tf

    check_saved_model(path)
    notes: tuple[str, ...] = (_announce_tf_keras(path),) if _is_keras_2(path) else ()
    try:
        loaded = tf.saved_model.load(path)
    except Exception as err:  # TensorFlow raises whatever the folder's content provokes
        raise ModelError(f"{path}: TensorFlow cannot load it: {_first_line(err)}") from err
    name = _signature(path, list(loaded.signatures))
    signature = loaded.signatures[name]
    specs = signature.structured_input_signature[1]
    keys, results = sorted(specs, key=_by_number), sorted(signature.structured_outputs, key=_by_number)
    _check_finite(path, [(v.name, v.numpy()) for v in signature.variables])
    labels = unique(identifier(key) for key in keys)

    def call(*tensors: Any) -> list[Any]:
        answers = signature(**dict(zip(keys, tensors, strict=True)))
        return [answers[key] for key in results]

    if len(keys) > 1:
        notes += (f"{path.name}: inputs are taken in the order {', '.join(keys)}",)
    inputs = tuple(
        _spec(path, label, specs[k].shape, specs[k].dtype) for label, k in zip(labels, keys, strict=True)
    )
    outputs = _output_names(inputs, results)
    loader = f"SavedModel, signature {name}"
    return LoadedModel(call, inputs, outputs, loaded, loader, _tensorflow_version(), notes)


def _by_number(name: str) -> list[Any]:
    """Return a key that sorts output_2 before output_10: the file itself keeps no order of names."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


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


def _spec(path: Path, name: str, shape: Any, dtype: Any) -> TensorSpec:
    import tensorflow as tf

    kind = tf.as_dtype(dtype)
    if getattr(shape, "rank", 0) is None:
        raise ModelError(
            f"{path}: the input {name} has no known number of dimensions", hint="save it with a shape"
        )
    if not (kind.is_floating or kind.is_integer or kind.is_bool):
        raise ModelError(
            f"{path}: the input {name} takes {kind.name}: only numbers can be fed",
            hint="leave the preprocessing out of the model",
        )
    return TensorSpec(name, tuple(-1 if size is None else int(size) for size in shape), kind.name)


def _output_names(inputs: Sequence[TensorSpec], names: Sequence[str]) -> tuple[str, ...]:
    """Return the outputs' names as identifiers, none of which is an input's: ONNX has one space of names."""
    taken = [spec.name for spec in inputs]
    return unique((*taken, *(identifier(name) for name in names)))[len(taken) :]


def _check_precision(path: Path, model: Any) -> None:
    """Raise ModelError where a layer computes in less than float32: the export would not be fp32."""
    for layer in _layers(model):
        kind = str(getattr(layer, "compute_dtype", "float32"))
        if kind in ("float16", "bfloat16"):
            raise ModelError(
                f"{path}: the layer {layer.name} computes in {kind} (mixed precision)",
                hint="rebuild the model with the dtype policy float32, set_weights, and save it again",
            )


def _layers(model: Any) -> Iterator[Any]:
    """Yield the model's layers, those of models within it too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)


def _check_finite(path: Path, weights: Sequence[tuple[str, Any]]) -> None:
    import numpy as np

    for name, values in weights:
        if "float" in values.dtype.name and not np.isfinite(values.astype(np.float32)).all():
            raise ModelError(f"{path}: the weights {name} hold NaN or infinity")


def _flat(value: Any) -> list[Any]:
    import tensorflow as tf

    return list(tf.nest.flatten(value))


def _tensorflow_version() -> dict[str, str]:
    import tensorflow as tf

    return {"tensorflow": tf.__version__}


def _first_line(err: Exception) -> str:
    """Return the error's kind and the first sentence of what it says."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    reason = lines[0].partition(". ")[0][:_LONGEST] if lines else ""
    return f"{type(err).__name__}: {reason}" if reason else type(err).__name__
