"""From logs to a run's folder that `report` judges: names, sessions, what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models.small_onnx import save_classifier

from edgebench import api
from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import Evidence, Span, Validity
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.importers import IMPORTERS, importer, read_log
from edgebench.benchmark.importers.log import Told
from edgebench.errors import ConfigError, EdgebenchError, InputError, StorageError
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.report import write_report
from edgebench.reports.verdict import Answer, Decision, GateResult
from tests.benchmark.tool_logs import (
    classic,
    google,
    litert_json,
    perf_test_print,
    perf_test_rows,
    repetition,
    trtexec,
    write,
)

RNG = np.random.default_rng(4)
SECONDS = [round(float(t), 7) for t in RNG.lognormal(-4.6, 0.05, 1200)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return a file of results with 1,200 calls of about 10 ms."""
    return write(tmp_path / "results.csv", perf_test_rows(SECONDS))


def evidence(folder: Path, logs: Sequence[Path], **options: Any) -> Evidence:
    """Return what was imported into `folder`."""
    api.import_logs(logs, device_name="orin-1", out=folder, **options)
    return api.read_evidence(folder)


def judged(folder: Path, *words: str) -> dict[str, GateResult]:
    """Return the results of gates on the run's only artifact."""
    verdict = write_report(folder, [parse_gate(text) for text in words])
    (artifact,) = verdict.artifacts
    return {result.gate: result for result in artifact.gates}


def test_every_call_is_judged(rows: Path, tmp_path: Path) -> None:
    """1,200 imported calls of 10 ms pass p99 <= 50ms and fail p50 <= 5ms; every one is in the samples."""
    found = evidence(tmp_path / "run", [rows])
    (measurement,) = found.measurements
    assert measurement.artifact.id == "resnet50"
    assert (measurement.device.name, measurement.device.uri) == ("orin-1", "import:orin-1")
    samples = load_samples(tmp_path / "run", measurement)
    assert samples.latency_ns.tolist() == [round(t * 1e9) for t in SECONDS]
    assert "results.csv, SHA-256" in measurement.sessions[0].origin
    results = judged(tmp_path / "run", "p99 <= 50ms", "p50 <= 5ms")
    assert [result.answer for result in results.values()] == [Answer.PASS, Answer.FAIL]


@pytest.mark.parametrize(
    "text",
    [classic(), litert_json(), perf_test_print(SECONDS[:50], verbose=False)],
    ids=["benchmark_model", "litert-benchmark", "onnxruntime_perf_test"],
)
def test_no_percentile_is_judged_from_a_summary(text: str, tmp_path: Path) -> None:
    """However far the mean lies from the bound: INCONCLUSIVE, for the tool kept no single timing."""
    evidence(tmp_path / "run", [write(tmp_path / "log", text)])
    for result in judged(tmp_path / "run", "p50 <= 10s", "p99 <= 1us").values():
        assert result.answer is Answer.INCONCLUSIVE
        assert "and not the single timings: no percentile can be judged from it" in result.reason
        assert result.value is None
        assert result.interval.lower is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "no percentile follows from it" in page
    assert "Imported 20" in page
    assert "Measured" not in page


def test_what_a_log_does_not_tell_is_inconclusive(rows: Path, tmp_path: Path) -> None:
    """Load, first inference, size and drop of a file of results: no number, and what would give one."""
    evidence(tmp_path / "run", [rows])
    results = judged(tmp_path / "run", "load <= 1s", "first <= 1s", "size <= 10MB", "drop <= 2pp")
    assert {result.answer for result in results.values()} == {Answer.INCONCLUSIVE}
    assert results["load <= 1s"].reason == "the log that was imported does not tell it"
    assert "its size is not known" in results["size <= 10MB"].reason
    assert "--artifact" in str(results["size <= 10MB"].needed)


def test_the_artifact_gives_size_and_precision(rows: Path, tmp_path: Path) -> None:
    """With --artifact a gate on size is judged, and the first fp32 is the baseline."""
    model = save_classifier(tmp_path / "net.onnx")
    found = evidence(tmp_path / "run", [rows], artifacts=[model])
    artifact = found.measurements[0].artifact
    assert (artifact.id, artifact.size_bytes) == ("net.onnx", model.stat().st_size)
    assert (artifact.precision, found.baseline) == (Precision.FP32, "net.onnx")
    assert judged(tmp_path / "run", "size <= 10MB")["size <= 10MB"].answer is Answer.PASS


def test_an_engine_is_taken_as_it_is(tmp_path: Path) -> None:
    """A .plan file has a size and a hash; nothing opens it."""
    engine = write(tmp_path / "net.plan", "engine" * 100)
    log = write(tmp_path / "times.json", trtexec([30.0] * 5))
    artifact = evidence(tmp_path / "run", [log], artifacts=[engine]).measurements[0].artifact
    assert (artifact.format, artifact.size_bytes, len(artifact.sha256)) == (Format.TENSORRT, 600, 64)


def test_logs_of_one_model_are_its_sessions(tmp_path: Path) -> None:
    """Five processes of one model: five sessions, and their median load is judged."""
    logs = [
        write(tmp_path / f"{i}.txt", perf_test_print(SECONDS[100 * i : 100 * i + 100], verbose=True))
        for i in range(5)
    ]
    model = save_classifier(tmp_path / "net.onnx")
    found = evidence(tmp_path / "run", logs, artifacts=[model])
    assert [session.index for session in found.measurements[0].sessions] == [0, 1, 2, 3, 4]
    results = judged(tmp_path / "run", "load <= 1s", "memory <= 1MB", "p95 <= 50ms")
    assert [result.answer for result in results.values()] == [Answer.PASS, Answer.FAIL, Answer.PASS]


def test_an_artifact_for_each_log(tmp_path: Path) -> None:
    """Two logs, two files, in their order; --baseline names what others are held against."""
    logs = [write(tmp_path / f"{i}.csv", perf_test_rows([0.01 * (i + 1)] * 20)) for i in range(2)]
    models = [save_classifier(tmp_path / name) for name in ("a.onnx", "b.onnx")]
    found = evidence(tmp_path / "run", logs, artifacts=models, baseline="b.onnx")
    medians = {
        m.artifact.id: int(np.median(load_samples(tmp_path / "run", m).latency_ns))
        for m in found.measurements
    }
    assert medians == {"a.onnx": 10_000_000, "b.onnx": 20_000_000}
    assert found.baseline == "b.onnx"


def test_sessions_timed_unlike_each_other_are_refused(tmp_path: Path) -> None:
    """Of 2 threads and of 4: the field and both values are named."""
    text = perf_test_print(SECONDS[:9], verbose=True)
    logs = [
        write(tmp_path / "a.txt", text),
        write(tmp_path / "b.txt", text.replace("num_threads to 2", "num_threads to 4")),
    ]
    model = save_classifier(tmp_path / "net.onnx")
    with pytest.raises(InputError, match="they differ in threads 2 and 4"):
        evidence(tmp_path / "run", logs, artifacts=[model])
    spans = [
        write(tmp_path / "c.json", trtexec([30.0])),
        write(tmp_path / "d.json", trtexec([30.0], h2d=0, d2h=0)),
    ]
    with pytest.raises(InputError, match=r"span copies\+compute and compute"):
        evidence(tmp_path / "run2", spans, artifacts=[write(tmp_path / "n.engine", "x")])
    covered = [
        write(tmp_path / "e.txt", classic()),
        write(tmp_path / "f.txt", classic().replace("30 out of 31", "31 out of 31")),
    ]
    with pytest.raises(InputError, match=r"coverage 30 of 31 nodes on .* and 31 of 31 nodes"):
        evidence(tmp_path / "run3", covered)


def test_artifacts_timed_unlike_each_other_are_not_compared(tmp_path: Path) -> None:
    """Kernels alone beside whole calls: the report says that they are not comparable, by field."""
    logs = [write(tmp_path / "a.json", trtexec([30.0])), write(tmp_path / "b.csv", perf_test_rows([0.03]))]
    evidence(tmp_path / "run", logs)
    verdict = write_report(tmp_path / "run", [parse_gate("p50 <= 1s")])
    (note,) = [note for note in verdict.notes if "not comparable" in note]
    assert "span copies+compute and call" in note


def test_calls_before_it_is_steady_are_warm_up(tmp_path: Path) -> None:
    """150 calls of 30 ms, then 1,200 of 10 ms: the slow ones are kept as warm-up, and a note says so."""
    log = write(tmp_path / "r.csv", perf_test_rows([0.03 + t / 10 for t in SECONDS[:150]] + SECONDS))
    found = evidence(tmp_path / "run", [log])
    samples = load_samples(tmp_path / "run", found.measurements[0])
    cut = samples.warmup_ns.size
    assert 150 <= cut <= 350  # a tenth of the calls goes with the slow ones, in blocks of one fortieth
    assert samples.latency_ns.max() < 20e6
    assert samples.latency_ns.size + cut == 1350
    assert f"its first {cut} calls were taken for warm-up" in found.notes[1]


def test_the_warm_up_of_a_long_log_is_found_too(tmp_path: Path) -> None:
    """Of 500,000 calls the first 50,000 are slow: they are found from every second call."""
    seconds = np.tile(SECONDS, 417)[:500_000]
    seconds[:50_000] += 0.02
    log = write(tmp_path / "r.csv", perf_test_rows([f"{t:.7g}" for t in seconds]))
    found = evidence(tmp_path / "run", [log])
    (session,) = found.measurements[0].sessions
    assert 50_000 <= session.warmup_calls <= 112_500
    assert session.calls + session.warmup_calls == 500_000
    assert load_samples(tmp_path / "run", found.measurements[0]).latency_ns.max() < 20e6


def test_calls_that_never_become_steady_are_in_doubt(tmp_path: Path) -> None:
    """A device that slows down all the time: every call stays, and the measurement is DEGRADED."""
    log = write(tmp_path / "r.csv", perf_test_rows([t * (1 + i / 600) for i, t in enumerate(SECONDS)]))
    (measurement,) = evidence(tmp_path / "run", [log]).measurements
    assert measurement.sessions[0].calls == 1200
    assert measurement.validity is Validity.DEGRADED
    assert measurement.validity_reasons == ("the calls of r.csv never become steady",)


def test_the_tools_own_warnings_degrade(tmp_path: Path) -> None:
    """Google Benchmark found scaling on: the measurement is DEGRADED, with the reason."""
    log = write(tmp_path / "b.json", google([repetition("B", 0, 1.0)], cpu_scaling_enabled=True))
    (measurement,) = evidence(tmp_path / "run", [log], runtime="litert").measurements
    assert measurement.validity is Validity.DEGRADED
    assert "frequency scaling" in measurement.validity_reasons[0]


def test_sessions_far_apart_are_invalid(tmp_path: Path) -> None:
    """Two processes whose medians differ threefold cannot speak for each other: INVALID, and never GO."""
    text = perf_test_rows([0.01] * 400) + perf_test_rows([0.03] * 400)
    found = evidence(tmp_path / "run", [write(tmp_path / "r.csv", text)])
    assert found.measurements[0].validity is Validity.INVALID
    assert write_report(tmp_path / "run", [parse_gate("p99 <= 50ms")]).decision is Decision.INCONCLUSIVE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trtexec", trtexec([30.0])),
        ("onnxruntime_perf_test", perf_test_rows([0.01])),
        ("onnxruntime_perf_test", perf_test_print([0.01], verbose=False)),
        ("google-benchmark", google([])),
        ("benchmark_model", classic()),
        ("litert-benchmark", litert_json()),
    ],
)
def test_a_log_is_told_by_its_content(name: str, text: str, tmp_path: Path) -> None:
    """Each log is recognised by its own importer and by no other."""
    path = write(tmp_path / "log", text)
    head = path.read_bytes()
    assert [tool for tool in IMPORTERS if importer(tool).recognises(head, path)] == [name]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize(
    "text",
    [
        trtexec([30.0, 31.0]),
        perf_test_rows(SECONDS[:5]),
        perf_test_print(SECONDS[:5], verbose=True),
        google([repetition("B", 0, 1.0)]),
        classic(),
        litert_json(),
    ],
    ids=["trtexec", "rows", "print", "google", "classic", "litert"],
)
def test_line_ends_of_windows_change_nothing(text: str, mark: bytes, tmp_path: Path) -> None:
    """A log with carriage returns, and with a byte order mark, tells what it told."""
    plain = write(tmp_path / "plain", text)
    other = tmp_path / "other"
    other.write_bytes(mark + text.encode().replace(b"\n", b"\r\n"))
    (first,), (second,) = (read_log(path, Told(runtime="litert")) for path in (plain, other))
    assert first.latency_ns.tolist() == second.latency_ns.tolist()
    assert (first.summary, first.timing, first.load_ns) == (second.summary, second.timing, second.load_ns)
    assert first.model == second.model


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A log is read more than once, so a pipe is no log, and nobody waits for its other end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        read_log(tmp_path / "pipe", Told())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\xff\xfeI\x00n\x00", "is UTF-16 text"),
        (b"TFL3\x00\x00", "is not a text file"),
        (b"all went well\n", "is not the log of a tool that is known"),
        (b"&&&& RUNNING TensorRT.trtexec [TensorRT v100300]\n", "--exportTimes"),
        (b'[\n  { "count" : 100 }\n, { "name" : "conv", "averageMs" : 1.0 }\n]\n', "--exportTimes"),
    ],
)
def test_what_is_no_log_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    """Empty, binary, UTF-16, of another tool, or a near relative: what it is, and what is wanted."""
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_log(path, Told())
    assert says in str(caught.value)
    assert caught.value.message.startswith(f"{path}: ")


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_forced_format_reads_or_refuses(name: str, tmp_path: Path) -> None:
    """A foreign text under --format is refused in one line by every importer, never a traceback."""
    texts = ["hello\n", "[1, 2]\n", "{}\n", '{"latency": 3, "benchmarks": 4, "context": []}', "[}\n", "]"]
    for text in texts:
        with pytest.raises(InputError) as caught:
            read_log(write(tmp_path / "log", text), Told(runtime="litert"), form=name)
        assert "\n" not in caught.value.message


def test_mistakes_of_the_user(rows: Path, tmp_path: Path) -> None:
    """No log, one twice, a missing one, artifacts that do not add up, a wrong name: each says what to do."""
    copy = Path(shutil.copy(rows, tmp_path / "copy.csv"))
    model = save_classifier(tmp_path / "net.onnx")
    mistakes: list[tuple[list[Path], dict[str, Any], str]] = [
        ([], {}, "there is nothing to import"),
        ([rows, copy], {}, "holds the same as"),
        ([tmp_path / "none.csv"], {}, "no such file"),
        ([tmp_path], {}, "is a directory"),
        ([rows], {"artifacts": [model, model]}, "names 2 files for 1 logs"),
        ([rows], {"artifacts": [tmp_path / "none.onnx"]}, "no such file"),
        ([rows], {"baseline": "vgg"}, "is not one of the artifacts"),
        ([rows], {"log_format": "csv"}, "valid: trtexec"),
        ([rows], {"span": "all"}, "valid: call, copies+compute"),
        ([rows], {"span": Span.COMPUTE.value}, "does not hold the compute"),
        ([rows], {"only": "vgg*"}, "leaves nothing"),
    ]
    for logs, options, says in mistakes:
        with pytest.raises(EdgebenchError) as caught:
            api.import_logs(logs, device_name="d", out=tmp_path / "run", **options)
        assert says in str(caught.value)
    with pytest.raises(ConfigError, match="--device-name is empty"):
        api.import_logs([rows], device_name=" ", out=tmp_path / "run")


def test_the_model_must_be_the_one_that_was_measured(tmp_path: Path) -> None:
    """A log of a 24 kB model is not one of a file that weighs something else."""
    log = write(tmp_path / "out.txt", classic())
    model = save_classifier(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"is of a model of 24,000 B, and net.onnx has"):
        evidence(tmp_path / "run", [log], artifacts=[model])


def test_one_artifact_is_not_several_benchmarks(tmp_path: Path) -> None:
    """A file of two benchmarks with one --artifact: which of them it is must be said."""
    log = write(tmp_path / "b.json", google([repetition("A", 0, 1.0), repetition("B", 0, 1.0)]))
    model = save_classifier(tmp_path / "net.onnx")
    with pytest.raises(InputError, match="tells of 2 models: A, B"):
        evidence(tmp_path / "run", [log], artifacts=[model])
    found = evidence(tmp_path / "run", [log], artifacts=[model], only="B")
    assert found.measurements[0].sessions[0].timing.runtime == "onnxruntime"


def test_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Two model files called net.onnx cannot be told apart in a report."""
    logs = [write(tmp_path / f"{i}.csv", perf_test_rows([0.01 + i])) for i in range(2)]
    models = []
    for index in range(2):
        (tmp_path / str(index)).mkdir()
        models.append(save_classifier(tmp_path / str(index) / "net.onnx", seed=index))
    with pytest.raises(InputError, match=r"two artifacts are called net.onnx"):
        evidence(tmp_path / "run", logs, artifacts=models)


def test_a_finished_run_is_not_written_over(rows: Path, tmp_path: Path) -> None:
    """A folder with evidence is refused, and stays as it is."""
    first = evidence(tmp_path / "run", [rows])
    with pytest.raises(StorageError, match="holds a finished measurement"):
        evidence(tmp_path / "run", [rows])
    assert api.read_evidence(tmp_path / "run") == first
