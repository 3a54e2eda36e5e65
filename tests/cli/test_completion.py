"""Completion scripts that real shells read, and what they complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgebench.cli import VERBS, call

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the completion script of a shell."""
    assert call(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", CHECKS)
def test_the_shell_parses_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell reads its script without a complaint."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install -y {shell} enables this test")
    path = tmp_path / "script"
    path.write_text(script(shell, capsys))
    done = subprocess.run([*CHECKS[shell], str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edgebench ", set(VERBS)),
        ("edgebench ex", {"export"}),
        (
            "edgebench export --calib-",
            {"--calib-data", "--calib-samples", "--calib-table", "--calib-method", "--calib-random"},
        ),
        ("edgebench devices ", {"list", "info", "doctor", "setup", "add", "remove", "noise", "release"}),
        ("edgebench completion ", {"bash", "zsh", "fish"}),
        ("edgebench export --io ", {"float", "int8"}),
    ],
)
def test_bash_completes(
    words: str, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real bash that has read the script completes verbs, options and choices."""
    path = tmp_path / "script"
    path.write_text(script("bash", capsys))
    (tmp_path / "edgebench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgebench "$@"\n')
    (tmp_path / "edgebench").chmod(0o755)
    *before, last = words.split(" ")
    typed = " ".join(f"'{word}'" for word in (*before, last))
    program = (
        f"source '{path}'; COMP_WORDS=({typed}); COMP_CWORD={len(before)}; "
        f"_edgebench_completion edgebench '{last}' '{before[-1]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", program], env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


def test_another_shell_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that is not known is answered with those that are."""
    assert call(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
