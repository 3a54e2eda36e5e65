"""PyTorch weights as files: read as tensors only, checked, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import MissingExtraError, ModelError
from edgebench.storage import atomic_path

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
_SHOWN = 3


def require_torch() -> None:
    """Raise MissingExtraError, with the command that adds it, where PyTorch is not installed."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("PyTorch is not installed", hint="pip install 'edgebench[torch]'")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .pt, .pth, .th or .safetensors file by name.

    A checkpoint's `state_dict` is unwrapped and the prefix `module.` of DataParallel removed. No
    pickle is executed: a file that holds anything but tensors is refused. Raises ModelError.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file", hint="name the weights with --weights")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = _tensors(content)
    if not tensors:
        raise ModelError(f"{path}: holds no tensors by name", hint="save model.state_dict()")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    import safetensors
    import safetensors.torch

    try:
        loaded: Mapping[str, torch.Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as err:
        raise ModelError(f"{path}: not a readable .safetensors file: {_first_line(err)}") from err
    return loaded


def _read_torch(path: Path) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise ModelError(
            f"{path}: holds more than tensors, and is not executed to find out what: {_first_line(err)}",
            hint="save model.state_dict(), best as .safetensors",
        ) from err
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as err:
        raise ModelError(f"{path}: not a readable weights file: {_first_line(err)}") from err


def _tensors(content: object) -> dict[str, torch.Tensor]:
    import torch

    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def load_into(model: torch.nn.Module, path: Path) -> None:
    """Load a weights file into `model`, every name and shape having to fit. Raises ModelError."""
    tensors = read_weights(path)
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    unlike = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    faults = {"missing": missing, "not in the model": unknown, "of another shape": unlike}
    words = "; ".join(f"{fault}: {_some(names)}" for fault, names in faults.items() if names)
    if words:
        raise ModelError(f"{path}: does not fit the model: {words}", hint="name the factory that made it")
    model.load_state_dict(tensors, strict=False)
    check_finite(model, str(path))


def check_finite(model: torch.nn.Module, name: str) -> None:
    """Raise ModelError, naming the tensor, where a weight of `model` is NaN or infinite."""
    import torch

    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{name}: the tensor {key!r} has {count} values that are NaN or infinite",
                hint="the training diverged, or the file is damaged",
            )


def write_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the model's tensors to a .safetensors file, whole or not at all."""
    import safetensors.torch

    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _first_line(err: BaseException) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200]
