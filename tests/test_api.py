"""The Python calls behind the verbs: the same options, the same defaults, the same errors."""

from __future__ import annotations

import inspect
from pathlib import Path

import click
import pytest
from models.small_onnx import save_classifier
from tiny_pipelines import leftovers, write_onnx_pipeline

from edgebench import api
from edgebench.artifact import Precision
from edgebench.calibration.target import Target, local_target
from edgebench.cli import VERBS, cli
from edgebench.errors import ConfigError, InputError, StorageError
from edgebench.reports.verdict import Decision

TWINS = {
    "export": ("export",),
    "calibrate": ("calibrate",),
    "benchmark": ("benchmark", "report"),
    "import": ("import_logs",),
    "report": ("report",),
    "compare": ("compare",),
    "results": ("results_text", "write_results", "results_frame"),
    "gates check": ("check_gates",),
    "ladder": ("ladder",),
    "run": ("run",),
    "demo": ("demo",),
    "doctor": ("doctor", "doctor_fix"),
    "devices add": ("add_device",),
    "devices remove": ("remove_device",),
    "devices list": ("list_devices", "known_devices", "quarantined_devices"),
    "devices info": ("device_info",),
    "devices doctor": ("device_doctor",),
    "devices release": ("device_release",),
    "devices setup": ("device_setup",),
    "devices noise": ("device_noise",),
    "init": ("init", "pipeline_schema"),
}
"""Which calls a verb makes. `completion` has none: it is the shell's business."""
OF_THE_TERMINAL = {"as_json", "quiet"}
"""Options that say how a verb talks; a call returns its answer, and takes `progress`."""
CHOOSES_THE_CALL = {("init", "schema"), ("doctor", "fix")}
"""Flags that stand for another call than the verb's first."""
OTHER_NAMES = {("report", "run"): "run_folder", ("gates check", "run"): "run_folder"}
"""Arguments whose name on the command line would be unclear in Python."""
NOT_OF_THE_VERB = {"benchmark": {"run_folder", "html"}}
"""Arguments of a verb's second call that the verb fills in itself."""


def commands() -> dict[str, click.Command]:
    """Return every verb and sub-verb with its command."""
    found: dict[str, click.Command] = {}
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        below = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{verb} {name}": sub for name, sub in below.items()} or {verb: command}
    return found


def arguments(verb: str) -> dict[str, inspect.Parameter]:
    """Return the arguments of a verb's calls by name."""
    calls = [inspect.signature(getattr(api, name)).parameters for name in TWINS[verb]]
    return {name: parameter for call in calls for name, parameter in call.items()}


def options(verb: str) -> list[click.Parameter]:
    """Return a verb's own options and arguments."""
    skipped = OF_THE_TERMINAL | {name for of, name in CHOOSES_THE_CALL if of == verb}
    return [option for option in commands()[verb].params if option.name not in skipped]


def test_every_verb_has_its_call() -> None:
    """Each verb but `completion` stands in the table, and its calls exist and have a docstring."""
    assert set(commands()) - {"completion"} == set(TWINS)
    for names in TWINS.values():
        for name in names:
            assert inspect.getdoc(getattr(api, name))


@pytest.mark.parametrize("verb", TWINS)
def test_a_verbs_options_are_its_calls_arguments(verb: str) -> None:
    """Every option of the verb is an argument of its call under the same name, and the other way round."""
    named = {OTHER_NAMES.get((verb, option.name or ""), option.name) for option in options(verb)}
    taken = set(arguments(verb)) - {"progress"} - NOT_OF_THE_VERB.get(verb, set())
    chosen = {"name"} if verb == "doctor" else set()  # what --fix names
    assert named == taken - chosen


@pytest.mark.parametrize("verb", TWINS)
def test_a_default_is_the_same_on_both_sides(verb: str) -> None:
    """Where both the option and the argument have a default, it is one value."""
    for option in options(verb):
        argument = arguments(verb)[OTHER_NAMES.get((verb, option.name or ""), option.name or "")]
        given = option.to_info_dict()["default"] if not option.required else None
        if argument.default in (inspect.Parameter.empty, None, ()) or given is None:
            continue
        assert str(given) == str(argument.default), f"{verb} {option.name}"


def test_the_calls_go_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export, benchmark and report from Python: artifacts, evidence, a verdict, and progress in words."""
    monkeypatch.chdir(tmp_path)
    write_onnx_pipeline(tmp_path)
    said: list[str] = []

    def hear(message: str, *, done: int | None = None, total: int | None = None) -> None:
        del done, total
        said.append(message)

    exported = api.export(
        "m.onnx",
        out=Path("out"),
        formats="onnx",
        int8=True,
        precisions="fp32",
        calib_data="c.npz",
        progress=hear,
    )
    assert [a.precision for a in exported.artifacts] == [Precision.FP32, Precision.W8A8]
    files = [Path("out") / artifact.path for artifact in exported.artifacts]
    run = api.benchmark(files, data="e.npz", sessions=1, calls=5, progress=hear)
    assert run.parent == Path("runs/benchmark")
    (tmp_path / "gates.yaml").write_text("- size <= 1MB\n")
    verdict = api.report(run, gates=Path("gates.yaml"))
    assert verdict.decision in Decision
    assert api.read_verdict(run) == verdict
    assert [m.artifact.id for m in api.read_evidence(run).measurements] == ["m.fp32.onnx", "m.w8a8.onnx"]
    assert "m.w8a8.onnx" in api.results_table(run)
    assert "convert to onnx" in said
    assert "session 1 of m.fp32.onnx, m.w8a8.onnx" in said
    assert not leftovers(tmp_path)


def test_a_file_for_another_target_is_measured_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence of a benchmark says that an artifact is made for another arithmetic than this one's."""
    monkeypatch.chdir(tmp_path)
    write_onnx_pipeline(tmp_path)
    made = {"out": Path("out"), "formats": "onnx", "int8": True, "calib_data": "c.npz"}
    (artifact,) = api.export("m.onnx", target="arm64", **made).artifacts
    run = api.benchmark([Path("out") / artifact.path], sessions=1, calls=5)
    said = [note for note in api.read_evidence(run).notes if "is made for" in note]
    here = local_target()
    words = f"m.w8a8.onnx: is made for arm64 and runs on {here}"
    assert [note.startswith(words) for note in said] == [True] * (here is not Target.ARM64)


def test_a_finished_measurement_is_not_written_over(tmp_path: Path) -> None:
    """A second benchmark into the same folder is refused, and the evidence stays as it is."""
    model = save_classifier(tmp_path / "m.onnx")
    run = api.benchmark([model], sessions=1, calls=5, out=tmp_path / "run")
    before = (run / "evidence.json").read_bytes()
    with pytest.raises(StorageError, match="holds a finished measurement"):
        api.benchmark([save_classifier(tmp_path / "n.onnx")], sessions=1, calls=5, out=run)
    assert (run / "evidence.json").read_bytes() == before


def test_runs_of_one_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two benchmarks without `out`, one after the other, do not meet."""
    monkeypatch.chdir(tmp_path)
    model = save_classifier(tmp_path / "m.onnx")
    assert len({api.benchmark([model], sessions=1, calls=1) for _ in range(2)}) == 2


def test_what_the_command_line_would_refuse_the_calls_refuse_too(tmp_path: Path) -> None:
    """No artifact, an unknown format, precision, shape or baseline, a changed file: each is named."""
    model = save_classifier(tmp_path / "m.onnx")
    with pytest.raises(InputError, match="nothing to measure"):
        api.benchmark([])
    with pytest.raises(InputError, match=r"none\.onnx: no such file"):
        api.benchmark([tmp_path / "none.onnx"])
    with pytest.raises(ConfigError, match="--baseline other"):
        api.benchmark([model], baseline="other")
    with pytest.raises(ConfigError, match="--format: unknown 'coreml'"):
        api.export(str(model), out=tmp_path / "out", formats="coreml")
    with pytest.raises(ConfigError, match="--precision: unknown 'unknown'"):
        api.export(str(model), out=tmp_path / "out", precisions="unknown")
    with pytest.raises(ConfigError, match="--format names nothing"):
        api.export(str(model), out=tmp_path / "out", formats=" , ")
    with pytest.raises(ConfigError, match="every size is 1 or more"):
        api.export(str(model), out=tmp_path / "out", input_shape=["1,0"])
    (artifact,) = api.export(str(model), out=tmp_path / "out", formats="onnx").artifacts
    save_classifier(tmp_path / "out" / artifact.path, seed=1)
    with pytest.raises(InputError, match="differs from its manifest"):
        api.benchmark([tmp_path / "out" / artifact.path])
