"""The native runner on devices without Python: built here, sent there, the same evidence."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from devices.adb_phone import Attached
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier
from models.small_tflite import save_tflite
from onnx import helper, numpy_helper
from processes import edgebench

from edgebench import api
from edgebench.benchmark.evidence_files import load_answers, load_samples
from edgebench.benchmark.native.build import Target
from edgebench.benchmark.native.bundle import open_bundle
from edgebench.benchmark.native.libraries import fetch_library, fetched_library
from edgebench.errors import ConfigError, DeviceError, MissingExtraError
from edgebench.progress import silent

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="apt-get install gcc enables this test")


@dataclass(frozen=True)
class Bare:
    """A machine of whose Python nobody speaks. name: for --device. folder: its files."""

    name: str
    folder: Path


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of this module's own, so that the runner is built once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture
def phone_name(phone: Attached, tmp_path: Path) -> Bare:
    """Return a phone with a folder of this test's own."""
    (tmp_path / "its files").mkdir()
    return Bare(f"adb://{phone.serial}?cache={tmp_path}/its%20files", tmp_path / "its files")


@pytest.fixture
def linux(over_ssh: SshServer, tmp_path: Path) -> Bare:
    """Return a machine over ssh with a folder of this test's own."""
    (tmp_path / "its files").mkdir()
    return Bare(f"{over_ssh.uri}?cache={tmp_path}/its%20files", tmp_path / "its files")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return 40 labelled samples of 16 numbers in 4 classes."""
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.normal(size=(40, 16)).astype(np.float32), y=rng.integers(0, 4, 40))
    return path


def names_there(bare: Bare) -> set[str]:
    """Return the folders of files that stay in the device's folder; locks lie beside them."""
    root = bare.folder / "edgebench"
    found = {path.relative_to(root).parts[0] for path in root.rglob("*") if not path.is_dir()}
    return {name for name in found if not name.startswith("lock")}


def test_a_phone_needs_no_python(phone_name: Bare, data: Path, tmp_path: Path) -> None:
    """A phone of which nobody names a Python measures by the native runner: answers, timings, their kind."""
    models = [save_classifier(tmp_path / "c l.onnx"), save_tflite(tmp_path / "m.tflite", signature=True)]
    settings = {"data": str(data), "sessions": 1, "calls": 50}
    far = api.benchmark(models, device=phone_name.name, **settings, out=tmp_path / "far")
    near = api.benchmark(models, **settings, out=tmp_path / "near")
    evidence = api.read_evidence(far)
    assert evidence.environment["native runner"]
    assert "python" not in evidence.environment
    for native, python in zip(evidence.measurements, api.read_evidence(near).measurements, strict=True):
        assert native.failure is None
        np.testing.assert_array_equal(load_answers(far, native).logits, load_answers(near, python).logits)
        assert load_samples(far, native).latency_ns.size == 50
        timing = native.sessions[0].timing
        assert (timing.process, timing.clock) == ("fresh native process per session", "CLOCK_MONOTONIC")
        assert native.sessions[0].peak_rss_bytes > 1_000_000
    assert names_there(phone_name) == {"files"}


@pytest.mark.acceptance
def test_over_ssh_the_runner_is_chosen(linux: Bare, tmp_path: Path) -> None:
    """Python is what measures over ssh, and `--runner native` on the command line takes the other."""
    model = save_classifier(tmp_path / "m.onnx")
    settings = ["--device", linux.name, "--sessions", "1", "--calls", "30", "-o", "run"]
    done = edgebench("benchmark", str(model), *settings, "--runner", "native", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (session,) = api.read_evidence(tmp_path / "run").measurements[0].sessions
    assert "native" in session.timing.process
    assert "OrtApi::Run" in session.timing.timed


def save_failing(path: Path) -> Path:
    """Write a model that can be loaded, and fails in each call: it takes the 100th of 16 numbers."""
    ends = [helper.make_tensor_value_info(*end) for end in (("x", 1, [1, 16]), ("scores", 1, [1, 1]))]
    node = helper.make_node("Gather", ["x", "place"], ["scores"], axis=1)
    place = numpy_helper.from_array(np.array([99]), "place")
    graph = helper.make_graph([node], "failing", ends[:1], ends[1:], [place])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.acceptance
def test_what_a_model_lacks_is_its_failure(phone_name: Bare, tmp_path: Path) -> None:
    """A model that fails is that artifact's failure, in the runtime's words; the others are measured."""
    models = [save_classifier(tmp_path / "good.onnx"), save_failing(tmp_path / "bad.onnx")]
    run = api.benchmark(models, device=phone_name.name, sessions=1, calls=30, out=tmp_path / "run")
    first, second = api.read_evidence(run).measurements
    assert first.failure is None
    assert second.failure is not None
    assert "the model's call failed" in second.failure
    assert "out of data bounds" in second.failure


@pytest.mark.acceptance
def test_without_its_c_library_it_goes_through_the_loader(
    phone_name: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that the device cannot start is started through a loader that is sent."""
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\nexec cc -Wl,--dynamic-linker=/absent/ld.so "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    there = api.device_setup(phone_name.name, native=True)
    assert "started through ld-linux" in there[0]
    model = save_classifier(tmp_path / "m.onnx")
    run = api.benchmark([model], device=phone_name.name, sessions=1, calls=30, out=tmp_path / "run")
    assert api.read_evidence(run).measurements[0].failure is None


def test_setup_says_what_it_made(phone_name: Bare, tmp_path: Path) -> None:
    """`devices setup --native` names the compiler and the libraries, and leaves no run on the device."""
    done = edgebench("devices", "setup", phone_name.name, "--native", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runner, *libraries = done.stdout.splitlines()
    assert runner.startswith("runner by ")
    assert [line.partition(" ")[0].partition(".so")[0] for line in libraries] == [
        "libonnxruntime",
        "libLiteRt",
    ]
    assert names_there(phone_name) == {"files"}


def test_the_doctor_knows_the_runner(phone_name: Bare) -> None:
    """`devices doctor` of a phone without Python finds the native runner and both runtimes."""
    found = {finding.name: finding for finding in api.device_doctor(phone_name.name)}
    assert "it starts" in found["native runner"].detail
    assert all(found[name].present for name in ("onnxruntime", "ai-edge-litert", "benchmark"))
    assert "python" not in found


def test_no_compiler_ends_before_the_measurement(
    phone_name: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a C compiler a phone cannot be measured: exit code 2, and what to install."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "adb").symlink_to(shutil.which("adb") or "adb")
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ConfigError, match="needs a C compiler for") as refused:
        api.benchmark([save_classifier(tmp_path / "m.onnx")], device=phone_name.name, out=tmp_path / "run")
    assert "apt-get install gcc" in str(refused.value.hint)


def test_an_unknown_runner_is_refused(tmp_path: Path) -> None:
    """A runner that does not exist is named, with those that do."""
    with pytest.raises(ConfigError, match="'rust' is no runner") as refused:
        api.benchmark([save_classifier(tmp_path / "m.onnx")], runner="rust", out=tmp_path / "run")
    assert str(refused.value.hint) == "one of auto, python, native"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a folder with wheels of both runtimes for riscv64: one with its library, one without."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, entry in (
        ("onnxruntime", "onnxruntime/capi/libonnxruntime.so.9.1"),
        ("ai_edge_litert", "x.py"),
    ):
        with zipfile.ZipFile(folder / f"{name}-9.1-py3-none-manylinux_2_28_riscv64.whl", "w") as wheel:
            wheel.writestr(entry, "a library")
            wheel.writestr(
                f"{name}-9.1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.1\n"
            )
            wheel.writestr(f"{name}-9.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
            wheel.writestr(f"{name}-9.1.dist-info/RECORD", "")
    return folder


def test_libraries_of_other_machines_are_fetched(foreign: Path, cache: Path) -> None:
    """A library is taken out of a wheel for its architecture, into the cache; without one it is said."""
    assert fetched_library("onnxruntime", "riscv64") is None
    library = fetch_library("onnxruntime", "riscv64", foreign, silent)
    assert (library.path.name, library.version, library.path.read_text()) == (
        "libonnxruntime.so.9.1",
        "9.1",
        "a library",
    )
    assert library.path.is_relative_to(cache)
    assert fetched_library("onnxruntime", "riscv64") == library
    with pytest.raises(DeviceError, match="it brings no libLiteRt"):
        fetch_library("litert", "riscv64", foreign, silent)
    with pytest.raises(DeviceError, match="no wheel of onnxruntime for s390x") as refused:
        fetch_library("onnxruntime", "s390x", foreign, silent)
    assert "--wheels" in str(refused.value.hint)


def test_a_bundle_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For another architecture, libraries that nobody fetched are named with the command that does."""
    compiler = tmp_path / "mips64-linux-gnu-gcc"
    compiler.write_text('#!/bin/sh\nexec cc "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    bundle = open_bundle(Target("mips64"))
    assert bundle.runner.stat().st_mode & stat.S_IXUSR
    with pytest.raises(MissingExtraError, match="no onnxruntime for mips64 Linux here") as refused:
        bundle.library("onnxruntime")
    assert "devices setup NAME --native" in str(refused.value.hint)
    assert platform.machine() != "mips64"
