"""Names and tags of devices.yaml, and the verbs that list and examine devices."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from devices.ssh_server import SshServer
from processes import edgebench

from edgebench import api
from edgebench.devices.inventory import known_as, resolve
from edgebench.devices.registry import open_device
from edgebench.errors import ConfigError

USERS = """
devices:
  orin-1: {uri: "ssh://nvidia@10.0.0.7", tags: [jetson, lab]}
  pi: {uri: "ssh://pi@10.0.0.8", tags: [lab]}
"""
WITH_MORE = """
devices:
  venv: {uri: "ssh://pi@10.0.0.9?python=/opt/venv/bin/python3", tags: [lab]}
  data: {uri: "ssh://pi@10.0.0.9?cache=/data", tags: [large]}
  phone: {uri: "adb://", tags: [pixel]}
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project folder, the working one; the user's inventory has two devices."""
    (tmp_path / "config" / "edgebench").mkdir(parents=True)
    (tmp_path / "config" / "edgebench" / "devices.yaml").write_text(USERS)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def test_a_name_stands_for_its_device(inventory: Path) -> None:
    """A name of the user's file is a device; the project's file goes before it."""
    assert open_device("orin-1").uri == "ssh://nvidia@10.0.0.7"
    (inventory / "devices.yaml").write_text('devices: {orin-1: {uri: "ssh://other"}}')
    assert [resolve(name) for name in ("orin-1", "pi")] == ["ssh://other", "ssh://pi@10.0.0.8"]
    assert sorted(api.known_devices()) == ["orin-1", "pi"]


@pytest.mark.usefixtures("inventory")
def test_a_tag_stands_for_the_one_device_that_has_it() -> None:
    """`tag:` finds a device by its tag; with none or several the answer says which."""
    assert resolve("tag:jetson") == "ssh://nvidia@10.0.0.7"
    with pytest.raises(ConfigError, match="2 devices have the tag 'lab': orin-1, pi"):
        resolve("tag:lab")
    with pytest.raises(ConfigError, match="0 devices have the tag 'nano'"):
        resolve("tag:nano")


@pytest.mark.usefixtures("inventory")
def test_a_device_is_known_by_its_names_and_tags() -> None:
    """What the inventory calls an address, and its tags, which gates may name; nothing for a stranger."""
    address = "ssh://nvidia@10.0.0.7"
    assert known_as(address, "orin-1") == (("orin-1",), ("jetson", "lab"))
    assert known_as(address, f"{address}?python=python3") == (("orin-1",), ("jetson", "lab"))
    assert known_as("local:cpu", "local:cpu") == ((), ())


def test_options_and_an_open_serial_hide_no_name(inventory: Path) -> None:
    """An entry with options, or without the serial that its phone has, is known by its name and tags.

    Two entries of one machine are both its names.
    """
    (inventory / "devices.yaml").write_text(WITH_MORE)
    known = (("data", "venv"), ("lab", "large"))
    assert known_as(open_device("venv").uri, "venv") == known
    assert known_as("ssh://pi@10.0.0.9", "ssh://pi@10.0.0.9") == known
    for asked in ("phone", "tag:pixel", "adb://"):
        assert known_as("adb://1A2B3C", asked) == (("phone",), ("pixel",))
    assert known_as("adb://1A2B3C", "adb://1A2B3C") == ((), ())


@pytest.mark.usefixtures("inventory")
def test_an_unknown_name_is_refused_with_those_known() -> None:
    """A name that no file has is bad input; the known ones are listed."""
    with pytest.raises(ConfigError, match="no device is called 'orin-2'") as refused:
        open_device("orin-2")
    assert "named there: orin-1, pi" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("devices: {a b: {uri: 'ssh://x'}}", "'a b' is not a name"),
        ("devices: {tag: {uri: 'ssh://x'}}", "'tag' is not a name"),
        ("devices: {one: {uri: 'no uri'}}", "'no uri' does not name a device"),
        ("devices: {one: {uri: 'ssh://x', tag: [y]}}", "unknown key `tag`"),
        ("devices: {one: {tags: [x]}}", "uri"),
        ("devices: {one: {uri: 'ssh://x', tags: ['a b']}}", "'a b' is not a tag"),
        ("devices: [", "not valid YAML"),
        ("schema_version: 9\ndevices: {}", "schema_version 9"),
    ],
)
def test_a_mistake_in_the_file_is_named(inventory: Path, text: str, words: str) -> None:
    """What devices.yaml cannot mean is refused with the file's name."""
    (inventory / "devices.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        resolve("one")
    assert "devices.yaml" in refused.value.message


def test_the_verbs_list_and_examine(inventory: Path, over_ssh: SshServer, tmp_path: Path) -> None:
    """`devices list` shows the names, `info` the facts, `doctor` what is missing, with its exit code."""
    there = f"{over_ssh.uri}?cache={tmp_path}&python="
    (inventory / "devices.yaml").write_text(
        f'devices: {{good: {{uri: "{there}{sys.executable}", tags: [x]}}, bad: {{uri: "{there}python3.99"}}}}'
    )
    listed = edgebench("devices", "list", cwd=inventory).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["local:cpu", "bad", "good", "orin-1", "pi"]
    facts = json.loads(edgebench("devices", "info", "good", "--json", cwd=inventory).stdout)
    assert (facts["uri"], facts["cores"] >= 1) == (over_ssh.uri, True)
    good = edgebench("devices", "doctor", "good", cwd=inventory)
    assert (good.returncode, good.stdout.splitlines()[-1].split()) == (0, "ok benchmark can run here".split())
    bad = edgebench("devices", "doctor", "bad", cwd=inventory)
    assert bad.returncode == 4
    assert "missing what runs jobs" in bad.stdout
    assert "?python=" in bad.stdout


def test_a_device_that_does_not_answer_is_told(inventory: Path) -> None:
    """`devices doctor` of a machine that is not there: the step, the remedy, exit code 4."""
    done = edgebench("devices", "doctor", "ssh://127.0.0.1:1", cwd=inventory)
    assert done.returncode == 4
    assert done.stdout.startswith("missing connection")
    assert "is sshd running there" in done.stdout
