"""What the doctor finds, and what it says is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgebench import doctor
from edgebench.errors import ConfigError

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    """Return the packages' names of a list of requirements."""
    return {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in requirements}


@pytest.mark.parametrize("extra", doctor.EXTRAS)
def test_an_extra_is_what_the_project_says(extra: str) -> None:
    """The packages that the doctor looks for are those that `pip install edgebench[extra]` brings."""
    _, packages = doctor.EXTRAS[extra]
    looked_for = {name for names_ in packages for name in names_.split("|")}
    assert names(EXTRAS[extra]) <= looked_for
    assert looked_for - names(EXTRAS[extra]) <= {"tensorflow"}


def test_every_kind_of_thing_is_looked_for() -> None:
    """Python, both runtimes, each extra, onnx2tf, this CPU and the tools for other devices."""
    findings = {finding.name: finding for finding in doctor.examine()}
    assert {
        "python",
        "onnxruntime",
        "ai-edge-litert",
        "onnx2tf",
        "local:cpu",
        "adb",
        "ssh",
    } <= findings.keys()
    assert {f"extra {name}" for name in doctor.EXTRAS} <= findings.keys()
    assert findings["python"].present
    assert findings["onnxruntime"].present
    assert re.search(r"onnxruntime \d+\.\d+", findings["onnxruntime"].detail)
    assert re.match(r"(x86-\w+|arm64), with weights of [78] bits", findings["integer arithmetic"].detail)
    assert re.search(r"\d+ cores, \d+\.\d GiB", findings["local:cpu"].detail)


def test_what_is_missing_has_a_remedy() -> None:
    """Each extra, runtime and environment that is not here names the command that adds it."""
    for finding in doctor.examine():
        if not finding.present and finding.name.startswith(("extra", "onnx", "ai-edge")):
            assert finding.remedy, finding
        if finding.present:
            assert finding.remedy is None, finding


def test_an_extra_that_lacks_a_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an extra is missing: what is not there is named, and the whole is offered."""
    monkeypatch.setitem(doctor.EXTRAS, "half", ("something", ("numpy", "no-such-package-here")))
    finding = next(f for f in doctor.examine() if f.name == "extra half")
    assert not finding.present
    assert finding.detail == "something; not installed: no-such-package-here"
    assert finding.remedy == "pip install 'edgebench[half]'"


@pytest.mark.parametrize(
    ("package", "found"),
    [("numpy", True), ("no-such-package-here|numpy", True), ("no-such-package-here", False)],
)
def test_the_first_of_several_packages_counts(package: str, *, found: bool) -> None:
    """`a|b` is there when one of them is, and the version is that one's."""
    version = doctor.version_of(package)
    assert (version is not None) is found
    assert version is None or version.startswith("numpy ")


def test_examining_imports_no_framework(tmp_path: Path) -> None:
    """The doctor tells versions without loading a framework."""
    code = "import sys; from edgebench import doctor; doctor.examine(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "tensorflow", "onnxruntime", "onnx", "litert_torch", "keras", "matplotlib", "pandas"}
    assert heavy.isdisjoint(done.stdout.split())


def test_tools_are_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool adb is present exactly where PATH has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not next(f for f in doctor.examine() if f.name == "adb").present
    (tmp_path / "adb").write_text("#!/bin/sh\n")
    (tmp_path / "adb").chmod(0o755)
    found = next(f for f in doctor.examine() if f.name == "adb")
    assert found.present
    assert str(tmp_path / "adb") in found.detail


def test_only_known_things_are_fixed() -> None:
    """A name that the doctor cannot fix is answered with those that it can."""
    with pytest.raises(ConfigError, match="cannot fix 'everything'") as caught:
        doctor.fix("everything")
    assert "onnx2tf" in (caught.value.hint or "")
