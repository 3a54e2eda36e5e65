"""What the words of an option stand for: precisions, formats, shapes, a model's own name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgebench.artifact import Precision
from edgebench.datasets import Preprocessing
from edgebench.errors import ConfigError


def precisions_of(text: str | None, *, int8: bool, fp16: bool) -> tuple[Precision, ...]:
    """Return the precisions that the options name, in their order; fp32 where they name none."""
    chosen = list(choices(text, Precision, "--precision")) if text else []
    chosen += [Precision.FP16] if fp16 else []
    chosen += [Precision.W8A8] if int8 else []
    return tuple(dict.fromkeys(chosen)) or (Precision.FP32,)


def choices(text: str, kind: type[Any], option: str) -> tuple[Any, ...]:
    """Return the members of an enum that a list with commas names. Raises ConfigError, naming `option`."""
    valid = [member.value for member in kind if member.value != "unknown"]
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in valid:
            raise ConfigError(f"{option}: unknown {name!r}", hint=f"valid: {', '.join(valid)}")
    if not names:
        raise ConfigError(f"{option} names nothing", hint=f"valid: {', '.join(valid)}")
    return tuple(dict.fromkeys(kind(name) for name in names))


def choice(text: str, kind: type[Any], option: str) -> Any:
    """Return the member of an enum that a word names. Raises ConfigError, naming `option`."""
    found = choices(text, kind, option)
    if len(found) > 1:
        raise ConfigError(f"{option} takes one value, not {len(found)}", hint=f"as in {option} {found[0]}")
    return found[0]


def shape_of(text: str) -> tuple[int, ...]:
    """Return the shape that `1,3,224,224` names. Raises ConfigError."""
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError as err:
        raise ConfigError(
            f"--input-shape {text!r} is not a list of numbers", hint="as in 1,3,224,224"
        ) from err
    if any(size < 1 for size in shape):
        raise ConfigError(f"--input-shape {text!r}: every size is 1 or more", hint="as in 1,3,224,224")
    return shape


def parse_duration(text: str, option: str) -> float:
    """Return the seconds, 0 or more, of a text such as `15ms`, `90s`, `10m` or `2h`.

    Raises ConfigError, naming `option`.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if found is None:
        raise ConfigError(f"{option} {text!r} is not a span of time", hint="as in 90s, 10m or 2h")
    return float(found[1]) * {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]


def parse_percent(text: str, option: str) -> float:
    """Return the share, above 0, of a text such as `2%`. Raises ConfigError, naming `option`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    if found is None or not float(found[1]):
        raise ConfigError(f"{option} {text!r} is not a percentage above zero", hint="as in 2%")
    return float(found[1]) / 100


def parse_preprocessing(text: str | None) -> Preprocessing:
    """Return preprocessing from inline YAML such as `{scale: 0.0039}`. Raises ConfigError."""
    from edgebench.config import parse_config

    return parse_config(text, Preprocessing, name="--preprocessing") if text else Preprocessing()


def model_name(model: str) -> str:
    """`m.onnx` → m, `nets/resnet.py:build` → resnet, `package.nets:build` → nets."""
    place = model.rpartition(":")[0] or model
    return Path(place).stem if Path(place).exists() else place.rpartition(".")[2]
