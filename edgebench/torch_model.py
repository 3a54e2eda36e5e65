"""A PyTorch module from the user's factory, with weights in it: built in one place."""

from __future__ import annotations

import hashlib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import ModelError
from edgebench.torch_weights import check_finite, load_into, require_torch
from edgebench.user_code import call_function

if TYPE_CHECKING:
    import torch


def build_module(
    spec: str, *, base: Path | None = None, weights: Path | None = None, seed: int = 0
) -> torch.nn.Module:
    """Return the module that `file.py:factory` makes, with `weights` loaded where they are given.

    Without weights it has the factory's own, made after seeding PyTorch with `seed`. Raises
    ModelError where the factory returns something else, or the weights do not fit or are not finite;
    MissingExtraError without PyTorch; InputError where there is no such factory, or it fails.
    """
    require_torch()
    import torch

    torch.manual_seed(seed)
    module = call_function(spec, base=base)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{spec}: returned {type(module).__name__}, not a torch.nn.Module")
    if weights is None:
        check_finite(module, spec)
    else:
        load_into(module, weights)
    return module


def own_weights(arguments: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of what each factory fills its module with: names, dtypes, shapes and values.

    Of a factory that fills it otherwise each time there is none. arguments: `models`, specs as
    `file.py:factory`, and `base`, where their paths start. Runs in a worker, so that a factory reads its
    files anew. Raises as `build_module` does.
    """
    base = Path(arguments["base"])
    twice = {model: [_filled_sha256(model, base) for _ in range(2)] for model in arguments["models"]}
    return {model: first for model, (first, second) in twice.items() if first == second}


def _filled_sha256(spec: str, base: Path) -> str:
    import torch

    module = build_module(spec, base=base)
    digest = hashlib.sha256()
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
