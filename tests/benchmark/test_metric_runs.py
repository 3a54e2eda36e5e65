"""Metrics beside top-1 from the command line to the verdict, on a regression's real data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from processes import edgebench, fails

from edgebench import api
from edgebench.benchmark.evidence import Validity
from edgebench.benchmark.evidence_files import load_answers, read_evidence
from edgebench.benchmark.metric_choice import choose_metric
from edgebench.datasets import Labels, load_dataset
from edgebench.errors import ConfigError, DataError, InputError
from edgebench.pipeline_file import load_pipeline
from edgebench.pipeline_plan import metric_of
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.report import read_run
from edgebench.reports.verdict import Answer

METRICS_PY = """
import numpy as np
def within(outputs, labels):
    return float((np.abs(outputs - labels) < 60).mean())
def absent(outputs, labels):
    return float("nan")
def broken(outputs, labels):
    return 1 / 0
def text(outputs, labels):
    return "much"
"""
SHORT = ("--sessions", "1", "--calls", "5")


@pytest.fixture
def diabetes(tmp_path: Path, linear: Callable[..., tuple[object, Path]]) -> Path:
    """Return a folder with 442 patients, a least-squares model of them, and one of coarser weights."""
    datasets = pytest.importorskip("sklearn.datasets", reason="pip install scikit-learn")
    x, y = datasets.load_diabetes(return_X_y=True)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float32)
    weight: NDArray[np.float64] = np.linalg.lstsq(x, y, rcond=None)[0][:, None]
    linear("fit.fp32.onnx", weight=weight)
    linear("fit.coarse.onnx", weight=np.append(np.round(weight[:-1] / 300) * 300, weight[-1:], axis=0))
    sex = np.where(x[:, 1] > 0, "one", "other")
    np.savez(tmp_path / "models" / "d.npz", x=x, y=y, sex=sex)
    (tmp_path / "models" / "m.py").write_text(METRICS_PY)
    return tmp_path / "models"


def judged(folder: Path, *words: str) -> tuple[Answer, ...]:
    """Return the gates' answers on the candidate; what else kept this machine busy does not count."""
    evidence, samples, answers = read_run(folder)
    quiet = [
        replace(m, validity=Validity.VALID, validity_reasons=(), disturbances=())
        for m in evidence.measurements
    ]
    gates = [parse_gate(one) for one in words]
    verdict = judge(replace(evidence, measurements=tuple(quiet)), gates, samples, answers)
    found = next(one for one in verdict.artifacts if one.artifact == "fit.coarse.onnx")
    return tuple(gate.answer for gate in found.gates)


def test_an_rmse_is_measured_and_judged(diabetes: Path) -> None:
    """Real patients: RMSE of the least-squares fit, and what coarser weights lose, pass and fail."""
    argv = ("benchmark", "fit.fp32.onnx", "fit.coarse.onnx", "--data", "d.npz", "--metric", "rmse", *SHORT)
    (diabetes / "gates.yaml").write_text("- rmse <= 70\n- metric drop <= 10%rel\n- rmse[sex=one] <= 90\n")
    done = edgebench(*argv, "--baseline", "fit.fp32.onnx", "--gates", "gates.yaml", "-o", "run", cwd=diabetes)
    assert done.returncode == 0, done.stderr
    gates = ("rmse <= 70", "metric drop <= 10%rel", "rmse[sex=one] <= 90")
    assert judged(diabetes / "run", *gates) == (Answer.PASS,) * 3
    found = judged(diabetes / "run", "metric drop <= 1%rel", "top1 >= 1%")
    assert found == (Answer.FAIL, Answer.INCONCLUSIVE)
    rows = {(r.artifact, r.quantity): r for r in api.read_results(diabetes / "run").rows}
    row = rows["fit.fp32.onnx", "metric"]
    assert row.value == pytest.approx(53.48, abs=0.01)
    assert row.lower is not None
    assert row.upper is not None
    assert row.lower < row.value < row.upper
    page = (diabetes / "run" / "report.html").read_text()
    assert "rmse, less is better" in page


def test_a_metric_of_the_users_own_is_evidence(diabetes: Path) -> None:
    """The evidence has the function's name and hash and what was drawn of it: judging needs no code."""
    argv = ("benchmark", "fit.fp32.onnx", "fit.coarse.onnx", "--data", "d.npz", *SHORT, "-o", "own")
    done = edgebench(*argv, "--metric", "m.py:within", "--baseline", "fit.fp32.onnx", cwd=diabetes)
    assert done.returncode == 0, done.stderr
    (diabetes / "m.py").unlink()
    assert judged(diabetes / "own", "metric >= 0.6", "metric drop <= 0.2") == (Answer.PASS,) * 2
    evidence = read_evidence(diabetes / "own")
    record = evidence.measurements[0].accuracy
    assert record is not None
    assert record.metric is not None
    assert (record.metric.name, len(record.metric.sha256), record.classes) == ("m.py:within", 64, 0)
    kept = load_answers(diabetes / "own", evidence.measurements[0])
    assert kept is not None
    assert kept.draws is not None
    assert kept.draws.value == pytest.approx(float((np.abs(kept.logits - kept.truth) < 60).mean()))
    assert len(kept.draws.resampled) == 1000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "the metric m.py:absent gives nan on all samples"),
        ("broken", "the metric m.py:broken failed: ZeroDivisionError"),
        ("text", "the metric m.py:text failed: ValueError"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_a_users_metric_that_fails_is_one_line(diabetes: Path, name: str, words: str) -> None:
    """NaN, an exception, what is no number, a name that is not there: exit 2, and no traceback."""
    argv = ("benchmark", "fit.fp32.onnx", "--data", "d.npz", "--metric", f"m.py:{name}", *SHORT)
    fails(diabetes, *argv, words=words)


@pytest.mark.parametrize(
    ("name", "better", "words"),
    [
        ("rsme", None, "'rsme' is no metric"),
        ("rmse", "more", "of rmse less is better"),
        (None, "more", "goes with --metric"),
        ("f1", "most", "'most' is not known"),
    ],
)
def test_a_metric_that_is_not_one_is_refused(name: str | None, better: str | None, words: str) -> None:
    """A misspelt name, a direction that is not the metric's, a direction without a metric."""
    with pytest.raises(ConfigError, match=words):
        choose_metric(name, better)


def test_a_pipeline_names_its_metric(tmp_path: Path) -> None:
    """`benchmark.metric` is found from the pipeline's folder, and a mistake names the key."""
    (tmp_path / "m.py").write_text(METRICS_PY)
    path = tmp_path / "pipeline.yaml"
    text = (
        "schema_version: 1\nname: net\nmodel: {model: m.onnx}\nbenchmark: {metric: %s, metric_better: %s}\n"
    )
    path.write_text(text % ("m.py:within", "less"))
    found = metric_of(load_pipeline(path), tmp_path)
    assert found is not None
    assert (found.name, found.more_is_better, len(found.sha256)) == ("m.py:within", False, 64)
    path.write_text(text % ("rsme", "less"))
    with pytest.raises(ConfigError, match=r"`benchmark\.metric` 'rsme' is no metric"):
        metric_of(load_pipeline(path), tmp_path)
    path.write_text(text % ("f1", "less"))
    with pytest.raises(ConfigError, match=r"`benchmark\.metric_better` less: of f1 more is better"):
        metric_of(load_pipeline(path), tmp_path)


def test_the_hash_is_of_the_functions_source(tmp_path: Path) -> None:
    """Another body is another hash, another function beside it is not; a file that is not there."""
    hashes = []
    for index, text in enumerate(("return 1.0", "return 2.0", "return 1.0\ndef other(): pass")):
        (tmp_path / f"m{index}.py").write_text(f"def score(outputs, labels):\n    {text}\n")
        found = choose_metric(f"m{index}.py:score", "less", base=tmp_path)
        assert found is not None
        assert not found.more_is_better
        hashes.append(found.sha256)
    assert hashes[0] == hashes[2] != hashes[1]
    with pytest.raises(InputError, match="no such file"):
        choose_metric("gone.py:score", base=tmp_path)


def test_numbers_and_columns_are_read(tmp_path: Path) -> None:
    """`targets` are numbers; text for each sample is a column; the fingerprint knows the numbers."""
    x = np.zeros((3, 2), np.float32)
    np.savez(tmp_path / "a.npz", x=x, targets=[0.5, 1.5, 2.5], place=["in", "out", "in"], note=["one text"])
    data = load_dataset("a.npz", base=tmp_path)
    assert data.labels is None
    assert data.targets is not None
    assert data.targets.tolist() == [[0.5], [1.5], [2.5]]
    assert {name: column.tolist() for name, column in data.columns.items()} == {"place": ["in", "out", "in"]}
    np.savez(tmp_path / "b.npz", x=x, targets=[0.5, 1.5, 3.5])
    assert load_dataset("b.npz", base=tmp_path).fingerprint != data.fingerprint
    np.savez(tmp_path / "y.npz", x=x, y=[1.0, 2.0, 0.0])
    read = {kind: load_dataset("y.npz", base=tmp_path, labels=kind).targets is not None for kind in Labels}
    assert read == {Labels.NAMED: False, Labels.TYPED: True, Labels.NUMBERS: True}
    np.savez(tmp_path / "c.npz", x=x, targets=[0.5, np.nan, 3.5])
    with pytest.raises(DataError, match="not all finite"):
        load_dataset("c.npz", base=tmp_path)


def test_a_metric_and_data_that_do_not_fit_are_refused(diabetes: Path) -> None:
    """A metric without labels, or of classes where the labels are numbers, before anything is measured."""
    np.savez(diabetes / "n.npz", x=np.zeros((4, 11), np.float32), targets=np.arange(4.0))
    fails(diabetes, "benchmark", "fit.fp32.onnx", "--metric", "rmse", words="needs labelled data")
    argv = ("benchmark", "fit.fp32.onnx", "--data", "n.npz", "--metric", "f1")
    fails(diabetes, *argv, words="is of classes")
