"""PyTorch weights as files: read as tensors only, checked, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import MissingExtraError, ModelError
from edgebench.storage import write_bytes

if TYPE_CHECKING:
    import torch

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
_SAVE = "save model.state_dict(), best as .safetensors"
_SHOWN = 3


def require_torch() -> None:
    """Raise MissingExtraError, with the command that adds it, where PyTorch is not installed."""
    import importlib.util

    for package, name in (("torch", "PyTorch"), ("safetensors", "safetensors")):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"{name} is not installed", hint="pip install 'edgebench[torch]'")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .pt, .pth, .th or .safetensors file by name.

    A checkpoint's `state_dict` is unwrapped, and the prefixes of DataParallel and torch.compile are
    removed. No pickle is executed: a file that holds anything but tensors is refused. Raises
    ModelError.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file", hint="name the weights with --weights")
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    tensors = _tensors(_unwrapped(content))
    if not tensors:
        raise ModelError(f"{path}: holds no tensors by name, only {_held(content)}", hint=_SAVE)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _unwrapped(content: Any) -> Any:
    for _ in _WRAPPERS:  # a foreign file may hold itself
        if isinstance(content, Mapping):
            found = (content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping))
            content = next(found, content)
    return content


def _held(content: object) -> str:
    names = [str(name) for name in content] if isinstance(content, Mapping) else []
    return _some(names) if names else type(content).__name__


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
    import re
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the file's format that no user can act on
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        found = re.search(r"GLOBAL (\S+)", str(err))
        what = f"`{found[1]}`" if found else "more than tensors, or is damaged"
        raise ModelError(f"{path}: holds {what}, and nothing of it is executed", hint=_SAVE) from err
    except Exception as err:  # a damaged file makes torch's readers raise kinds of everything
        words = "a TorchScript archive" if "TorchScript" in str(err) else f"damaged: {_first_line(err)}"
        raise ModelError(f"{path}: not a readable weights file: {words}", hint=_SAVE) from err


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
    """Raise ModelError, naming the tensor, where a weight or buffer of `model` is NaN or infinite.

    A buffer may hold -Inf: attention masks do.
    """
    import torch

    weights = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    for key, tensor in model.state_dict().items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        bad = ~torch.isfinite(tensor)
        if key not in weights and tensor.is_floating_point():
            bad &= ~torch.isneginf(tensor)
        if count := int(bad.sum()):
            raise ModelError(
                f"{name}: the tensor {key!r} has {count} values that are NaN or infinite",
                hint="the training diverged, or the file is damaged",
            )


def write_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the model's tensors to a .safetensors file, whole or not at all. Raises StorageError."""
    import safetensors.torch

    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _first_line(err: BaseException) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200]
