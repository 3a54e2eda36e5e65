"""ONNX graphs made ready: layers that stay float keep weights that are not rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from models.mixed_models import save_case
from onnx import numpy_helper

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import Method
from edgebench.calibration.samples import write_samples
from edgebench.calibration.table import GraphTable
from edgebench.calibration.target import Target
from edgebench.exporters import parity
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.mixed_onnx import read_graph
from edgebench.exporters.onnx_adapted import adapted
from edgebench.exporters.onnx_prepared import prepared
from edgebench.exporters.quantize_onnx import quantize
from edgebench.exporters.quantizers import QuantizationJob
from tests.calibration.passes.transformer import TOKENS, WIDTH, transformer_layer


@pytest.fixture
def job(tmp_path: Path) -> QuantizationJob:
    """Return a job on a healthy classifier, whose channels differ in size, and 24 samples."""
    model, data = save_case(tmp_path, planted=False)
    network = onnx.load(model)
    for name, factor in (("w3", 100.0), ("w4", 0.01)):  # one channel between them is large: it is made alike
        stored = next(tensor for tensor in network.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(stored).copy()
        values[(slice(3, 4),) if name == "w3" else (slice(None), slice(3, 4))] *= factor
        stored.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(network, model)
    with np.load(data) as stored_data:
        images = stored_data["x"][:24]
    write_samples(tmp_path / "samples", 24, [[images]])
    table = GraphTable(Format.ONNX, "0" * 64, 512, {})
    return QuantizationJob(
        model,
        tmp_path / "out.onnx",
        Precision.W8A8,
        Target.X86_AVX2,
        table=table,
        samples=tmp_path / "samples",
    )


@pytest.fixture
def transformer(tmp_path: Path) -> QuantizationJob:
    """Return a job on a small transformer layer with its ranges and 16 samples."""
    network = transformer_layer()
    onnx.save(network, tmp_path / "layer.onnx")
    samples = np.random.default_rng(0).normal(size=(16, TOKENS, WIDTH)).astype(np.float32)
    write_samples(tmp_path / "samples", 16, [[samples]])
    ranges = RangesJob(tmp_path / "layer.onnx", Format.ONNX, tmp_path / "samples", Method.MSE)
    return QuantizationJob(
        ranges.base,
        tmp_path / "out.onnx",
        Precision.W8A8,
        Target.X86_AVX2,
        table=find_ranges(ranges).table,
        samples=ranges.samples,
    )


def answers(network: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Return what a graph answers."""
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"image": images})[0]
    return found


def test_all_layers_in_float_compute_what_the_source_does(job: QuantizationJob) -> None:
    """With every layer kept, nothing is rounded: equal up to float32, also where channels were made alike."""
    network = onnx.load(prepared(job.base))
    images = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    wanted = answers(network, images)
    rounded = answers(adapted(network, job).model, images)
    kept = answers(adapted(network, replace(job, floats=("c1", "c2", "c3", "c4", "logits"))).model, images)
    assert np.abs(rounded - wanted).max() > 1e-3
    assert np.abs(kept - wanted).max() < 1e-4


def test_what_is_kept_from_an_earlier_job_gives_the_same_graph(job: QuantizationJob, tmp_path: Path) -> None:
    """The second job with a folder to keep things in reads them, and gets the graph that it would make."""
    network = onnx.load(prepared(job.base))
    keeping = replace(job, keep=tmp_path / "kept")
    adapted(network, keeping)
    floats = ("c2",)
    made, read = (adapted(network, replace(which, floats=floats)) for which in (job, keeping))
    assert made.model.SerializeToString() == read.model.SerializeToString()
    assert (made.ranges, made.floats) == (read.ranges, read.floats)


def test_products_of_a_transformer_stay_float_as_asked(transformer: QuantizationJob) -> None:
    """All six in float answer as the source does; with one in int8 there is noise, with all of them most.

    Their channels were balanced with what stands before them, which float products have to go along with.
    """
    sample = np.random.default_rng(5).normal(size=(1, TOKENS, WIDTH)).astype(np.float32)
    wanted = parity.answers(transformer.base, Format.ONNX, [sample])[0]
    graph = read_graph(transformer)
    assert len(graph.layers) == 6

    def noise(layers: Sequence[str]) -> float:
        quantize(replace(transformer, floats=graph.floats(layers)))
        off = parity.answers(transformer.out, Format.ONNX, [sample])[0] - wanted
        return float(np.square(off).sum() / np.square(wanted).sum())

    none, five, six = (noise(graph.layers[:count]) for count in (0, 5, 6))
    assert six < 1e-9 < five < none
