"""The command line as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from processes import edgebench

from edgebench import __version__
from edgebench.cli import VERBS, call, cli

HEAVY = {
    "numpy",
    "pandas",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "torch",
    "tensorflow",
    "yaml",
    "msgspec",
    "PIL",
}
ROOT = Path(__file__).parents[2]


def commands() -> list[tuple[str, click.Command]]:
    """Return every verb and sub-verb with its command."""
    context = click.Context(cli)
    found = []
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        found.append((verb, command))
        if isinstance(command, click.Group):
            found += [(f"{verb} {name}", sub) for name, sub in command.commands.items()]
    return found


def test_help_loads_click_and_nothing_heavy(tmp_path: Path) -> None:
    """`edgebench --help` imports none of the heavy packages."""
    code = (
        "import sys; from edgebench.cli import call; call(['--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_and_option_has_help_and_stands_in_the_docs(name: str, command: click.Command) -> None:
    """Each verb has a docstring and a heading in docs/cli.md, and each option is described there."""
    page = (ROOT / "docs" / "cli.md").read_text()
    assert command.help
    assert f"## edgebench {name.split(maxsplit=1)[0]}" in page
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.opts[-1] in page, f"{name} {option.opts[-1]}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_verbs_repeats_each_commands_own_first_line(verb: str) -> None:
    """What `--help` lists is the first sentence of the verb's own help."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.help is not None
    assert command.help.splitlines()[0] == VERBS[verb]


def test_a_misspelt_verb_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """`edgebench exprot` exits 2 and offers `export`."""
    assert call(["exprot"]) == 2
    assert "Did you mean `export`?" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the package's version."""
    assert call(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_init_writes_a_pipeline_once(tmp_path: Path) -> None:
    """`init` writes the file, refuses to write over it, and does with --force."""
    assert edgebench("init", "p.yaml", cwd=tmp_path).returncode == 0
    again = edgebench("init", "p.yaml", cwd=tmp_path)
    assert again.returncode == 4
    assert "exists already" in again.stderr
    assert edgebench("init", "p.yaml", "--force", cwd=tmp_path).returncode == 0


def test_init_schema_is_json(tmp_path: Path) -> None:
    """`init --schema` prints a JSON Schema on stdout."""
    done = edgebench("init", "--schema", cwd=tmp_path)
    assert json.loads(done.stdout)["title"] == "edgebench pipeline"


def test_doctor_and_devices_answer_in_json(tmp_path: Path) -> None:
    """`doctor --json` and `devices list --json` print what is here, this CPU among it."""
    findings = json.loads(edgebench("doctor", "--json", cwd=tmp_path).stdout)
    assert {"python", "onnxruntime", "extra torch", "extra tensorflow", "onnx2tf"} <= {
        f["name"] for f in findings
    }
    assert all(f["remedy"] for f in findings if f["name"].startswith("extra") and not f["present"])
    devices = json.loads(edgebench("devices", "list", "--json", cwd=tmp_path).stdout)
    assert devices[0]["uri"] == "local:cpu"
    assert devices[0]["cores"] >= 1


def test_doctor_cannot_fix_everything(tmp_path: Path) -> None:
    """An unknown --fix exits 2 and names what can be fixed."""
    done = edgebench("doctor", "--fix", "world peace", cwd=tmp_path)
    assert done.returncode == 2
    assert "onnx2tf" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, tmp_path: Path) -> None:
    """Each shell gets its completion script."""
    done = edgebench("completion", shell, cwd=tmp_path)
    assert "_EDGEBENCH_COMPLETE" in done.stdout


def test_completion_completes_verbs(tmp_path: Path) -> None:
    """The shell's request for words after `edgebench ex` is answered with `export`."""
    done = edgebench(
        cwd=tmp_path, _EDGEBENCH_COMPLETE="bash_complete", COMP_WORDS="edgebench ex", COMP_CWORD="1"
    )
    assert "export" in done.stdout


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["export", "none.onnx", "--int8", "--calib-random"], 2, "none.onnx"),
        (["export", "m.onnx", "--precision", "int9"], 2, "valid: fp32, fp16, w8a32, w8a16, w8a8"),
        (["export", "m.onnx", "--target", "arm"], 2, "valid: auto, x86-avx2, x86-vnni, arm64, tensorrt"),
        (["export", "m.onnx", "--target", "arm64,x86-vnni"], 2, "--target takes one value, not 2"),
        (["export", "m.onnx", "--format", "coreml"], 2, "valid: onnx, tflite, tensorrt"),
        (["export", "m.onnx", "--input-shape", "a,b"], 2, "not a list of numbers"),
        (["export", "m.onnx", "--preprocessing", "{scal: 1}"], 2, "did you mean `scale`?"),
        (["benchmark", "none.tflite"], 2, "none.tflite"),
        (["report", "no/run"], 2, "no/run"),
        (["run", "none.yaml"], 2, "none.yaml"),
        (["benchmark"], 2, "ARTIFACTS"),
    ],
)
def test_a_users_mistake_is_one_line_and_an_exit_code(
    argv: list[str], code: int, words: str, tmp_path: Path
) -> None:
    """Wrong files and options exit 2 with what is wrong, and never with a traceback."""
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
