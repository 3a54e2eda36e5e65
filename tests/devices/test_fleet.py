"""Several devices at once: a folder for each, one evidence, one report; what fails stops no other."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from devices.adb_phone import Attached
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier
from parquet_edits import make_faster
from processes import broken_off, edgebench, fails, interrupt, processes_of, wait_until

from edgebench import api
from edgebench.benchmark.evidence_files import load_samples
from edgebench.devices.inventory import expand
from edgebench.devices.registry import open_device
from edgebench.errors import ConfigError, DeviceError, InputError
from edgebench.pipeline_plan import make_plan
from edgebench.progress import silent

GONE = "ssh://127.0.0.1:1"
SETTINGS = {"sessions": 1, "calls": 30}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a small classifier."""
    return save_classifier(tmp_path / "m.onnx")


def there(uri: str, folder: Path) -> str:
    """Return a device's name with this interpreter and a cache in `folder`."""
    folder.mkdir(exist_ok=True)
    return f"{uri}?python={sys.executable}&cache={folder}"


def half_done(server: SshServer, model: Path, folder: Path) -> tuple[Path, str]:
    """Measure on the server and on a device that is gone; return the run's folder and the server's name."""
    out, good = folder / "run", there(server.uri, folder / "there")
    with pytest.raises(DeviceError):
        api.benchmark([model], device=[GONE, good], out=out, **SETTINGS)
    return out, good


def test_the_report_compares_the_devices(
    over_ssh: SshServer, phone: Attached, model: Path, tmp_path: Path
) -> None:
    """This machine, one over ssh and a phone: each has its folder, the report a decision for each."""
    names = ["local:cpu", there(over_ssh.uri, tmp_path / "a"), there(f"adb://{phone.serial}", tmp_path / "b")]
    out = api.benchmark([model], device=names, out=tmp_path / "run", **SETTINGS)
    evidence = api.read_evidence(out)
    uris = ["local:cpu", over_ssh.uri, f"adb://{phone.serial}"]
    assert [measured.device.uri for measured in evidence.measurements] == uris
    assert [load_samples(out, measured).latency_ns.size for measured in evidence.measurements] == [30] * 3
    assert evidence.environment == api.read_evidence(out / "devices" / "local-cpu").environment
    verdict = api.report(out)
    assert [artifact.device for artifact in verdict.artifacts] == uris
    for text in ((out / "summary.md").read_text(), (out / "report.html").read_text(), api.results_table(out)):
        assert all(uri.partition("@")[2] or uri in text for uri in uris)
    assert f"m.onnx (baseline) · {over_ssh.uri}" in api.results_table(out)
    for folder in (out / "devices").iterdir():
        assert len(api.report(folder).artifacts) == 1


def test_one_that_fails_leaves_the_others_and_is_measured_later(
    over_ssh: SshServer, model: Path, tmp_path: Path
) -> None:
    """Exit code 4 names the lost device and the others' folder; again, only what lacks is measured."""
    out, good = tmp_path / "run", there(over_ssh.uri, tmp_path / "there")
    with pytest.raises(DeviceError, match=r"1 of 2 devices failed: ssh://127\.0\.0\.1:1: connecting") as lost:
        api.benchmark([model], device=[GONE, good], out=out, **SETTINGS)
    kept = next(path for path in (out / "devices").iterdir() if (path / "evidence.json").exists())
    assert str(kept) in str(lost.value.hint)
    assert not (out / "evidence.json").exists()
    before = (kept / "evidence.json").read_bytes()
    told: list[str] = []
    lock = threading.Lock()

    def progress(message: str, **_: object) -> None:
        with lock:
            told.append(message)

    api.benchmark([model], device=["local:cpu", good], out=out, progress=progress, **SETTINGS)
    assert f"{over_ssh.uri}: kept from before" in told
    assert (kept / "evidence.json").read_bytes() == before
    assert len(api.read_evidence(out).measurements) == 2


def test_a_device_whose_files_were_changed_is_not_kept(
    over_ssh: SshServer, model: Path, tmp_path: Path
) -> None:
    """A finished device's timings, edited before the others are measured: the file is named."""
    out, good = half_done(over_ssh, model, tmp_path)
    (timings,) = (out / "devices").rglob("*.parquet")
    make_faster(timings)
    for settings in (SETTINGS, {**SETTINGS, "sessions": 2}):
        with pytest.raises(InputError, match=r"s0\.parquet: is not the file that was measured"):
            api.benchmark([model], device=["local:cpu", good], out=out, **settings)
    assert not (out / "evidence.json").exists()


@pytest.mark.acceptance
def test_what_was_kept_answers_only_the_same_request(
    over_ssh: SshServer, model: Path, tmp_path: Path
) -> None:
    """With other settings a finished device of a broken run is measured again."""
    out, good = half_done(over_ssh, model, tmp_path)
    api.benchmark([model], device=["local:cpu", good], out=out, sessions=1, calls=40)
    evidence = api.read_evidence(out)
    assert [load_samples(out, measured).latency_ns.size for measured in evidence.measurements] == [40, 40]


def test_what_one_device_measured_stays_until_it_is_replaced(
    over_ssh: SshServer, model: Path, tmp_path: Path
) -> None:
    """Asked for with other settings while another one measures there, its evidence is still there."""
    out, good = half_done(over_ssh, model, tmp_path)
    (kept,) = out.glob("devices/*/evidence.json")
    before = kept.read_bytes()
    with open_device(good).lease(silent), pytest.raises(DeviceError):
        api.benchmark([model], device=[GONE, good], out=out, sessions=1, calls=40, wait="1s")
    assert kept.read_bytes() == before


def test_bad_input_is_no_failure_of_a_device(over_ssh: SshServer, model: Path, tmp_path: Path) -> None:
    """A setting that no device has is exit code 2, and a device named twice too."""
    good = there(over_ssh.uri, tmp_path / "there")
    with pytest.raises(ConfigError, match="cannot be bound to cores"):
        api.benchmark([model], device=["local:cpu", good], affinity="999", out=tmp_path / "a", **SETTINGS)
    with pytest.raises(ConfigError, match="is named twice"):
        api.benchmark([model], device=[good, over_ssh.uri], out=tmp_path / "b", **SETTINGS)


def test_an_interrupt_ends_all_of_them(over_ssh: SshServer, model: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the measurements on both devices within seconds, with exit code 130 and no process left."""
    ended = broken_off(
        *(
            "benchmark",
            str(model),
            "--device",
            "local:cpu",
            "--device",
            there(over_ssh.uri, tmp_path / "there"),
        ),
        *("--sessions", "1", "--calls", "50000000"),
        cwd=tmp_path,
        reached=lambda line: over_ssh.uri in line and "session 1" in line,
        send=interrupt,
        after_s=2,
    )
    assert ended.returncode == 130, ended.stderr
    assert ended.seconds < 15
    assert wait_until(lambda: not processes_of(tmp_path / "there")), processes_of(tmp_path / "there")


def test_a_tag_is_all_devices_that_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tag:` gives every device with the tag, each once; a tag that none has is bad input."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, tags in (("one", ["lab", "x"]), ("two", ["lab"]), ("three", ["x"])):
        api.add_device(name, f"ssh://{name}", tags=tags, project=True)
    assert expand(["two", "tag:lab", "ssh://one", "local:cpu"]) == ("two", "one", "local:cpu")
    assert expand(["tag:x"]) == ("one", "three")
    with pytest.raises(ConfigError, match="no device has the tag 'y'"):
        expand(["tag:y"])
    with pytest.raises(ConfigError, match="no device is named"):
        expand([])


def test_the_command_line_takes_several(model: Path, tmp_path: Path) -> None:
    """Two devices of which one is gone: exit code 4, and the other's evidence is on disk."""
    said = fails(
        *(tmp_path, "benchmark", str(model), "-d", "local:cpu", "-d", GONE, "--sessions", "1", "-o", "run"),
        words="1 of 2 devices failed: ssh://127.0.0.1:1: connecting: it refuses connections",
        code=4,
    )
    assert "kept: run/devices/local-cpu" in said
    judged = edgebench("report", "run/devices/local-cpu", "--json", cwd=tmp_path)
    assert json.loads(judged.stdout)["artifacts"][0]["device"] == "local:cpu"


def test_a_pipeline_names_several_devices(tmp_path: Path) -> None:
    """`benchmark.devices` is checked before any work, and excludes `benchmark.device`."""
    file = tmp_path / "p.yaml"
    api.init(file)
    text = file.read_text()
    file.write_text(text.replace("device: local:cpu", "devices: [local:cpu, nowhere]\n  device: ssh://x"))
    with pytest.raises(ConfigError, match=r"`benchmark.devices` and `benchmark.device` are both given"):
        make_plan(file, ())
