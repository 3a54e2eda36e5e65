"""A pipeline through the real program: sources, data, settings, two at once, full disks, old runs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from models.small_onnx import save_classifier
from processes import broken_off, edgebench, interrupt, remount, small_disk, start
from tiny_pipelines import (
    artifacts,
    assert_whole,
    leftovers,
    run_folders,
    save_image_classifier,
    write_image_folders,
    write_onnx_pipeline,
    write_torch_pipeline,
)

from edgebench.calibration.target import Target, local_target
from edgebench.cli import call

JUDGED = (0, 1, 3)
"""Exit codes of a run that came to a verdict; which one hangs on what else the machine is doing."""
QUICK = ("benchmark.sessions=1", "benchmark.calls=5")
FP32 = ("export.precisions=[fp32]", *QUICK)
PACKAGE = Path(__file__).parents[1]


def judged(cwd: Path, *argv: str, **more: str) -> str:
    """Run the program to a verdict and return its stderr."""
    done = edgebench(*argv, cwd=cwd, **more)
    assert done.returncode in JUDGED, done.stderr
    return done.stderr


def refused(cwd: Path, *argv: str, words: str, code: int = 2, **more: str) -> str:
    """Run the program, require the exit code, the words on one line of error, and no traceback."""
    done = edgebench(*argv, cwd=cwd, **more)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    error = done.stderr[done.stderr.index("edgebench: error:") :]
    assert re.search(words, error.splitlines()[0]), error
    assert all(line.startswith("hint: ") for line in error.splitlines()[1:]), error
    return error


# --- what a pipeline may hold -------------------------------------------------------------------


def test_a_pipeline_names_the_target(tmp_path: Path) -> None:
    """The manifest says whose integers it has; on another machine the evidence says so, once; `auto` is this.

    Another target is another cached step.
    """
    write_onnx_pipeline(tmp_path)
    other = Target.X86_AVX2 if local_target() is not Target.X86_AVX2 else Target.X86_VNNI
    for target in (Target.AUTO, other):
        judged(tmp_path, "run", "p.yaml", *QUICK, f"export.target={target}")
    for run, target in zip(run_folders(tmp_path), (local_target(), other), strict=True):
        fp32, int8 = (
            json.loads((run / "artifacts" / f"tiny.{precision}.onnx.json").read_text())["target"]
            for precision in ("fp32", "w8a8")
        )
        assert (fp32, int8) == (None, target)
        words = f"tiny.w8a8.onnx: is made for {other} and runs on {local_target()}"
        notes = json.loads((run / "evidence.json").read_text())["notes"]
        assert sum(note.startswith(words) for note in notes) == (target is other)


def test_class_folders_and_paths_from_the_files_own_folder(tmp_path: Path) -> None:
    """An .onnx without compression, judged on folders of images, from any working directory."""
    (tmp_path / "project").mkdir()
    save_image_classifier(tmp_path / "project" / "m.onnx")
    write_image_folders(tmp_path / "project" / "images")
    (tmp_path / "project" / "p.yaml").write_text(
        "schema_version: 1\nname: tiny\nmodel: {model: m.onnx}\n"
        "data: {calibration: images, evaluation: images, preprocessing: {scale: 0.01}}\n"
        "export: {formats: [onnx]}\nbenchmark: {sessions: 3, calls: 30}\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    judged(elsewhere, "run", "../project/p.yaml", *QUICK, "-o", "here")
    (run,) = (elsewhere / "here" / "tiny").iterdir()
    assert_whole(run)
    assert {path.name for path in (tmp_path / "project").iterdir()} == {"m.onnx", "images", "p.yaml"}
    config = yaml.safe_load((run / "config.resolved.yaml").read_text())
    assert config["benchmark"] == {**config["benchmark"], "sessions": 1, "calls": 5}
    evidence = json.loads((run / "evidence.json").read_text())
    assert evidence["measurements"][0]["accuracy"]["class_names"] == ["a", "b", "c", "d"]
    assert any("also calibration samples" in note for note in evidence["notes"])


def test_a_step_is_made_once_and_anew_only_for_what_it_depends_on(tmp_path: Path) -> None:
    """The second run takes the export from the cache; other measuring does too; another model does not."""
    write_onnx_pipeline(tmp_path)
    assert "convert to onnx" in judged(tmp_path, "run", "p.yaml", *FP32)
    again = judged(tmp_path, "run", "p.yaml", *FP32, "benchmark.calls=6", "seed=1")
    assert "export to onnx: from the cache" in again
    assert "convert" not in again
    assert len(run_folders(tmp_path)) == 2
    save_classifier(tmp_path / "m.onnx", seed=1)
    assert "convert to onnx" in judged(tmp_path, "run", "p.yaml", *FP32)
    first, second, third = (artifacts(run) for run in run_folders(tmp_path))
    assert first == second != third


def test_demo_and_run_are_one_way(tmp_path: Path) -> None:
    """`edgebench demo` takes up what `edgebench run examples/digits/pipeline.yaml` left unfinished."""
    example = str(PACKAGE / "examples" / "digits" / "pipeline.yaml")
    for argv, words in ((("run", example), "train the teacher"), (("demo",), "taking up runs/digits/")):
        ended = broken_off(*argv, cwd=tmp_path, reached=lambda line, w=words: w in line, send=interrupt)
        assert ended.returncode in (130, -signal.SIGINT)
    assert len(run_folders(tmp_path, "digits")) == 1


# --- what does not fit is said at once ----------------------------------------------------------

MISFITS = {
    "a truncated model": (("model.model=cut.onnx",), "cut.onnx"),
    "random bytes": (("model.model=noise.onnx",), "noise.onnx"),
    "no such model": (("model.model=none.onnx",), "none.onnx: no such file"),
    "only tensorrt": (("export.formats=[tensorrt]",), "nothing was exported: tensorrt: "),
    "int8 without data": (("data.calibration=null",), "`data.calibration` is missing"),
    "data of another shape": (("data.evaluation=wide.npz",), "17"),
    "no such data": (("data.evaluation=none.npz",), "none.npz: no such file"),
    "no such device": (("benchmark.device=phone:1",), "phone:1"),
    "nonsense cores": (("benchmark.affinity=a",), "cores 'a'"),
    "nonsense cool-down": (("benchmark.cool_down=warm",), "cool-down 'warm'"),
    "nonsense power mode": (("benchmark.power_mode=MAXN",), "power_mode"),
    "compressing what is no network": (
        ("compress.prune={}", "data.train=c.npz"),
        "`compress` trains PyTorch models, and m.onnx is onnx",
    ),
    "weights beside weights": (("model.weights=c.npz",), "carries its own weights"),
    "no amount of memory": (
        ("export.calibration_memory=lots",),
        "`export.calibration_memory` 'lots' is not an amount of memory",
    ),
    "a budget below zero": (("export.max_drop=-1pp",), "`export.max_drop` '-1pp' is not from 0"),
    "a budget on few samples": (("export.max_drop=1pp",), "has 32 samples"),
    "a budget without int8": (
        ("export.max_drop=1pp", "export.precisions=[fp32]"),
        "a budget on the accuracy's drop is for w8a8",
    ),
    "a share that is none": (("export.max_drop=1pp", "export.max_float=half"), "`export.max_float` 'half'"),
    "a gate that is none": (("gates=[fast please]",), "fast please"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_what_does_not_fit_is_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models, data and settings that do not fit end with exit code 2 and one line that names them."""
    overrides, words = MISFITS[kind]
    write_onnx_pipeline(tmp_path)
    write_wide(tmp_path / "wide.npz")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:200])
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(4096))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    assert call(["run", "p.yaml", *FP32[1:], *overrides]) == 2
    error = capsys.readouterr().err.split("edgebench: error: ")[1].splitlines()
    assert words in error[0]
    assert len(error) <= 2
    assert not leftovers(tmp_path)


def write_wide(path: Path) -> None:
    """Write samples of 17 numbers, which the model does not take."""
    np.savez(path, x=np.zeros((8, 17), np.float32), y=np.zeros(8, np.int64))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("export.precisions=[w8a8]", "`data.calibration` is missing"),
        ("export.precisions=[w8a16]", "`data.calibration` is missing"),
        ("export.target=arm", "valid values: auto, x86-avx2, x86-vnni, arm64, tensorrt"),
        ("export={formats: [onnx], precisions: [w8a16], target: tensorrt}", "TensorRT takes no w8a16"),
        ("data.train=none.npz", "none.npz: no such file"),
        ("compress.distil.teacher.weights=none.pt", "none.pt: no such file"),
        ("model.weights=none.pt", "none.pt: no such file"),
        ("model.model=none.py:student", "none.py: no such file"),
        ("benchmark.device=serial://orin", "no transport serves 'serial'"),
        ("benchmark.device=ssh://-oProxyCommand=x", "not an address for ssh"),
    ],
)
def test_a_mistake_is_found_before_the_training(
    override: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would fail only after the training is refused before it, and no run is begun."""
    write_torch_pipeline(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert call(["run", "p.yaml", override]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "train the teacher" not in said
    assert not (tmp_path / "runs").exists()


# --- two at once --------------------------------------------------------------------------------


def ends(*processes: subprocess.Popen[str]) -> list[tuple[int, str]]:
    """Return exit code and stderr of programs that run at once."""
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def test_two_of_the_same_at_once_both_end_well_or_one_is_refused(tmp_path: Path) -> None:
    """Begun in the same moment into one folder with one cache: whole runs, and no file mixed up."""
    write_onnx_pipeline(tmp_path)
    results = ends(*(start("run", "p.yaml", *QUICK, cwd=tmp_path) for _ in range(2)))
    assert any(code in JUDGED for code, _ in results), results
    assert all(code in (*JUDGED, 4) for code, _ in results), results
    assert all("another edgebench run is writing here" in said for code, said in results if code == 4)
    assert "Traceback" not in "".join(said for _, said in results)
    whole = run_folders(tmp_path)
    assert len(whole) == sum(code in JUDGED for code, _ in results)
    for run in whole:
        assert_whole(run)
    assert len({json.dumps(artifacts(run), sort_keys=True) for run in whole}) == 1
    assert not leftovers(tmp_path)


def test_a_run_that_is_under_way_is_not_taken_up_by_another(tmp_path: Path) -> None:
    """The same command in the middle of a run: exit code 4 and one line; the first ends well."""
    write_onnx_pipeline(tmp_path)
    argv = ("run", "p.yaml", "export.precisions=[fp32]", "benchmark.sessions=6")
    second: list[str] = []

    def meanwhile(pid: int) -> None:
        del pid
        second.append(refused(tmp_path, *argv, words="another edgebench run is writing here", code=4))

    ended = broken_off(*argv, cwd=tmp_path, reached=lambda line: "session 1" in line, send=meanwhile)
    assert ended.returncode in JUDGED
    assert len(second) == 1
    (run,) = run_folders(tmp_path)
    assert_whole(run)


def test_two_folders_share_one_cache_at_once(tmp_path: Path) -> None:
    """Two runs that make the same step at once in one cache: both whole, both the same artifacts."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_onnx_pipeline(folder)
    cache = str(tmp_path / "cache")
    results = ends(*(start("run", "p.yaml", *QUICK, cwd=f, EDGEBENCH_CACHE=cache) for f in folders))
    assert all(code in JUDGED for code, _ in results), results
    runs = [run_folders(folder)[0] for folder in folders]
    for run in runs:
        assert_whole(run)
    assert artifacts(runs[0]) == artifacts(runs[1])
    made = [json.loads(key.read_bytes())["what"] for key in (tmp_path / "cache").rglob("key.json")]
    assert "export to onnx" in made
    assert len(made) == len(set(made))
    assert not leftovers(tmp_path)


# --- disks ----------------------------------------------------------------------------------------


def test_a_full_disk_under_the_run_is_named_and_the_run_goes_on_with_more(tmp_path: Path) -> None:
    """Full at the start, in the measuring, in the report: exit code 4 and one line with the path.

    With space freed, the same run is taken up and ends whole.
    """
    write_onnx_pipeline(tmp_path)
    argv = ("run", "p.yaml", *QUICK)
    with small_disk(tmp_path / "runs", "8k") as disk:
        reached = []
        for size in ("8k", "48k", "112k"):
            remount(disk, f"size={size}")
            refused(tmp_path, *argv, words=r"runs/tiny/.*(the disk is full|No space left on device)", code=4)
            reached.append(sum(path.is_file() for path in disk.rglob("*")))
        assert reached == sorted(reached)
        remount(disk, "size=64m")
        assert "taking up runs/tiny/" in judged(tmp_path, *argv)
        whole = [run for run in run_folders(tmp_path) if (run / "verdict.json").exists()]
        assert len(whole) == 1
        assert_whole(whole[0])
        assert not leftovers(tmp_path)


def test_a_full_disk_under_the_cache_is_named_with_its_variable(tmp_path: Path) -> None:
    """A cache that is full: exit code 4, its path, EDGEBENCH_CACHE; with space freed the run goes on."""
    write_onnx_pipeline(tmp_path)
    save_classifier(tmp_path / "m.onnx", width=40_000)
    argv = ("run", "p.yaml", *FP32)
    with small_disk(tmp_path / "cache", "1m") as disk:
        error = refused(tmp_path, *argv, words="the disk is full", code=4)
        assert str(disk) in error
        assert "EDGEBENCH_CACHE" in error
        assert not [path for path in disk.rglob("*") if path.is_file()]
        remount(disk, "size=64m")
        assert "taking up runs/tiny/" in judged(tmp_path, *argv)
    (run,) = run_folders(tmp_path)
    assert_whole(run)


def test_a_full_disk_of_temporary_files_is_named_with_its_variable(tmp_path: Path) -> None:
    """A worker that has no room for its files: exit code 4, the path, TMPDIR."""
    write_onnx_pipeline(tmp_path)
    save_classifier(tmp_path / "m.onnx", width=40_000)
    with small_disk(tmp_path / "small", "1m") as disk:
        argv = ("run", "p.yaml", *FP32)
        error = refused(tmp_path, *argv, words="the disk is full", code=4, TMPDIR=str(disk))
        assert str(disk) in error
        assert not list(disk.iterdir())


def test_a_disk_that_is_read_only_is_named(tmp_path: Path) -> None:
    """A run or a cache on a disk that nobody can write to: exit code 4 and one line with the path."""
    write_onnx_pipeline(tmp_path)
    with small_disk(tmp_path / "ro", "64k") as disk:
        remount(disk, "ro")
        for more in ({}, {"EDGEBENCH_CACHE": str(disk / "cache")}):
            out = ("-o", "ro/runs") if not more else ()
            error = refused(
                tmp_path, "run", "p.yaml", *QUICK, *out, words="cannot be written", code=4, **more
            )
            assert "ro/" in error


# --- what earlier runs left ---------------------------------------------------------------------


def test_a_manifest_that_cannot_be_read_stops_no_run(tmp_path: Path) -> None:
    """Run folders whose manifest is cut off, edited, binary or a folder are left alone, and named."""
    write_onnx_pipeline(tmp_path)
    runs = tmp_path / "runs" / "tiny"
    contents = [b"", b'{"name": "tiny", "config', b'{"name": 1}', b"\xff\xfe\0", b"[]"]
    for number, content in enumerate(contents):
        (runs / str(number)).mkdir(parents=True)
        (runs / str(number) / "manifest.json").write_bytes(content)
    (runs / "5" / "manifest.json").mkdir(parents=True)
    (runs / "6").write_text("a file")
    said = judged(tmp_path, "run", "p.yaml", *FP32)
    for number in range(6):
        words = rf"note: runs/tiny/{number}/manifest\.json: .*; that run is left alone\n"
        assert re.search(words, said), said
    assert "Traceback" not in said
    assert [(runs / str(number) / "manifest.json").read_bytes() for number in range(5)] == contents


def test_damaged_files_of_an_unfinished_run_are_made_anew(tmp_path: Path) -> None:
    """Artifacts, timings and answers that were cut off or edited are not taken for finished ones."""
    write_onnx_pipeline(tmp_path)
    judged(tmp_path, "run", "p.yaml", *QUICK)
    (run,) = run_folders(tmp_path)
    before = artifacts(run)
    manifest = json.loads((run / "manifest.json").read_bytes())
    (run / "manifest.json").write_text(json.dumps({**manifest, "finished": False}))
    damage = ("artifacts/tiny.fp32.onnx", "artifacts/tiny.w8a8.onnx.json", "evidence.json", "results.json")
    damage += ("samples/tiny.fp32.onnx.s0.parquet", "outputs/tiny.w8a8.onnx.npz", "verdict.json")
    for name in damage:
        (run / name).write_bytes((run / name).read_bytes()[:100])
    (run / ".report.html.abc.part").write_text("<html>")
    (run / ".work").mkdir()
    (run / ".work" / "input_0.npy").write_text("left")
    said = judged(tmp_path, "run", "p.yaml", *QUICK)
    kept = {line.partition("] ")[2] for line in said.splitlines() if line.endswith("kept from before")}
    assert kept == {"accuracy of tiny.fp32.onnx: kept from before"}
    assert run_folders(tmp_path) == [run]
    assert_whole(run)
    assert artifacts(run) == before
    assert not leftovers(tmp_path)


def test_a_cached_file_that_was_changed_is_not_measured(tmp_path: Path) -> None:
    """A cached model of the right size and another content ends in exit code 4; --fresh makes it anew."""
    write_onnx_pipeline(tmp_path)
    judged(tmp_path, "run", "p.yaml", *FP32)
    (cached,) = (tmp_path / "cache").rglob("*.onnx")
    content = cached.read_bytes()
    cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    error = refused(tmp_path, "run", "p.yaml", *FP32, words="tiny.fp32.onnx: the cache's file", code=4)
    assert "--fresh" in error
    assert "convert to onnx" in judged(tmp_path, "run", "p.yaml", *FP32, "--fresh")
    assert cached.read_bytes() == content
