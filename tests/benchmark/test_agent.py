"""The agent by itself: a process, a job file, a result file."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import pytest
from fidelity_models import Network, write_onnx, write_tflite
from onnx import TensorProto, helper

from edgebench.benchmark.agent_run import AgentHost, AgentResult, decode_result
from edgebench.benchmark.programs import AGENT, AGENT_RUNTIMES, Program
from edgebench.devices.local import LocalDevice
from edgebench.devices.transport import Completed
from edgebench.errors import StorageError

NETWORK = Network("tiny", side=6, channels=2, layers=2)
WRITERS = {"onnxruntime": write_onnx, "litert": write_tflite}
LONG = {"calls": 10_000_000, "max_s": 60}


@pytest.fixture
def images() -> np.ndarray:
    """Return seven inputs of the network, as TFLite takes them."""
    source = np.random.default_rng(3)
    return source.uniform(-1, 1, (7, 1, 6, 6, 2)).astype(np.float32)


@pytest.fixture
def job(tmp_path: Path, images: np.ndarray) -> Callable[..., Path]:
    """Return a maker of job files for the network; settings override."""

    def make(runtime: str = "onnxruntime", inputs: tuple[np.ndarray, ...] = (), **settings: Any) -> Path:
        model = tmp_path / f"model.{runtime}"
        WRITERS[runtime](NETWORK, model)
        given = inputs or (images if runtime == "litert" else _channels_first(images),)
        paths = [tmp_path / f"in{index}.npy" for index in range(len(given))]
        for path, array in zip(paths, given, strict=True):
            np.save(path, array)
        content = {
            "schema": 1,
            "runtime": runtime,
            "model": str(model),
            "inputs": [str(path) for path in paths],
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


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 1, 4, 2, 3))


def _run(job: Path, **environment: str) -> tuple[int, str, AgentResult]:
    """Run the agent to its end; return exit status, standard error and result."""
    done = subprocess.run(
        [sys.executable, str(AGENT), str(job)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stderr, decode_result((job.parent / "result.npz").read_bytes())


def _refusal(job: Path, **environment: str) -> tuple[str, str]:
    """Run the agent on a job that it must refuse; return kind and message."""
    status, said, result = _run(job, **environment)
    assert status == 1
    assert result.arrays == {}
    assert f"{result.meta['kind']}: {result.meta['error']}" in said
    assert "Traceback" not in said
    return result.meta["kind"], result.meta["error"]


@contextlib.contextmanager
def _measuring(job: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield an agent that is in the middle of its calls, its standard input a pipe."""
    command = [sys.executable, str(AGENT), str(job)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            _wait(lambda: "onnxruntime" in Path(f"/proc/{process.pid}/maps").read_text())
            time.sleep(0.3)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def _wait(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize("runtime", WRITERS)
def test_every_call_is_timed(job: Callable[..., Path], runtime: str) -> None:
    """A latency job gives the nanoseconds of each call, warm-up apart, and what was measured."""
    status, _, result = _run(job(runtime))
    assert status == 0
    latency, warmup = result.arrays["latency_ns"], result.arrays["warmup_ns"]
    assert (latency.dtype, latency.shape) == (np.int64, (40,))
    assert (latency > 0).all()
    assert warmup.size >= 5
    assert warmup.sum() < 1e9
    assert result.meta["load_ns"] > 0
    assert result.meta["first_ns"] > 0
    assert (result.meta["ended_by"], result.meta["threads"], result.meta["rows"]) == ("calls", 1, 7)
    assert "before the clock starts" in result.meta["timed"]
    assert latency.sum() / 1e9 < result.meta["wall_s"]


def test_two_runtimes_give_the_same_answers(job: Callable[..., Path]) -> None:
    """An accuracy job answers every row, in order: LiteRT and ONNX Runtime agree on one network."""
    answers = [_run(job(runtime, mode="accuracy"))[2].arrays["output_0"] for runtime in WRITERS]
    assert answers[0].shape == (7, 1, 10)
    assert np.ptp(answers[0], axis=0).max() > 0.01
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_inputs_go_by_name(job: Callable[..., Path], tmp_path: Path) -> None:
    """Arrays given in an order of their own reach the inputs that `input_names` says."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("Sub", ["a", "b"], ["c"])], "sub", values[:2], values[2:])
    path = tmp_path / "sub.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    ones, fives = np.ones((3, 2), np.float32), np.full((3, 2), 5, np.float32)
    given = {"inputs": (ones, fives), "mode": "accuracy", "model": str(path)}
    named = _run(job(**given, input_names=["b", "a"]))[2].arrays["output_0"]
    plain = _run(job(**given))[2].arrays["output_0"]
    assert named.tolist() == [[4, 4]] * 3
    assert plain.tolist() == [[-4, -4]] * 3


def test_a_session_ends_by_time(job: Callable[..., Path]) -> None:
    """When `max_s` is over the calls end, and the result says so and keeps what there is."""
    _, _, result = _run(job(calls=10_000_000, max_s=0.1))
    assert result.meta["ended_by"] == "time"
    assert 100 < result.arrays["latency_ns"].size < 10_000_000
    assert (result.arrays["latency_ns"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schema": 2}, "schema 2, this agent knows 1"),
        ({"runtime_name": "tensorrt"}, "unknown runtime 'tensorrt'"),
        ({"mode": "both"}, "unknown mode 'both'"),
        ({"calls": "left out"}, "lacks calls"),
    ],
)
def test_a_job_of_another_kind_is_refused(
    job: Callable[..., Path], settings: dict[str, Any], message: str
) -> None:
    """A job that this agent does not know is refused, saying what it does not know."""
    path = job(**{key: value for key, value in settings.items() if key != "runtime_name"})
    if "runtime_name" in settings:
        path.write_text(json.dumps({**json.loads(path.read_text()), "runtime": settings["runtime_name"]}))
    kind, said = _refusal(path)
    assert kind == "job"
    assert message in said


def test_an_absent_runtime_is_named(job: Callable[..., Path], tmp_path: Path) -> None:
    """Where the runtime cannot be imported the result says which, and why."""
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudart.so.12: no such file')\n")
    kind, said = _refusal(job(), PYTHONPATH=str(tmp_path))
    assert kind == "runtime_missing"
    assert said == "onnxruntime is not installed here: libcudart.so.12: no such file"


@pytest.mark.parametrize("runtime", WRITERS)
@pytest.mark.parametrize("change", ["type", "shape"])
def test_inputs_that_do_not_fit_are_refused(
    job: Callable[..., Path], images: np.ndarray, runtime: str, change: str
) -> None:
    """Float64 for float32, or 5 rows of pixels for 6, is an error of the input, not a conversion."""
    changed = images.astype(np.float64) if change == "type" else images[:, :, :5]
    kind, said = _refusal(
        job(runtime, inputs=(changed if runtime == "litert" else _channels_first(changed),))
    )
    assert kind == "input"
    words = {"type": ("float64", "double"), "shape": ("(1, 5, 6, 2)", "Got: 5 Expected: 6")}
    assert any(word in said for word in words[change])


@pytest.mark.parametrize(
    ("count", "rows", "message"), [(2, 7, "takes 1 inputs, given 2"), (2, 5, "[7, 5] rows")]
)
def test_inputs_that_do_not_go_together_are_refused(
    job: Callable[..., Path], images: np.ndarray, count: int, rows: int, message: str
) -> None:
    """More arrays than the model takes, or arrays of unlike length, are an error of the input."""
    first = _channels_first(images)
    kind, said = _refusal(job(inputs=(first, first[:rows])[:count]))
    assert kind == "input"
    assert message in said


def test_an_absent_core_is_refused(job: Callable[..., Path]) -> None:
    """A core that the device does not have is an error of the affinity."""
    kind, said = _refusal(job(affinity=[900]))
    assert kind == "affinity"
    assert "cores [900]" in said


def test_a_killed_agent_leaves_no_result(job: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL in the middle of the calls: neither a result nor a part of one."""
    with _measuring(job(**LONG)) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert not list(tmp_path.glob("result*"))


@pytest.mark.parametrize(("blocks", "left"), [(4, ["result.npz"]), (0, [])])
def test_a_result_that_does_not_fit_is_not_half_there(
    job: Callable[..., Path], tmp_path: Path, blocks: int, left: list[str]
) -> None:
    """A result that cannot be written whole gives way to the error; where not even that can, to nothing."""
    path = job(calls=2000)
    command = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", sys.executable, str(AGENT), str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"storage: ")
    assert [entry.name for entry in tmp_path.glob("result*")] == left
    for name in left:
        assert decode_result((tmp_path / name).read_bytes()).meta["kind"] == "storage"


def test_a_result_without_a_place_is_one_line(job: Callable[..., Path], tmp_path: Path) -> None:
    """A result whose folder does not exist ends in one line on standard error."""
    path = job(result=str(tmp_path / "absent" / "result.npz"))
    command = [sys.executable, str(AGENT), str(path)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("storage: ")
    assert "Traceback" not in done.stderr


def test_the_agent_ends_with_its_standard_input(job: Callable[..., Path], tmp_path: Path) -> None:
    """When the host goes away, standard input closes, and the agent ends without a result."""
    with _measuring(job(**LONG, watch_stdin=True)) as process:
        process.stdin.close()
        assert process.wait(10) == 125
    assert not list(tmp_path.glob("result*"))


def test_the_agent_ends_with_its_parent(job: Callable[..., Path]) -> None:
    """A parent that is killed takes the agent with it, though standard input stays open."""
    script = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); p.wait()"
    command = [sys.executable, "-c", script, sys.executable, str(AGENT), str(job(**LONG))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        agent = Path("/proc") / parent.stdout.readline().strip()
        _wait(lambda: "onnxruntime" in (agent / "maps").read_text())
        parent.kill()
        _wait(lambda: not agent.exists() or "\nState:\tZ" in (agent / "status").read_text())


# --- what it may need ---------------------------------------------------------------------------


def _old_python() -> str | None:
    """Return a Python 3.8 that starts, None where there is none; a version manager's stub does not."""
    installed = Path.home().glob(".pyenv/versions/3.8*/bin/python")
    for candidate in [shutil.which("python3.8"), *map(str, installed)]:
        if (
            candidate
            and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    return None


@pytest.mark.parametrize("path", [AGENT, AGENT_RUNTIMES], ids=lambda path: path.name)
def test_the_agent_is_python_3_8(path: Path) -> None:
    """Its syntax is that of Python 3.8."""
    ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", [AGENT, AGENT_RUNTIMES], ids=lambda path: path.name)
def test_the_agent_needs_numpy_alone(path: Path) -> None:
    """Outside its functions it imports the standard library and numpy, nothing of edgebench."""
    modules = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "edgebench").partition(".")[0])
    assert modules - set(sys.stdlib_module_names) - {"__future__"} == {"numpy"}


def test_the_agent_starts_on_python_3_8(tmp_path: Path) -> None:
    """A real Python 3.8 compiles it, and `--probe` answers; an empty module stands in for numpy."""
    python = _old_python()
    if python is None:
        pytest.skip("there is no Python 3.8 here: put python3.8 on PATH")
    (tmp_path / "numpy.py").touch()
    shutil.copy(AGENT_RUNTIMES, tmp_path)
    copy = shutil.copy(AGENT, tmp_path)
    done = subprocess.run(
        [python, copy, "--probe"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
    )
    assert done.stderr == ""
    assert json.loads(done.stdout)["python"].startswith("3.8.")


def test_the_probe_tells_versions() -> None:
    """`--probe` says which Python and which packages are here, as JSON."""
    command = [sys.executable, str(AGENT), "--probe"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert answer["schema"] == 1
    assert answer["packages"]["numpy"] == np.__version__
    assert {"onnxruntime", "ai-edge-litert"} <= set(answer["packages"])


def test_a_full_disk_names_the_device(tmp_path: Path) -> None:
    """What the agent could not write is a StorageError that says where and at what: exit code 4."""
    told = json.dumps({"error": "/data/x.result: No space left on device", "kind": "storage"})
    np.savez(tmp_path / "x.npz", meta=np.frombuffer(told.encode(), np.uint8))
    host = AgentHost(LocalDevice(), PurePosixPath(tmp_path), tmp_path, Program((), (), {}, ""))
    with pytest.raises(StorageError, match=r"^local:cpu: running the agent: /data/x\.result: No space"):
        host.take(Completed(1, "", ""), PurePosixPath(tmp_path / "x.npz"), tmp_path / "got.npz")
