"""Whether a .pt2 archive would run code of its own on loading or running.

`torch.export.load` unpickles some parts of the archive, evaluates its symbolic shapes with sympy, and
looks operators up by dotted names; so each of these is read here first, as data, and by PyTorch's own
reader: another one may take another of two members of one name. Format: PyTorch's
torch/export/pt2_archive and torch/_export/serde/schema.py.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgebench.errors import ModelError

_NAMESPACES = "aten|prims|higher_order|quantized_decomposed|torchvision"
_PYTHON = "getitem add sub mul floordiv truediv mod neg pos pow eq ne lt le gt ge and_ or_ not_ abs".split()
_OF_FILES = r"aten\.(from_file|save)\b"
_OPERATOR = re.compile(
    rf"torch\.ops\.(?!{_OF_FILES})({_NAMESPACES})\.\w+(\.\w+)?|torch\.sym_\w+|_operator\.({'|'.join(_PYTHON)})|math\.[a-z]\w*"
)
_SYMBOL = re.compile(r"[a-z]{1,3}\d+")
_FUNCTIONS = frozenset(
    "Symbol Integer Float Rational Add Mul Pow Mod Max Min Abs FloorDiv CeilDiv CleanDiv ModularIndexing "
    "PythonMod IntTrueDiv FloatTrueDiv Eq Ne Equality Unequality Relational LessThan StrictLessThan "
    "GreaterThan StrictGreaterThan And Or Not Piecewise ExprCondPair floor ceiling ToFloat Where "
    "TruncToInt FloorToInt CeilToInt RoundToInt Identity BooleanTrue BooleanFalse".split()
)
_ALLOWED = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.UnaryOp, ast.BinOp,
    ast.Compare, ast.operator, ast.unaryop, ast.cmpop, ast.Tuple,
)  # fmt: skip
_HINT = "save it again with torch.export.save"


def check_pt2(path: Path) -> None:
    """Return where the archive holds tensors, a graph of PyTorch operators, and nothing to run.

    Raises ModelError where it cannot be read, is of an older format, carries compiled code or pickled
    objects, or names something else than an operator.
    """
    import torch

    try:
        _check_listing(path)
        archive = torch._C.PyTorchFileReader(str(path))  # noqa: SLF001 - torch.export.load's own reader
        names = archive.get_all_records()
        _check_members(path, names)
        for name in names:
            if name.endswith("_config.json"):
                _check_payloads(path, json.loads(archive.get_record(name)))
            elif name.startswith("models/"):
                _check_graph(path, json.loads(archive.get_record(name)))
            elif name.startswith("data/sample_inputs/"):
                _check_tensors_only(path, archive.get_record(name))
    except (zipfile.BadZipFile, RuntimeError, ValueError, KeyError, EOFError, OSError) as err:
        raise ModelError(f"{path}: not a readable .pt2 archive: {_reason(err)}", hint=_HINT) from err


def _reason(err: Exception) -> str:
    """Return what PyTorch's reader found, without the advice it adds for checkpoints."""
    return str(err).strip().partition(". This is an internal")[0].partition("\n")[0]


def _check_members(path: Path, names: Sequence[str]) -> None:
    for name in names:
        pickled = name.startswith(("data/weights/", "data/constants/")) and name.endswith(".pt")
        if pickled or name.startswith("data/constants/custom_obj") or "opaque_obj" in name:
            raise ModelError(f"{path}: {name} is a pickled object, and is not executed", hint=_HINT)
        if name.startswith("data/aotinductor/") or name.endswith((".so", ".dylib", ".dll")):
            raise ModelError(f"{path}: {name} is compiled code, and is not executed", hint=_HINT)


def _check_listing(path: Path) -> None:
    """Refuse names that readers could take for different members, and members outside the archive's folder.

    What PyTorch cannot read as an archive of today it reads as one of 2.7, with another reader; and that
    format's members lie in no folder.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.partition("/")[2].startswith("models/") for name in names):
        raise ModelError(f"{path}: holds no exported program, or one of a format before 2.8", hint=_HINT)
    folded = Counter(name.casefold() for name in names)
    if twice := next((name for name in names if folded[name.casefold()] > 1), None):
        raise ModelError(f"{path}: {twice} is there more than once, and is not loaded", hint=_HINT)
    if outside := next((name for name in names if "/" not in name), None):
        raise ModelError(
            f"{path}: {outside} lies outside the archive's folder, and is not loaded", hint=_HINT
        )


def _check_payloads(path: Path, config: Any) -> None:
    for name, entry in config.get("config", {}).items():
        if entry.get("use_pickle"):
            raise ModelError(f"{path}: the tensor {name} is pickled, and is not executed", hint=_HINT)
        if entry["path_name"] != Path(entry["path_name"]).name:
            raise ModelError(f"{path}: the tensor {name} points outside its folder")


def _check_tensors_only(path: Path, content: bytes) -> None:
    import pickle

    import torch

    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as err:
        raise ModelError(
            f"{path}: its sample inputs hold more than tensors, and are not executed", hint=_HINT
        ) from err


def _check_graph(path: Path, program: Any) -> None:
    for key, value in _entries(program):
        if key in ("target", "as_operator") and isinstance(value, str) and not _OPERATOR.fullmatch(value):
            raise ModelError(
                f"{path}: {value!r} is not a PyTorch operator that only computes, and is not executed"
            )
        if key == "expr_str" and not _is_arithmetic(str(value)):
            raise ModelError(f"{path}: the shape {value!r} is not arithmetic, and is not evaluated")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value in the program, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _is_arithmetic(text: str) -> bool:
    """Whether the text is an expression of symbols, numbers and sympy's arithmetic functions only."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or bool(_SYMBOL.fullmatch(node.id)) or node.id in ("oo", "int_oo")
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_SYMBOL.fullmatch(node.value))
    return isinstance(node, _ALLOWED)
