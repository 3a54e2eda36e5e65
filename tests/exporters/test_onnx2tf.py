"""The environment of onnx2tf: whole or absent, and what it cannot do is one clear line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.small_onnx import save_classifier
from onnx import helper
from onnx_builders import job, save
from processes import processes_of, wait_until

from edgebench.errors import ExportError, MissingExtraError, StorageError
from edgebench.exporters.onnx2tf import (
    PYTHON,
    REQUIREMENTS,
    create_environment,
    environment_python,
    to_tflite,
)
from edgebench.storage import sha256_path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the test's own, in use."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EDGEBENCH_CACHE", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_without_the_environment_the_error_says_how_to_get_it(cache: Path, tmp_path: Path) -> None:
    """Nothing is installed behind the user's back: the command that creates the environment is the hint."""
    with pytest.raises(MissingExtraError) as caught:
        to_tflite(job(save_classifier(tmp_path / "m.onnx"), tmp_path))
    assert caught.value.hint == "edgebench doctor --fix onnx2tf"
    assert not cache.exists()


def test_an_operator_of_a_runtimes_own_is_named(cache: Path, tmp_path: Path) -> None:
    """What is not ONNX's own is refused with operator and node before any environment is needed."""
    node = helper.make_node("Gelu", ["x"], ["y"], name="the_node", domain="com.microsoft")
    model = save(tmp_path / "m.onnx", [node], {"x": [1, 4]}, {"y": [1, 4]})
    with pytest.raises(ExportError, match=r"operator com\.microsoft\.Gelu \(node the_node\)"):
        to_tflite(job(model, tmp_path))
    assert not cache.exists()


def pretend(cache: Path, script: str, *, pins: str | None = None) -> Path:
    """Make an environment whose interpreter is a shell script that gets the job file as its third word."""
    folder = cache / "envs" / "onnx2tf"
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    record = {"requirements_sha256": pins or sha256_path(REQUIREMENTS)}
    (folder / "edgebench.json").write_text(json.dumps(record))
    return python


def test_an_environment_of_other_pins_is_not_used(cache: Path) -> None:
    """Only an environment made from this release's requirements counts as there."""
    assert environment_python() is None
    python = pretend(cache, "exit 0", pins="of an older release")
    assert environment_python() is None
    shutil.rmtree(cache)
    assert pretend(cache, "exit 0") == environment_python() == python
    python.unlink()
    assert environment_python() is None


TRACEBACK = r"""printf '\033[31mERROR:\033[0m onnx_op_name: hidden\n'
echo Traceback:
echo '  File x'
echo 'some.module.ValueError: shapes differ'
exit 1"""
FAILURES = {
    "an exception": (TRACEBACK, "at the operator Gemm (node hidden): some.module.ValueError: shapes differ"),
    "a crash": ("echo some last words; kill -SEGV $$", "onnx2tf failed (-11): some last words"),
    "no result": ("exit 0", "onnx2tf failed (0)"),
    "a refusal": (
        'echo \'{"error": "cannot express X"}\' > "$(dirname "$3")/result.json"; exit 1',
        "m.onnx: cannot express X",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_conversion_says_where_it_stopped(kind: str, cache: Path, tmp_path: Path) -> None:
    """The node, the last exception or the last words of onnx2tf are in the error; no file is left."""
    script, words = FAILURES[kind]
    pretend(cache, script)
    with pytest.raises(ExportError) as caught:
        to_tflite(job(save_classifier(tmp_path / "m.onnx"), tmp_path))
    assert words in caught.value.message
    assert not (tmp_path / "m.tflite").exists()


def needs_interpreter() -> None:
    """Skip where there is no Python of the release that the pins have wheels for."""
    name = "python{}.{}".format(*PYTHON)
    if sys.version_info[:2] != PYTHON and shutil.which(name) is None:
        pytest.skip(f"the onnx2tf environment needs {name}: put it on PATH")


def left_in(cache: Path) -> list[str]:
    """Return what an attempt to create the environment left, besides its lock."""
    return [path.name for path in (cache / "envs").iterdir() if path.name != ".lock"]


def test_what_pip_refuses_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry the creation ends in pip's last lines and a hint; no half-made folder stays."""
    needs_interpreter()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ExportError, match="could not be created") as caught:
        create_environment()
    assert "No matching distribution" in caught.value.message
    assert "registry" in str(caught.value.hint)
    assert left_in(cache) == []
    assert environment_python() is None


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache below a plain file is an error that names the setting which moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="cannot be written") as caught:
        create_environment()
    assert "EDGEBENCH_CACHE" in str(caught.value.hint)


@pytest.fixture
def silent_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a package registry on loopback that accepts and never answers; pip is pointed at it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        for name in ("HTTP_PROXY", "http_proxy", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        yield server


def creating() -> subprocess.Popen[str]:
    """Start creating the environment in a process of its own."""
    code = "from edgebench.exporters.onnx2tf import create_environment; create_environment()"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_interrupted_creation_leaves_nothing_and_a_second_is_refused(
    cache: Path, silent_registry: socket.socket
) -> None:
    """While pip works a second creation is refused; Ctrl-C then leaves no folder and no process."""
    needs_interpreter()
    with creating() as process:
        connection, _ = silent_registry.accept()
        with connection:
            with pytest.raises(StorageError, match="another edgebench is creating"):
                create_environment()
            assert len(left_in(cache)) == 1
            process.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert left_in(cache) == []
    assert wait_until(lambda: not processes_of(cache))


def test_killed_creation_is_never_used_and_is_cleared(
    cache: Path, silent_registry: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed creation left is not taken for an environment, and the next creation removes it."""
    needs_interpreter()
    with creating() as process:
        connection, _ = silent_registry.accept()
        process.kill()
        process.communicate(timeout=30)
        connection.close()
    silent_registry.close()
    assert len(left_in(cache)) == 1
    assert environment_python() is None
    assert wait_until(lambda: not processes_of(cache), seconds=60)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ExportError):
        create_environment()
    assert left_in(cache) == []
