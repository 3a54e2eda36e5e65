"""The native runner by itself: the agent's job and result, without Python."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fidelity_models import Network, write_onnx, write_tflite
from models.small_onnx import save_classifier
from models.small_tflite import save_two_by_two
from onnx import TensorProto, helper

from edgebench.benchmark.agent_run import AgentResult, decode_result
from edgebench.benchmark.native.build import Compiler, Target, build, find_compiler
from edgebench.benchmark.native.bundle import Bundle
from edgebench.benchmark.native.libraries import installed_library
from edgebench.benchmark.programs import AGENT
from edgebench.errors import ConfigError

NETWORK = Network("tiny", side=6, channels=2, layers=2)
WRITERS = {"onnxruntime": write_onnx, "litert": write_tflite}
HERE = Target(platform.machine())
REAL = {
    "litert": [
        "mlperf_tiny_kws/models/kws_ref_model.tflite",
        "mlperf_tiny_ic/models/pretrainedResnet.tflite",
        "mlperf_tiny_ic/models/pretrainedResnet_quant.tflite",
        "mobilenet_v1_025/mobilenet_v1_0.25_224_1_default_1.tflite",
    ],
    "onnxruntime": ["mnist/models/cntk_mnist.onnx"],
}


@pytest.fixture
def runner(native_runner: Path) -> Path:
    """Return the runner."""
    return native_runner


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of jobs for a network of convolutions; settings override, None leaves out."""

    def make(runtime: str = "onnxruntime", rows: np.ndarray | None = None, **settings: Any) -> Path:
        model = tmp_path / f"model of {runtime} ü"
        WRITERS[runtime](NETWORK, model)
        np.save(tmp_path / "in.npy", images(runtime) if rows is None else rows)
        library = installed_library(runtime)
        content = {
            "schema": 1,
            "runtime": runtime,
            "library": str(library.path),
            "library_version": library.version,
            "model": str(model),
            "inputs": [str(tmp_path / "in.npy")],
            "mode": "latency",
            "threads": 1,
            "affinity": None,
            "warmup_s": 0.01,
            "min_warmup_calls": 5,
            "calls": 40,
            "max_s": 10,
            "result": str(tmp_path / "result.npz"),
            **settings,
        }
        (tmp_path / "job.json").write_text(json.dumps({k: v for k, v in content.items() if v != "left out"}))
        return tmp_path / "job.json"

    return make


def images(runtime: str) -> np.ndarray:
    """Return seven inputs of the network, as a runtime takes them."""
    drawn = np.random.default_rng(3).uniform(-1, 1, (7, 1, 6, 6, 2)).astype(np.float32)
    return drawn if runtime == "litert" else np.ascontiguousarray(drawn.transpose(0, 1, 4, 2, 3))


def run(program: list[str], job: Path) -> tuple[int, str, AgentResult]:
    """Run a job to its end; return exit status, standard error and result."""
    done = subprocess.run(
        [*program, str(job)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    result = Path(json.loads(job.read_text())["result"])
    return done.returncode, done.stderr, decode_result(result.read_bytes())


def refusal(runner: Path, job: Path) -> tuple[str, str]:
    """Run a job that must be refused; return kind and message."""
    status, said, result = run([str(runner)], job)
    assert status == 1
    assert result.arrays == {}
    assert said.endswith(f"{result.meta['kind']}: {result.meta['error']}\n")
    return result.meta["kind"], result.meta["error"]


def both(runner: Path, job: Path) -> tuple[AgentResult, AgentResult]:
    """Return what the runner and the agent make of one job."""
    native, python = (run(program, job) for program in ([str(runner)], [sys.executable, str(AGENT)]))
    assert native[0] == 0, native[1]
    assert python[0] == 0, python[1]
    return native[2], python[2]


@pytest.mark.parametrize("runtime", WRITERS)
def test_every_call_is_timed(runner: Path, job: Callable[..., Path], runtime: str) -> None:
    """A latency job gives what the agent's gives, and says that a native process and clock timed it."""
    native, python = both(runner, job(runtime, affinity=[min(os.sched_getaffinity(0))]))
    latency = native.arrays["latency_ns"]
    assert (latency.dtype, latency.shape) == (np.int64, (40,))
    assert (latency > 0).all()
    assert native.arrays["warmup_ns"].size >= 5
    assert set(python.meta) - {"python"} <= set(native.meta)
    alike = ("schema", "threads", "rows", "affinity", "ended_by", "runtime_version", "provider", "coverage")
    assert [native.meta[key] for key in alike] == [python.meta[key] for key in alike]
    assert (native.meta["process"], native.meta["clock"]) == (
        "fresh native process per session",
        "CLOCK_MONOTONIC",
    )
    assert latency.sum() / 1e9 < native.meta["wall_s"]
    assert native.meta["peak_rss_bytes"] > native.meta["model_rss_bytes"] >= 0


@pytest.mark.parametrize("runtime", WRITERS)
def test_answers_are_the_agents_bit_for_bit(runner: Path, job: Callable[..., Path], runtime: str) -> None:
    """An accuracy job answers every row, in order, with the bits that the agent's Python gets."""
    native, python = both(runner, job(runtime, mode="accuracy"))
    assert list(native.arrays) == list(python.arrays) == ["output_0"]
    assert native.arrays["output_0"].shape == (7, 1, 10)
    assert np.ptp(native.arrays["output_0"], axis=0).max() > 0.01
    np.testing.assert_array_equal(native.arrays["output_0"], python.arrays["output_0"])


@pytest.mark.assets
@pytest.mark.parametrize(("runtime", "name"), [(r, name) for r, names in REAL.items() for name in names])
def test_real_models_answer_bit_for_bit(
    runner: Path, job: Callable[..., Path], assets: Path, runtime: str, name: str
) -> None:
    """Float and int8 models of others answer random inputs as through Python, bit for bit."""
    from edgebench.exporters.inspect import adopt

    (spec,) = adopt(assets / name).inputs
    shape = (20, *(max(size, 1) for size in spec.shape))
    drawn = np.random.default_rng(0)
    if spec.dtype.startswith("float"):
        rows = drawn.uniform(0, 1, shape).astype(spec.dtype)
    else:
        limits = np.iinfo(spec.dtype)
        rows = drawn.integers(limits.min, limits.max, shape, spec.dtype, endpoint=True)
    native, python = both(runner, job(runtime, rows, mode="accuracy", model=str(assets / name)))
    assert native.arrays["output_0"].dtype == python.arrays["output_0"].dtype
    np.testing.assert_array_equal(native.arrays["output_0"], python.arrays["output_0"])


def test_a_quantized_graph_answers_bit_for_bit(
    runner: Path, job: Callable[..., Path], tmp_path: Path
) -> None:
    """An int8 graph of QuantizeLinear and DequantizeLinear answers as through Python."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Rows(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(np.random.default_rng(1).normal(size=(8, 1, 16)).astype(np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {"x": row}

    quantize_static(save_classifier(tmp_path / "float.onnx"), tmp_path / "int8.onnx", Rows(), QuantFormat.QDQ)
    rows = np.random.default_rng(2).normal(size=(30, 1, 16)).astype(np.float32)
    native, python = both(runner, job(rows=rows, mode="accuracy", model=str(tmp_path / "int8.onnx")))
    np.testing.assert_array_equal(native.arrays["output_0"], python.arrays["output_0"])


def test_types_and_names_of_inputs(runner: Path, job: Callable[..., Path], tmp_path: Path) -> None:
    """Inputs of several types reach those that `input_names` says, whatever letters these are of."""
    names = ["ä\n\"'", "𝛽\\"]
    kinds = {names[0]: TensorProto.INT64, names[1]: TensorProto.DOUBLE}
    takes = [helper.make_tensor_value_info(name, kind, [3]) for name, kind in kinds.items()]
    gives = [
        helper.make_tensor_value_info("c", TensorProto.DOUBLE, [3]),
        helper.make_tensor_value_info("d", TensorProto.BOOL, [3]),
    ]
    nodes = [
        helper.make_node("Cast", [names[0]], ["f"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["f", names[1]], ["c"]),
        helper.make_node("Less", ["f", names[1]], ["d"]),
    ]
    graph = helper.make_graph(nodes, "g", takes, gives)
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    np.save(tmp_path / "whole.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "real.npy", np.full((2, 3), 2.5))
    given = [str(tmp_path / "real.npy"), str(tmp_path / "whole.npy")]
    settings = {"mode": "accuracy", "model": str(path), "inputs": given, "input_names": names[::-1]}
    native, python = both(runner, job(**settings))
    assert native.arrays["output_0"].tolist() == [[-2.5, -1.5, -0.5], [0.5, 1.5, 2.5]]
    assert native.arrays["output_1"].dtype == np.bool_
    for name, array in python.arrays.items():
        np.testing.assert_array_equal(native.arrays[name], array)


@pytest.mark.parametrize("names", [["a", "b"], ["b", "a"], ["first", "second"], ["second", "first"], []])
def test_tensors_and_signatures_have_orders_of_their_own(
    runner: Path, job: Callable[..., Path], tmp_path: Path, names: list[str]
) -> None:
    """Inputs go by the tensors' names or the signature's; outputs come in the tensors' order."""
    a, b = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[10, 20, 30], [40, 50, 60]])
    given = [b, a] if names[:1] in (["b"], ["second"]) else [a, b]
    paths = [str(tmp_path / f"{place}.npy") for place in range(2)]
    for path, array in zip(paths, given, strict=True):
        np.save(path, array)
    model = str(save_two_by_two(tmp_path / "two.tflite"))
    settings = {"mode": "accuracy", "model": model, "inputs": paths, "input_names": names}
    for result in both(runner, job("litert", **settings)):
        np.testing.assert_array_equal(result.arrays["output_0"], a - b)
        np.testing.assert_array_equal(result.arrays["output_1"], a + b)


def test_a_session_ends_by_time(runner: Path, job: Callable[..., Path]) -> None:
    """When `max_s` is over the calls end, and the result says so and keeps what there is."""
    _, _, result = run([str(runner)], job(calls=10_000_000, max_s=0.1))
    assert result.meta["ended_by"] == "time"
    assert 100 < result.arrays["latency_ns"].size < 10_000_000


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"schema": 2}, "job", "schema 2, this runner knows 1"),
        ({"mode": "both"}, "job", "unknown mode 'both'"),
        ({"calls": "left out", "max_s": "left out"}, "job", "lacks max_s, calls"),
        ({"calls": "many"}, "job", "calls is no number"),
        ({"library": "/absent/libonnxruntime.so"}, "runtime_missing", "/absent/libonnxruntime.so"),
        ({"library": "libm.so.6"}, "runtime_missing", "libm.so.6 is not ONNX Runtime"),
        ({"model": "/absent/model.onnx"}, "model", "/absent/model.onnx"),
        ({"affinity": [900]}, "affinity", "cores [900]"),
        ({"inputs": ["/absent/in.npy"]}, "storage", "/absent/in.npy: No such file or directory"),
        ({"inputs": []}, "input", "no rows"),
    ],
)
def test_what_cannot_be_done_is_said(
    runner: Path, job: Callable[..., Path], settings: dict[str, Any], kind: str, message: str
) -> None:
    """A job that cannot be done ends with its kind of error and one line that names what was wrong."""
    found, said = refusal(runner, job(**settings))
    assert found == kind
    assert message in said


@pytest.mark.parametrize("runtime", WRITERS)
def test_a_broken_model_is_said(runner: Path, job: Callable[..., Path], tmp_path: Path, runtime: str) -> None:
    """A file that is no model, and an empty one, are errors of the model."""
    for content in (b"no model" * 99, b""):
        (tmp_path / "broken").write_bytes(content)
        kind, said = refusal(runner, job(runtime, model=str(tmp_path / "broken")))
        assert kind == "model"
        assert said.startswith("the model cannot be loaded: ")


@pytest.mark.parametrize("runtime", WRITERS)
@pytest.mark.parametrize("change", ["type", "shape"])
def test_inputs_that_do_not_fit_are_refused(
    runner: Path, job: Callable[..., Path], runtime: str, change: str
) -> None:
    """Float64 for float32, or 5 pixels for 6, is an error of the input, not a conversion."""
    rows = images(runtime)
    kind, said = refusal(runner, job(runtime, rows.astype(np.float64) if change == "type" else rows[..., :1]))
    assert kind == "input"
    words = {"type": ("float64", "double"), "shape": ("(1, 6, 6, 1)", "Got: 1 Expected: 6")}
    assert any(word in said for word in words[change]), said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"no numbers, but text", "is not a .npy file"),
        ("fortran", "not in C order"),
        ("strings", "elements of type"),
        ("cut", "is cut off"),
    ],
)
def test_inputs_that_are_no_arrays_are_refused(
    runner: Path, job: Callable[..., Path], tmp_path: Path, content: bytes | str, message: str
) -> None:
    """A file of inputs that is broken, or holds what the runner does not know, is an error of the input."""
    path = job()
    target = tmp_path / "in.npy"
    if isinstance(content, bytes):
        target.write_bytes(content)
    elif content == "cut":
        target.write_bytes(target.read_bytes()[:-1])
    else:
        rows = images("onnxruntime")
        np.save(target, np.asfortranarray(rows) if content == "fortran" else rows.astype("U3"))
    kind, said = refusal(runner, path)
    assert kind == "input"
    assert message in said


@pytest.mark.parametrize(
    "text", ["", "{", '{"schema": 1', '{"schema": 1} more', "[1]", '{"schema": 1,, "a": 2}']
)
def test_a_job_that_is_not_json_is_one_line(runner: Path, tmp_path: Path, text: str) -> None:
    """A job file that is cut off or no JSON ends in one line, and in no result."""
    (tmp_path / "job.json").write_text(text)
    done = subprocess.run(
        [runner, tmp_path / "job.json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("job: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("blocks", "left"), [(4, ["result.npz"]), (0, [])])
def test_a_full_disk_leaves_no_half_result(
    runner: Path, job: Callable[..., Path], tmp_path: Path, blocks: int, left: list[str]
) -> None:
    """A result that cannot be written whole gives way to the error; where not even that can, to nothing."""
    command = ["sh", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "sh", runner, job(calls=2000)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"storage: ")
    assert [entry.name for entry in tmp_path.glob("result*")] == left
    for name in left:
        assert decode_result((tmp_path / name).read_bytes()).meta["kind"] == "storage"


@pytest.mark.parametrize("end", ["stdin", "kill"])
def test_the_runner_ends_with_its_host(
    runner: Path, job: Callable[..., Path], tmp_path: Path, end: str
) -> None:
    """When standard input ends, or SIGKILL comes, the runner is gone and has left no result."""
    command = [runner, job(calls=10_000_000, max_s=60, watch_stdin=True)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        limit = time.monotonic() + 20
        while "onnxruntime" not in Path(f"/proc/{process.pid}/maps").read_text():
            assert time.monotonic() < limit
            time.sleep(0.02)
        time.sleep(0.3)
        assert process.poll() is None
        if end == "stdin":
            process.stdin.close()
        else:
            process.kill()
        assert process.wait(10) == (125 if end == "stdin" else -signal.SIGKILL)
    assert not list(tmp_path.glob("result*"))


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: Path) -> None:
    """The second time the runner comes from the cache; it starts, and says what it is."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path))
    first = build(HERE)
    written = first.stat().st_mtime_ns
    assert build(HERE) == first != runner
    assert first.stat().st_mtime_ns == written
    done = subprocess.run([first, "--probe"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["runner"] == "native"


def test_no_compiler_is_said() -> None:
    """Without a compiler for a machine, one line says for which, and how to get one."""
    with pytest.raises(ConfigError, match="a C compiler for riscv64 Linux, and none is here") as refused:
        find_compiler(Target("riscv64"))
    assert "gcc-riscv64-linux-gnu" in str(refused.value.hint)


def test_a_compiler_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler says of the sources is in the error; no runner is left in the cache."""
    broken = tmp_path / "cc"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo "broken 1.0"\necho "x.c:1: error: no" >&2; exit 1\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=r"cc does not build the native runner: x\.c:1: error: no"):
        build(HERE)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("asked", ["--version", "-print-file-name=*"])
def test_a_compiler_that_hangs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """A compiler that does not answer is one line, whatever it was asked."""
    hangs = tmp_path / "cc"
    hangs.write_text(f'#!/bin/sh\ncase "$1" in {asked}) sleep 60;; *) echo "slow 1.0";; esac\n')
    hangs.chmod(0o755)
    monkeypatch.setenv("CC", str(hangs))
    monkeypatch.setattr("edgebench.benchmark.native.build._BUILD_S", 1.0)
    with pytest.raises(ConfigError, match=f"^{hangs} did not end within 1 s"):
        Bundle(HERE, tmp_path, "").c_library()


def test_the_ndk_compiles_for_android(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an NDK the compiler for the oldest Android from 8 on is taken; without one, the hint names it."""
    monkeypatch.delenv("ANDROID_NDK_ROOT", raising=False)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="aarch64 Android") as refused:
        find_compiler(Target("aarch64", android=True))
    assert "ANDROID_NDK_HOME" in str(refused.value.hint)
    tools = tmp_path / "toolchains" / "llvm" / "prebuilt" / "linux-x86_64" / "bin"
    tools.mkdir(parents=True)
    for release in ("21", "26", "35", "x"):
        path = tools / f"aarch64-linux-android{release}-clang"
        path.write_text('#!/bin/sh\necho "clang 18 (NDK)"\n')
        path.chmod(0o755)
    found = find_compiler(Target("aarch64", android=True))
    assert found == Compiler((str(tools / "aarch64-linux-android26-clang"),), "clang 18 (NDK)")
