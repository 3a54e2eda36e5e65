"""The user's own functions, named as `file.py:function` or `package.module:function`."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgebench.errors import EdgebenchError, InputError


def is_function_spec(spec: str) -> bool:
    """Return whether a string has the form `place:function`."""
    place, colon, name = spec.rpartition(":")
    return bool(colon and place and name.isidentifier())


def names_function(spec: str, base: Path) -> bool:
    """Return whether the text names a function, and no file in `base` that is called so."""
    return is_function_spec(spec) and not (base / spec).exists()


def resolve_function_spec(spec: str, *, base: Path | None = None) -> str:
    """Return the spec with a file's path made absolute, relative paths being taken from `base`.

    Raises InputError where the file is not there or the form is another.
    """
    place, _, name = spec.rpartition(":")
    if not is_function_spec(spec):
        raise InputError(
            f"{spec!r} does not name a function", hint="as in model.py:build or package.module:build"
        )
    if not place.endswith(".py"):
        return spec
    path = ((base or Path.cwd()) / place).resolve()
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint=f"{spec!r} names a function in it")
    return f"{path}:{name}"


def call_function(spec: str, *, base: Path | None = None) -> Any:
    """Return what the function that `spec` names returns, called without arguments.

    Its neighbours are found while it runs, too. Raises what load_function raises, and InputError,
    with the file and line, for whatever the function raises itself.
    """
    function = load_function(spec, base=base)
    place, _, _ = resolve_function_spec(spec, base=base).rpartition(":")
    with _on_path(Path(place).parent if place.endswith(".py") else base or Path.cwd()):
        try:
            return function()
        except EdgebenchError:
            raise
        except (Exception, SystemExit) as err:  # whatever the user's function raises
            raise InputError(
                f"{spec}: failed: {failure_place(err)}", hint="it is called without arguments"
            ) from err


def load_function(spec: str, *, base: Path | None = None) -> Callable[..., Any]:
    """Return the function that `file.py:function` or `package.module:function` names.

    The file's folder is on sys.path while it is imported, so that its neighbours are found.
    Raises InputError for a file or function that is not there (with the nearest name), and for an
    import that fails (with the file and line).
    """
    resolved = resolve_function_spec(spec, base=base)
    place, _, name = resolved.rpartition(":")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, base)
    function = getattr(module, name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(names) or 'no functions'}"
        raise InputError(f"{place} has no function {name!r}", hint=hint)
    return function  # type: ignore[no-any-return]


def source_path(spec: str, *, base: Path | None = None) -> Path | None:
    """Return the file that holds the function, importing at most its parent packages.

    None where there is no such module, or it is in no file. Raises InputError for a parent package that
    cannot be imported, with the file and line.
    """
    place, _, _ = resolve_function_spec(spec, base=base).rpartition(":")
    if place.endswith(".py"):
        return Path(place)
    with _on_path(base or Path.cwd()):
        try:
            found = importlib.util.find_spec(place)
        except (Exception, SystemExit) as err:  # whatever a parent package raises
            absent = err.name if isinstance(err, ModuleNotFoundError) else None
            if absent is not None and f"{place}.".startswith(f"{absent}."):
                return None
            raise _not_imported(place, err) from err
    return Path(found.origin) if found and found.origin and Path(found.origin).is_file() else None


def _import_file(path: Path) -> ModuleType:
    """Return the module of a file, run once for as long as its text is the same."""
    try:
        digest = hashlib.sha256(f"{path}\n".encode() + path.read_bytes())
    except OSError as err:
        raise _not_imported(path, err) from err
    name = f"{path.stem}_{digest.hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _on_path(path.parent):
            spec.loader.exec_module(module)
    except BaseException as err:
        del sys.modules[name]
        if not isinstance(err, Exception | SystemExit):
            raise
        raise _not_imported(path, err) from err
    return module


def _import_module(name: str, base: Path | None) -> ModuleType:
    importlib.invalidate_caches()
    with _on_path(base or Path.cwd()):
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as err:  # whatever the user's module raises
            raise _not_imported(name, err) from err


def _not_imported(place: object, err: BaseException) -> InputError:
    return InputError(f"{place}: cannot be imported: {failure_place(err)}")


def failure_place(err: BaseException) -> str:
    """Return an exception of the user's code in one line: its kind, its words, its file and line.

    The line is the last one of the user's own code, not that of a library it called.
    """
    frames = [frame for frame in traceback.extract_tb(err.__traceback__) if frame.filename != __file__]
    own = [frame for frame in frames if not _is_library(frame.filename)] or frames
    where = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    words = " ".join(str(err).split())
    return f"{type(err).__name__}{': ' if words else ''}{words}{where}"


def _is_library(file: str) -> bool:
    paths = sysconfig.get_paths()
    libraries = (paths["stdlib"], paths["purelib"], paths["platlib"], "<frozen ")
    return file.startswith(libraries)


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it out itself
            sys.path.remove(entry)
