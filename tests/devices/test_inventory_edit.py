"""`devices add` and `remove` change their own entry of devices.yaml and no other line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import edgebench, environment, fails

from edgebench import api
from edgebench.devices.inventory import load_inventory
from edgebench.errors import ConfigError

COMMENTED = """# the lab's
schema_version: 1
devices:
  # the fast one
  orin-1:
    uri: ssh://nvidia@10.0.0.7  # second floor
    tags: [jetson, lab]

  pi: {uri: "ssh://pi@10.0.0.8"}  # slow
# the end
"""

FORMS = {
    "absent": None,
    "comments": COMMENTED,
    "empty": "devices: {}  # none yet\n",
    "one line": 'devices: {one: {uri: "ssh://one"}}',
    "all in one line": '{schema_version: 1, devices: {one: {uri: "ssh://one"}}}\n',
    "no devices": "schema_version: 1\n",
    "no last newline": "devices:\n    one:\n        uri: ssh://one",
    "first key commented": "devices:\n  # why\n  one: {uri: ssh://one}\n# end\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder; the user's configuration lies beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("form", FORMS)
def test_what_was_added_and_removed_leaves_the_rest(project: Path, form: str) -> None:
    """In every form of the file two devices go in and out; the others stay, and so does every comment."""
    path, text = project / "devices.yaml", FORMS[form]
    if text is not None:
        path.write_text(text)
    before = dict(load_inventory())
    for name in ("new-1", "new-2"):
        assert api.add_device(name, f"ssh://{name}?cache=/x&python=/y", tags=["a", "b"], project=True) == path
    added = load_inventory()
    assert {name: added[name] for name in before} == before
    assert added["new-2"].uri == "ssh://new-2?cache=/x&python=/y"
    assert added["new-1"].tags == ("a", "b")
    for comment in (line.partition("#")[2] for line in (text or "").splitlines() if "#" in line):
        assert comment in path.read_text()
    for name in ("new-1", "new-2", *before):
        api.remove_device(name)
        assert name not in load_inventory()


@pytest.mark.parametrize("name", ["42", "1.5", "1e3", "0x1F", "null", "true", "no", "2024-99-99", "1_000"])
@pytest.mark.parametrize("form", ["absent", "comments", "one line"])
def test_a_name_that_yaml_takes_for_something_else(project: Path, form: str, name: str) -> None:
    """A number, a date or a word of YAML's is a name like any other, and reads back as it was written."""
    text = FORMS[form]
    if text is not None:
        (project / "devices.yaml").write_text(text)
    api.add_device(name, "ssh://pi@x", project=True)
    assert load_inventory()[name].uri == "ssh://pi@x"
    api.remove_device(name)
    assert name not in load_inventory()


def test_lines_of_others_are_not_touched(project: Path) -> None:
    """A file with comments is the same, byte for byte, after a device was added and removed."""
    path = project / "devices.yaml"
    path.write_text(COMMENTED)
    api.add_device("nano", "ssh://nano", project=True)
    lines = path.read_text().splitlines()
    assert [line for line in lines if "nano" not in line] == COMMENTED.splitlines()
    api.remove_device("nano")
    assert path.read_text() == COMMENTED


def test_the_users_file_is_the_default_and_the_projects_goes_first(project: Path, tmp_path: Path) -> None:
    """`add` writes the user's file, made with its folder; `remove` takes the project's entry before it."""
    user = api.add_device("pi", "ssh://user")
    assert user == tmp_path / "config" / "edgebench" / "devices.yaml"
    api.add_device("pi", "ssh://project", project=True)
    assert load_inventory()["pi"].uri == "ssh://project"
    assert api.remove_device("pi") == project / "devices.yaml"
    assert load_inventory()["pi"].uri == "ssh://user"
    with pytest.raises(ConfigError, match="no device is called 'pi'"):
        api.remove_device("pi", project=True)


@pytest.mark.parametrize(
    ("name", "uri", "tags", "words"),
    [
        ("tag", "ssh://x", [], "'tag' is not a name"),
        ("a: b", "ssh://x", [], "is not a name"),
        ("$(touch x)", "ssh://x", [], "is not a name"),
        ("pi", "10.0.0.8", [], "does not name a device"),
        ("pi", "ssh://x", ["a b"], "'a b' is not a tag"),
        ("known", "ssh://x", [], "known is there already: ssh://known"),
    ],
)
def test_what_cannot_be_added_leaves_the_file(
    project: Path, name: str, uri: str, tags: list[str], words: str
) -> None:
    """A name that is taken, and names, tags and URIs of another form, are refused; nothing is written."""
    path = project / "devices.yaml"
    path.write_text("devices: {known: {uri: 'ssh://known'}}\n")
    with pytest.raises(ConfigError, match=words.replace("$", r"\$").replace("(", r"\(")):
        api.add_device(name, uri, tags=tags, project=True)
    assert path.read_text() == "devices: {known: {uri: 'ssh://known'}}\n"


def test_a_form_that_cannot_be_edited_is_left_to_the_user(project: Path) -> None:
    """A file whose devices are an alias is not broken: the error says to edit it by hand."""
    text = "devices: &all\n  one: {uri: 'ssh://one'}\n  two: &two {uri: 'ssh://two'}\n  three: *two\n"
    (project / "devices.yaml").write_text(text)
    with pytest.raises(ConfigError, match="cannot be edited here") as refused:
        api.remove_device("two")
    assert "by hand" in str(refused.value.hint)
    assert (project / "devices.yaml").read_text() == text


def test_two_at_once_both_get_in(project: Path) -> None:
    """Six programs that add a device each at the same time leave six devices."""
    code = "import sys; from edgebench import api; api.add_device(sys.argv[1], 'ssh://x', project=True)"
    names = [f"d{i}" for i in range(6)]
    argv = [sys.executable, "-c", code]
    running = [subprocess.Popen([*argv, name], cwd=project, env=environment(project)) for name in names]
    assert [process.wait(60) for process in running] == [0] * 6
    assert sorted(load_inventory()) == names
    assert [path.name for path in project.iterdir()] == ["devices.yaml"]


def test_the_verbs_add_and_remove(project: Path) -> None:
    """`devices add` and `remove` print the file they wrote; a second remove is exit code 2."""
    done = edgebench(
        "devices", "add", "nano", "ssh://nano", "--tag", "jetson", "--tag", "lab", "--project", cwd=project
    )
    assert done.stdout.strip() == str(project / "devices.yaml"), done.stderr
    assert load_inventory()["nano"].tags == ("jetson", "lab")
    assert edgebench("devices", "remove", "nano", cwd=project).returncode == 0
    fails(project, "devices", "remove", "nano", words="no device is called 'nano'")
