"""The runner: artifacts in, evidence out, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench.artifact import Format
from edgebench.benchmark.evidence import Evidence, Validity
from edgebench.benchmark.evidence_files import load_answers, load_samples, read_evidence
from edgebench.benchmark.request import BenchmarkRequest, parse_cores
from edgebench.benchmark.runner import benchmark
from edgebench.devices.local import LocalDevice
from edgebench.errors import ConfigError, DataError, InputError

QUICK = {"sessions": 2, "calls": 30, "warmup_s": 0.01, "min_warmup_calls": 3}


def _request(out: Path, *artifacts: object, **settings: object) -> BenchmarkRequest:
    return BenchmarkRequest(artifacts=artifacts, out=out, **{**QUICK, **settings})  # type: ignore[arg-type]


def _device(tmp_path: Path, script: str) -> LocalDevice:
    """Return this machine with an interpreter that does something to the agent."""
    wrapper = tmp_path / "python"
    wrapper.write_text(f"#!/bin/sh\n{script}\n")
    wrapper.chmod(0o755)
    return LocalDevice(python=str(wrapper))


def _python() -> str:
    return LocalDevice().python


def test_every_timing_is_kept(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Each session's timings lie on disk, in order, warm-up apart, and add up to the record."""
    evidence = benchmark(_request(tmp_path / "run", linear()))
    measured = evidence.measurements[0]
    samples = load_samples(tmp_path / "run", measured)
    assert measured.failure is None
    assert [session.calls for session in measured.sessions] == [30, 30]
    assert samples.latency_ns.size == 60
    assert (samples.latency_ns > 0).all()
    assert samples.session.tolist() == [0] * 30 + [1] * 30
    assert samples.warmup_ns.size == sum(session.warmup_calls for session in measured.sessions) >= 6
    assert read_evidence(tmp_path / "run") == evidence
    assert not (tmp_path / "run" / ".work").exists()


def test_what_was_timed_is_said(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A session carries runtime, version, provider, threads, cores, load, first call and memory."""
    evidence = benchmark(_request(tmp_path, linear(), affinity="0", threads=1, sessions=1))
    session = evidence.measurements[0].sessions[0]
    assert session.timing.runtime == "onnxruntime"
    assert session.timing.runtime_version == evidence.environment["onnxruntime"]
    assert session.timing.provider == "CPUExecutionProvider"
    assert (session.timing.threads, session.timing.affinity, session.timing.batch) == (1, (0,), 1)
    assert "session" in session.timing.timed.lower()
    assert session.load_ns > session.first_ns > 0
    assert session.peak_rss_bytes > 10e6
    assert session.model_rss_bytes is not None
    assert 0 < session.model_rss_bytes < session.peak_rss_bytes


def test_answers_are_the_models_own(
    tmp_path: Path, linear: Callable[..., object], dataset: Callable[..., object]
) -> None:
    """The answers to 70 samples, in batches of 32 with a filled last one, are the matrix product."""
    source = np.random.default_rng(1)
    weight, x = source.normal(size=(4, 3)), source.normal(size=(70, 4)).astype(np.float32)
    data = dataset(x, labels=source.integers(0, 3, 70))
    evidence = benchmark(_request(tmp_path, linear(weight=weight), data=data, sessions=1))
    answers = load_answers(tmp_path, evidence.measurements[0])
    assert answers is not None
    np.testing.assert_allclose(answers.logits, x @ weight.astype(np.float32), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(answers.labels, data.labels)
    assert evidence.measurements[0].accuracy.classes == 3


@pytest.mark.parametrize("batch", [1, 8])
def test_a_fixed_batch_is_kept(
    tmp_path: Path, linear: Callable[..., object], dataset: Callable[..., object], batch: int
) -> None:
    """A model that takes exactly `batch` samples a call answers 11 of them all the same."""
    x = np.random.default_rng(1).normal(size=(11, 4)).astype(np.float32)
    data = dataset(x, labels=np.zeros(11, np.int64))
    evidence = benchmark(_request(tmp_path, linear(batch=batch), data=data, sessions=1))
    answers = load_answers(tmp_path, evidence.measurements[0])
    np.testing.assert_allclose(answers.logits, x)
    assert evidence.measurements[0].sessions[0].timing.batch == batch


def test_finished_sessions_are_not_measured_again(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A run taken up again keeps each finished session to the nanosecond and measures only what lacks."""
    request = _request(tmp_path, linear())
    first = benchmark(request)
    before = load_samples(tmp_path, first.measurements[0]).latency_ns
    (tmp_path / first.measurements[0].sessions[1].samples).unlink()
    (tmp_path / "evidence.json").unlink()
    after = load_samples(tmp_path, benchmark(request).measurements[0]).latency_ns
    np.testing.assert_array_equal(after[:30], before[:30])
    assert (after[30:] != before[30:]).any()


def test_other_settings_are_measured_anew(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Sessions of another request in the same folder are not taken for this one's."""
    made = linear()
    first = benchmark(_request(tmp_path, made))
    second = benchmark(_request(tmp_path, made, calls=20))
    assert [session.calls for session in second.measurements[0].sessions] == [20, 20]
    assert first.measurements[0].sessions[0].samples == second.measurements[0].sessions[0].samples


def test_a_broken_session_file_is_measured_again(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A session's file that was cut off is not trusted."""
    request = _request(tmp_path, linear(), sessions=1)
    path = tmp_path / benchmark(request).measurements[0].sessions[0].samples
    path.write_bytes(path.read_bytes()[:100])
    assert load_samples(tmp_path, benchmark(request).measurements[0]).latency_ns.size == 30


def test_a_truncated_model_is_a_failure_and_the_run_goes_on(
    tmp_path: Path, linear: Callable[..., object]
) -> None:
    """One model cut off in the middle: it says so, the other is measured."""
    broken, path = linear("broken.onnx")
    path.write_bytes(path.read_bytes()[:40])
    evidence = benchmark(_request(tmp_path / "run", (broken, path), linear("good.onnx")))
    assert "cannot be loaded" in evidence.measurements[0].failure
    assert evidence.measurements[0].sessions == ()
    assert evidence.measurements[1].failure is None


def test_random_bytes_as_tflite_are_a_failure(tmp_path: Path, described: Callable[..., object]) -> None:
    """Garbage under the name of a TFLite model ends in one sentence."""
    path = tmp_path / "noise.tflite"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    artifact = described(path, (1, 4), (1, 4), form=Format.TFLITE)
    evidence = benchmark(_request(tmp_path / "run", (artifact, path)))
    assert "cannot be loaded" in evidence.measurements[0].failure
    assert "\n" not in evidence.measurements[0].failure


def test_a_killed_agent_is_a_failure(tmp_path: Path, linear: Callable[..., object]) -> None:
    """An agent that the system kills is named with its signal; the run ends in evidence."""
    device = _device(tmp_path, f'[ "$2" = --probe ] && exec {_python()} "$@"\nkill -KILL $$')
    evidence = benchmark(_request(tmp_path / "run", linear()), device=device)
    assert "SIGKILL" in evidence.measurements[0].failure
    assert "memory" in evidence.measurements[0].failure


def test_exhausted_memory_is_a_failure(tmp_path: Path, linear: Callable[..., object], hungry: object) -> None:
    """A model that needs more memory than the device has is a failure in one sentence."""
    limited = f'[ "$2" = --probe ] && exec {_python()} "$@"\nulimit -v 4000000\nexec {_python()} "$@"'
    request = _request(tmp_path / "run", hungry, linear("small.onnx"))
    evidence = benchmark(request, device=_device(tmp_path, limited))
    assert "memory" in evidence.measurements[0].failure
    assert evidence.measurements[1].failure is None


def test_a_lost_result_is_a_failure(tmp_path: Path, linear: Callable[..., object]) -> None:
    """An agent that ends well and leaves no result is not taken at its word."""
    device = _device(tmp_path, f'[ "$2" = --probe ] && exec {_python()} "$@"\necho lost >&2')
    evidence = benchmark(_request(tmp_path / "run", linear()), device=device)
    assert evidence.measurements[0].failure == "the agent gave no result (exit status 0): lost"


def test_a_broken_result_is_a_failure(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A result that was cut off on its way is not read."""
    cut = (
        f'{_python()} "$@" || exit\ncase "$2" in *turns_0.job*) printf PK > "${{2%.job.json}}.result";; esac'
    )
    evidence = benchmark(_request(tmp_path / "run", linear()), device=_device(tmp_path, cut))
    assert "cannot be read" in evidence.measurements[0].failure


def test_answers_with_nan_are_a_failure(
    tmp_path: Path, linear: Callable[..., object], dataset: Callable[..., object]
) -> None:
    """A model that answers NaN has no accuracy, and says for how many samples."""
    data = dataset(np.ones((5, 4), np.float32), labels=np.zeros(5, np.int64))
    evidence = benchmark(_request(tmp_path, linear(weight=np.full((4, 3), np.nan)), data=data))
    assert evidence.measurements[0].failure == "answered 5 of 5 samples with NaN or Inf"


def test_data_of_another_shape_is_refused(
    tmp_path: Path, linear: Callable[..., object], dataset: Callable[..., object]
) -> None:
    """Samples of 5 numbers for a model of 4 are refused before anything runs."""
    data = dataset(np.ones((5, 5), np.float32), labels=np.zeros(5, np.int64))
    with pytest.raises(DataError, match=r"takes samples of \[4\] as x, the data gives \[5\]"):
        benchmark(_request(tmp_path, linear(), data=data))


def test_labels_beyond_the_classes_are_refused(
    tmp_path: Path, linear: Callable[..., object], dataset: Callable[..., object]
) -> None:
    """A label 4 for a model of four classes is refused."""
    data = dataset(np.ones((5, 4), np.float32), labels=np.arange(5))
    with pytest.raises(DataError, match="label 4 does not fit"):
        benchmark(_request(tmp_path, linear(), data=data))


def test_two_artifacts_of_one_name_are_refused(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Artifacts are known by their names, so two alike cannot stand in one run."""
    made = linear()
    with pytest.raises(InputError, match="two artifacts"):
        benchmark(_request(tmp_path, made, made))


def test_an_absent_core_is_refused(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Binding to a core that the machine lacks is the user's mistake, not the artifact's failure."""
    with pytest.raises(ConfigError, match="cannot be bound"):
        benchmark(_request(tmp_path, linear(), affinity="900"))


@pytest.mark.parametrize(("text", "cores"), [(None, ()), ("0", (0,)), ("0,2-3", (0, 2, 3)), ("1, 1", (1,))])
def test_cores_are_read(text: str | None, cores: tuple[int, ...]) -> None:
    """Lists and ranges of cores are read."""
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", ["", "a", "3-", "3-1", "-1"])
def test_nonsense_cores_are_refused(text: str) -> None:
    """What is not a list of cores is refused."""
    with pytest.raises(ConfigError):
        parse_cores(text)


def test_a_slow_model_ends_by_time(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A session stops at its time limit and says so."""
    large = linear(weight=np.ones((4000, 4000), np.float32))
    request = _request(tmp_path, large, sessions=1, calls=100_000, max_session_s=0.2)
    session = benchmark(request).measurements[0].sessions[0]
    assert session.ended_by == "time"
    assert 0 < session.calls < 100_000


def test_names_with_quotes_and_markup_survive(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A model called `"a" <script> ü.onnx` is measured like any other."""
    made = linear('"a" <script> ü.onnx')
    evidence: Evidence = benchmark(_request(tmp_path / "run", made, sessions=1))
    assert evidence.measurements[0].failure is None
    assert load_samples(tmp_path / "run", evidence.measurements[0]).latency_ns.size == 30


def test_a_format_without_a_runtime_is_a_failure(tmp_path: Path, linear: Callable[..., object]) -> None:
    """A TensorRT engine on the CPU fails with the reason; the run goes on."""
    artifact, path = linear()
    evidence = benchmark(_request(tmp_path, (replace(artifact, format=Format.TENSORRT), path)))
    assert "no runtime for tensorrt" in evidence.measurements[0].failure
    assert evidence.measurements[0].validity is Validity.VALID
