"""A device that fails three times in a row is left alone until a doctor finds it well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from devices.ssh_server import SshServer
from models.small_onnx import save_classifier
from processes import edgebench

from edgebench import api
from edgebench.devices.quarantine import guarded, quarantined
from edgebench.errors import DeviceBusyError, DeviceError, MeasurementError

GONE = "ssh://127.0.0.1:1"


def fail(error: Exception, uri: str = "ssh://pi") -> None:
    """Use a device once, in vain."""
    with pytest.raises(type(error)), guarded(uri, uri):
        raise error


def test_only_the_devices_own_failures_count_and_only_in_a_row() -> None:
    """A busy device, an artifact's failure and a use that went well between keep it out of quarantine."""
    for _ in range(4):
        fail(DeviceBusyError("others"))
        fail(MeasurementError("model"))
        fail(DeviceError("lost"), "local:cpu")
    for _ in range(2):
        fail(DeviceError("ssh://pi: lost"))
        fail(DeviceError("ssh://pi: lost"))
        with guarded("ssh://pi", "pi"):
            pass
    assert quarantined() == ()


def test_three_in_a_row_are_kept_with_reason_and_time() -> None:
    """After three failures the device is refused with the last reason, when, and the remedy."""
    for _ in range(3):
        fail(DeviceError("ssh://pi: running agent: the link broke off"))
    with pytest.raises(DeviceError, match=r"in quarantine since 20\d\d-.* UTC: it failed 3 times") as refused:
        guarded("ssh://pi", "ssh://pi?python=/p").__enter__()
    assert refused.value.message.endswith("the last time with: running agent: the link broke off")
    assert "edgebench devices doctor 'ssh://pi?python=/p'" in str(refused.value.hint)
    assert [(health.uri, health.failures) for health in quarantined()] == [("ssh://pi", 3)]
    with guarded("ssh://other", "other"):
        pass


def test_a_broken_state_file_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What cannot be read as a count starts a new one; a folder that cannot be made hides no failure."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fail(DeviceError("lost"))
    (kept,) = (tmp_path / "state" / "edgebench" / "devices").iterdir()
    kept.write_text("{")
    fail(DeviceError("lost"))
    assert '"failures": 1' in kept.read_text()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    fail(DeviceError("lost"))


@pytest.mark.acceptance
def test_the_verbs_refuse_show_and_lift(over_ssh: SshServer, tmp_path: Path) -> None:
    """Exit code 4 three times, then the refusal; `list` shows it; `doctor` lifts it where it passes."""
    model = save_classifier(tmp_path / "m.onnx")
    there = f"{over_ssh.uri}?python={sys.executable}&cache={tmp_path}/there"
    for _ in range(3):
        with pytest.raises(DeviceError, match="does not start"):
            api.benchmark([model], device=f"{over_ssh.uri}?python=nopython&cache={tmp_path}/there")
    refused = edgebench("benchmark", str(model), "--device", there, cwd=tmp_path)
    assert refused.returncode == 4
    assert "is in quarantine since" in refused.stderr
    listed = edgebench("devices", "list", cwd=tmp_path).stdout
    assert f"quarantined    {over_ssh.uri}  since " in listed
    bad = edgebench("devices", "doctor", there.replace(sys.executable, "nopython"), cwd=tmp_path)
    assert (bad.returncode, len(quarantined())) == (4, 1)
    good = edgebench("devices", "doctor", there, cwd=tmp_path)
    assert "out of quarantine" in good.stdout, good.stdout
    assert quarantined() == ()
