"""The native runner as a program: its C sources, compiled for a machine by what compiler is here."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebench.devices.process import Ended, run_process, text
from edgebench.errors import ConfigError
from edgebench.storage import atomic_path, cache_folder, sha256_bytes, sha256_path

SOURCES = Path(__file__).parent
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall")
_LIBRARIES = ("-ldl", "-lpthread")
_BUILD_S = 300.0
_OLDEST_ANDROID = 26
_ZIG_GLIBC = "2.28"
"""The C library that ONNX Runtime's and LiteRT's wheels need at least."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of machine. architecture: as `uname -m` says. android: its C library is bionic."""

    architecture: str
    android: bool = False

    @property
    def name(self) -> str:
        """Return it in words: `aarch64 Linux`."""
        return f"{self.architecture} {'Android' if self.android else 'Linux'}"


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler. argv: what starts it. version: the first line of its `--version`."""

    argv: tuple[str, ...]
    version: str


def build(target: Target) -> Path:
    """Return the runner for a machine, from the cache where it was built before by the same compiler.

    Raises ConfigError where there is no compiler for it, or it refuses.
    """
    compiler = find_compiler(target)
    sources = sorted(SOURCES.glob("*.[ch]"))
    made_of = [*map(sha256_path, sources), *compiler.argv, compiler.version, *_FLAGS]
    runner = cache_folder() / "native" / sha256_bytes("\n".join(made_of).encode())[:16] / "runner"
    if not os.access(runner, os.X_OK):
        _compile(compiler, [path for path in sources if path.suffix == ".c"], runner)
    return runner


def find_compiler(target: Target) -> Compiler:
    """Return the first compiler here that compiles for a machine. Raises ConfigError where there is none."""
    for argv in _candidates(target):
        if shutil.which(argv[0]) is None:
            continue
        ended = run_compiler([*argv, "--version"])
        if ended.returncode == 0:
            return Compiler(tuple(argv), text(ended.stdout).partition("\n")[0].strip())
    raise ConfigError(
        f"the native runner needs a C compiler for {target.name}, and none is here", hint=_remedy(target)
    )


def run_compiler(argv: Sequence[str]) -> Ended:
    """Return how a compiler ended. Raises ConfigError where it hangs or cannot be started."""
    try:
        return run_process(argv, timeout_s=_BUILD_S)
    except subprocess.TimeoutExpired as err:
        raise ConfigError(f"{argv[0]} did not end within {_BUILD_S:g} s") from err
    except OSError as err:
        raise ConfigError(f"{argv[0]}: cannot be started ({err.strerror})") from err


def _candidates(target: Target) -> Iterator[list[str]]:
    if target.android:
        yield from ([str(path)] for path in _ndk_compilers(target.architecture))
        return
    if target.architecture == platform.machine():
        yield from ([name] for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name)
    yield [f"{target.architecture}-linux-gnu-gcc"]
    zig = ["cc", "-target", f"{target.architecture}-linux-gnu.{_ZIG_GLIBC}"]
    yield ["zig", *zig]
    if importlib.util.find_spec("ziglang") is not None:
        yield [sys.executable, "-m", "ziglang", *zig]


def _ndk_compilers(architecture: str) -> list[Path]:
    """Return the NDK's compilers for an architecture, that for the oldest Android first."""
    ndk = os.environ.get("ANDROID_NDK_HOME") or os.environ.get("ANDROID_NDK_ROOT") or "/nowhere"
    prefix = f"{architecture}-linux-android"
    found = Path(ndk).glob(f"toolchains/llvm/prebuilt/*/bin/{prefix}*-clang")
    release = {path: path.name.removeprefix(prefix).removesuffix("-clang") for path in found}
    known = {path: int(word) for path, word in release.items() if word.isdigit()}
    return sorted((path for path in known if known[path] >= _OLDEST_ANDROID), key=lambda path: known[path])


def _remedy(target: Target) -> str:
    if target.android:
        return "set ANDROID_NDK_HOME to an Android NDK"
    if target.architecture == platform.machine():
        return "apt-get install gcc, or pip install ziglang"
    return f"apt-get install gcc-{target.architecture.replace('_', '-')}-linux-gnu, or pip install ziglang"


def _compile(compiler: Compiler, sources: list[Path], runner: Path) -> None:
    with atomic_path(runner) as temporary:
        argv = [*compiler.argv, *_FLAGS, "-o", str(temporary), *map(str, sources), *_LIBRARIES]
        ended = run_compiler(argv)
        if ended.returncode != 0:
            said = next(
                (line for line in text(ended.stderr).splitlines() if "error" in line), "no error is told"
            )
            raise ConfigError(f"{compiler.argv[0]} does not build the native runner: {said.strip()}")
    runner.chmod(0o755)
