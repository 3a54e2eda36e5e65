"""The whole benchmark over ssh and adb, by the real clients: evidence, cache, broken links."""

from __future__ import annotations

import getpass
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from devices.adb_phone import Attached
from devices.relay import Relay
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier
from processes import broken_off, edgebench, kill_parent, processes_of, wait_until

from edgebench import api
from edgebench.benchmark import measuring
from edgebench.benchmark.evidence_files import load_answers, load_samples
from edgebench.devices.local import LocalDevice
from edgebench.devices.registry import open_device
from edgebench.errors import DeviceError
from edgebench.progress import silent

OVER_BOTH = pytest.mark.parametrize("far", ["ssh", "adb"], indirect=True)


@dataclass(frozen=True)
class Far:
    """A machine at the end of a cable. name: for --device; link: the cable."""

    name: str
    link: Relay

    @property
    def uri(self) -> str:
        """Return its name as evidence has it."""
        return self.name.partition("?")[0]


@pytest.fixture
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Far:
    """Return a machine with this test's interpreter and a cache of its own, over ssh or what is asked."""
    (tmp_path / "there").mkdir()
    options = f"?python={sys.executable}&cache={tmp_path}/there"
    if getattr(request, "param", "ssh") == "ssh":
        server: SshServer = request.getfixturevalue("over_ssh")
        return Far(f"{server.uri}{options}", server.link)
    phone: Attached = request.getfixturevalue("phone")
    return Far(f"adb://{phone.serial}{options}", phone.link)


@pytest.fixture
def there(far: Far) -> str:
    """Return that machine's name for --device."""
    return far.name


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a small classifier whose name a shell would run, were it not quoted."""
    return save_classifier(tmp_path / "a $(touch pwned); 'model' ü.onnx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return 70 labelled samples for it."""
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x=rng.normal(size=(70, 16)).astype(np.float32), y=rng.integers(0, 4, 70))
    return path


def files_there(tmp_path: Path) -> list[Path]:
    """Return all files on the device's side but the lock's."""
    found = (path for path in (tmp_path / "there").rglob("*") if not path.is_dir())
    return sorted(path for path in found if path.name.partition(".")[0] != "lock")


def test_workloads_are_measured_there(far: Far, model: Path, tmp_path: Path) -> None:
    """Throughput, arrivals, a cold load and a profile are measured on the device, by files sent to it."""
    out = tmp_path / "run"
    api.benchmark(
        [model],
        device=far.name,
        sessions=1,
        calls=20,
        batches="4",
        scenario=["server=900ms@900qps"],
        duration="200ms",
        load="cold",
        profile=True,
        out=out,
    )
    workloads = api.read_evidence(out).measurements[0].workloads
    assert [run.process.timing.batch for run in workloads.throughput] == [4]
    assert workloads.scenarios[0].queries >= 459
    assert workloads.loads[0].resident_share in {0.0, 1.0}
    assert workloads.profiles[0].operators >= 2
    assert {one.what for one in workloads.unavailable} <= {"energy"}


@OVER_BOTH
def test_a_benchmark_over_a_link_gives_the_same_evidence(
    far: Far, model: Path, data: Path, tmp_path: Path
) -> None:
    """Timings, answers and the machine's fingerprint come back; the cache is all that stays there."""
    ours, near = tmp_path / "ours", tmp_path / "near"
    api.benchmark([model], device=far.name, data=str(data), sessions=2, calls=30, out=ours)
    api.benchmark([model], data=str(data), sessions=1, calls=30, out=near)
    (measured,), (local,) = api.read_evidence(ours).measurements, api.read_evidence(near).measurements
    assert measured.failure is None
    assert load_samples(ours, measured).latency_ns.size == 60
    np.testing.assert_array_equal(load_answers(ours, measured).logits, load_answers(near, local).logits)
    assert measured.device.uri == far.uri
    assert measured.device.extra["fingerprint"] == local.device.extra["fingerprint"]
    assert measured.device.processor == local.device.processor
    assert {path.parent.name for path in files_there(tmp_path)} == {"files"}
    assert not list(tmp_path.rglob("pwned"))


def test_what_is_there_is_not_sent_again(there: str, model: Path, tmp_path: Path) -> None:
    """A second run sends neither agent, model nor inputs; a broken file in the cache is sent anew."""
    api.benchmark([model], device=there, sessions=1, calls=30, out=tmp_path / "first")
    before = {path: path.stat().st_ino for path in files_there(tmp_path)}
    broken = next(path for path in before if path.read_bytes() == model.read_bytes())
    broken.write_bytes(b"broken")
    api.benchmark([model], device=there, sessions=1, calls=30, out=tmp_path / "second")
    changed = {path for path in files_there(tmp_path) if path.stat().st_ino != before.get(path)}
    assert changed == {broken}
    assert broken.read_bytes() == model.read_bytes()


@OVER_BOTH
def test_the_cache_keeps_to_its_quota(far: Far, tmp_path: Path) -> None:
    """Over the quota the files that were not used for longest go; a broken run's parts go after an hour."""
    device = open_device(far.name)
    workspace = device.workspace(tmp_path)
    for name in ("old", "used", "new"):
        (tmp_path / name).write_bytes(name.encode() * 10_000)
        device.deploy(tmp_path / name, workspace / name)
    files = {path.read_bytes()[:3]: path for path in files_there(tmp_path) if path.parent.name == "files"}
    part = files[b"old"].with_name(".x.part")
    part.touch()
    for path, age in ((files[b"old"], 300), (files[b"use"], 200), (part, 7200)):
        os.utime(path, (time.time() - age, time.time() - age))
    device.cache().clear(workspace, quota_kib=80)
    assert sorted(path.read_bytes()[:3] for path in files_there(tmp_path)) == [b"new", b"use"]


@OVER_BOTH
def test_who_holds_the_device_removes_the_parts_of_broken_runs(far: Far, tmp_path: Path) -> None:
    """A part that a killed host left goes with the next run's end; without the lease it may be another's."""
    device = open_device(far.name)
    workspace = device.workspace(tmp_path)
    part = tmp_path / "there" / "edgebench" / "files" / ".x.part"
    part.touch()
    device.clear(workspace)
    assert part.exists()
    with device.lease(silent):
        device.clear(device.workspace(tmp_path))
    assert not part.exists()


@OVER_BOTH
def test_data_too_large_to_keep_pass_through(
    far: Far, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the data nothing stays there but what the calls are timed on; the answers are the same."""
    near = api.benchmark([model], data=str(data), sessions=1, calls=30, out=tmp_path / "near")
    monkeypatch.setattr(measuring, "CHUNK_BYTES", 1)
    monkeypatch.setattr(measuring, "KEPT_BYTES", 1)
    ours = api.benchmark(
        [model], device=far.name, data=str(data), sessions=1, calls=30, out=tmp_path / "ours"
    )
    (measured,), (local,) = api.read_evidence(ours).measurements, api.read_evidence(near).measurements
    np.testing.assert_array_equal(load_answers(ours, measured).logits, load_answers(near, local).logits)
    inputs = [path for path in files_there(tmp_path) if path.read_bytes().startswith(b"\x93NUMPY")]
    assert len(inputs) == 1


def test_an_interpreter_that_is_not_there_is_named(there: str, model: Path, tmp_path: Path) -> None:
    """A Python that the device lacks ends the run with exit code 4, its name and the remedy."""
    wrong = there.replace(sys.executable, "python3.99")
    with pytest.raises(DeviceError, match=r"python3\.99.*not found|python3\.99: No such file") as refused:
        api.benchmark([model], device=wrong, out=tmp_path / "run")
    assert "?python=" in str(refused.value.hint)


def breaking(at: str, act: Callable[[], object], there: Path) -> Callable[..., None]:
    """Return a progress that, told `at`, calls `act` once, when an agent has had turns there."""
    begun = threading.Event()

    def wait() -> None:
        if wait_until(lambda: measures(there), 30):
            act()

    def progress(text: str, **_: object) -> None:
        if at in text and not begun.is_set():
            begun.set()
            threading.Thread(target=wait, daemon=True).start()

    return progress


def measures(there: Path) -> bool:
    """Return whether an agent runs on the device's side whose calls are timed."""
    running = (line for line in processes_of(there) if line.startswith(sys.executable))
    return any("agent.py" in line and "turns_" in line for line in running)


def last_job(tmp_path: Path) -> str:
    """Return which job began last on the device's side."""
    path = tmp_path / "there" / "edgebench" / "lock.job.pid"
    return path.read_text() if path.exists() else ""


@OVER_BOTH
def test_a_cut_in_a_session_ends_with_4_and_the_rest_is_kept(far: Far, model: Path, tmp_path: Path) -> None:
    """The cable pulled in session 2: exit code 4; run again, both sessions are kept, neither taken twice."""
    settings = {"device": far.name, "sessions": 2, "calls": 400_000, "out": tmp_path / "run"}
    cut = breaking("session 2", far.link.cut, tmp_path / "there")
    with pytest.raises(DeviceError, match="the link broke off") as lost:
        api.benchmark([model], progress=cut, **settings)
    assert lost.value.exit_code == 4
    assert lost.value.message.startswith(far.uri)
    job = last_job(tmp_path)
    said: list[str] = []
    api.benchmark([model], progress=lambda text, **_: said.append(text), **settings)
    assert [line.endswith("kept from before") for line in said if "session" in line] == [True, False]
    assert last_job(tmp_path) == job
    assert wait_until(lambda: not processes_of(tmp_path / "there")), processes_of(tmp_path / "there")
    assert {path.parent.name for path in files_there(tmp_path)} == {"files"}


@pytest.mark.parametrize("prepare", [False, True], ids=["as it is", "prepared"])
def test_what_a_killed_host_asked_for_is_collected(
    prepare: bool, there: str, model: Path, tmp_path: Path
) -> None:
    """After kill -9 of edgebench the agent goes on; the same command waits for it and measures nothing.

    But where the device was made ready: what was set went back when the link ended.
    """
    asked = ["benchmark", str(model), "--device", there, "--sessions", "1", "--calls", "600000", "-o", "run"]
    asked += ["--prepare"] if prepare else []
    ended = broken_off(
        *asked,
        cwd=tmp_path,
        reached=lambda line: "session 1" in line and wait_until(lambda: measures(tmp_path / "there"), 30),
        send=kill_parent,
        after_s=0.2,
    )
    assert ended.returncode == -9
    running = agents(tmp_path)
    assert running
    again = edgebench(*asked, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "waits for the job of" in again.stderr
    assert not agents(tmp_path)
    measured = api.read_evidence(tmp_path / "run").measurements[0]
    assert load_samples(tmp_path / "run", measured).latency_ns.size > 0
    session = measured.sessions[0]
    assert session.collected is not prepare
    assert (session.before is None, session.after is None) == (session.collected, session.collected)
    assert any("went on without its host" in why for why in measured.validity_reasons) is session.collected


def test_a_job_without_its_host_is_ended_on_request(there: str, model: Path, tmp_path: Path) -> None:
    """`devices release` ends the job of a killed host and says whose it was; then none is there to end."""
    asked = ("benchmark", str(model), "--device", there, "--sessions", "1", "--calls", "6000000", "-o", "run")
    broken_off(
        *asked,
        cwd=tmp_path,
        reached=lambda line: "session 1" in line and wait_until(lambda: measures(tmp_path / "there"), 30),
        send=kill_parent,
        after_s=0.2,
    )
    assert agents(tmp_path)
    released = edgebench("devices", "release", there, cwd=tmp_path)
    assert released.returncode == 0, released.stderr
    assert f"ended the job of {getpass.getuser()}@" in released.stdout
    assert wait_until(lambda: not agents(tmp_path)), agents(tmp_path)
    assert "no job runs there" in edgebench("devices", "release", there, cwd=tmp_path).stdout


def agents(tmp_path: Path) -> list[str]:
    """Return the agents that run on the device's side."""
    return [line for line in processes_of(tmp_path / "there") if "agent.py" in line or "there/" in line]


def test_the_command_line_names_the_device(there: str, model: Path, tmp_path: Path) -> None:
    """`edgebench benchmark --device ssh://…` prints its table; a port without a server is exit code 4."""
    done = edgebench(
        "benchmark", str(model), "--device", there, "--sessions", "1", "--calls", "30", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    refused = edgebench("benchmark", str(model), "--device", "ssh://127.0.0.1:1", cwd=tmp_path)
    assert refused.returncode == 4
    assert "ssh://127.0.0.1:1: connecting: it refuses connections" in refused.stderr


def test_this_machine_by_two_names_has_one_fingerprint(there: str) -> None:
    """A device's fingerprint is its own, whatever name it is reached by."""
    far, near = open_device(there).facts(), LocalDevice().facts()
    assert far.extra["fingerprint"] == near.extra["fingerprint"]
    assert (far.cores, far.memory_bytes, far.processor) == (near.cores, near.memory_bytes, near.processor)


@pytest.mark.assets
@OVER_BOTH
def test_a_real_int8_model_answers_there_as_published(far: Far, assets: Path, tmp_path: Path) -> None:
    """MLPerf Tiny's int8 keyword model has 90.2 % right over a link; the report names the device."""
    model = assets / "mlperf_tiny_kws" / "models" / "kws_ref_model.tflite"
    data = assets / "mlperf_tiny_kws" / "data" / "kws01.npz"
    run = api.benchmark([model], device=far.name, data=str(data), sessions=1, calls=400, out=tmp_path / "run")
    measured = api.read_evidence(run).measurements[0]
    answers = load_answers(run, measured)
    assert answers is not None
    assert round(100 * float((answers.logits.argmax(1) == answers.labels).mean()), 2) == 90.2
    session = measured.sessions[0]  # of whose calls those before it was steady may count as warm-up
    assert load_samples(run, measured).latency_ns.size == session.calls
    assert session.calls + session.warmup_calls >= 400
    api.report(run)
    page = (run / "report.html").read_text()
    assert far.uri in page
    assert measured.device.name in page
