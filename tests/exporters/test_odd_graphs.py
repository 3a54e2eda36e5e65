"""ONNX graphs of every kind become int8 files that run and answer as they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from odd_graphs import GRAPHS, Built, branches, loops, shared_weight, wide
from onnx import TensorProto, helper, numpy_helper
from onnx_builders import save

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.passes.constants import fit_constants
from edgebench.calibration.passes.order import in_order
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target, local_target
from edgebench.errors import ModelError
from edgebench.exporters import parity
from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.onnx_source import to_onnx
from edgebench.exporters.quantize_onnx import quantize
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.source import open_source

LEAST_DB = {Precision.W8A8: 32.0, Precision.W8A16: 37.0, Precision.W8A32: 35.0, Precision.FP16: 60.0}
"""What these small random networks reach at the least; wrong arithmetic shows 10 dB and less."""


class Made:
    """A graph taken through an export's steps, in this process."""

    def __init__(self, built: Built) -> None:
        self.path, self.samples = built
        self.folder = self.path.parent
        named = {f"in_{index}": array for index, array in enumerate(self.samples)}
        np.savez(self.folder / "samples.npz", **named)
        source = open_source(str(self.path))
        result = to_onnx(ConversionJob(source, self.folder / "base.onnx", self.folder / "samples.npz"))
        self.notes = result.notes
        with np.load(result.reference) as stored:
            self.reference = [stored[f"out_{index}"] for index in range(len(stored.files))]
        write_samples(self.folder / "store", len(self.samples[0]), [self.samples])

    def quantize(
        self, precision: Precision, *, rounded: bool = True, target: Target | None = None
    ) -> QuantizationResult:
        """Write q.onnx; return what was told. rounded: weights by the samples, which takes its time."""
        base, store = self.folder / "base.onnx", self.folder / "store"
        table = samples = None
        if precision.is_static:
            table = find_ranges(RangesJob(base, Format.ONNX, store, DEFAULT_METHOD)).table
            samples = store if rounded else None
        here = target or local_target()
        return quantize(
            QuantizationJob(base, self.folder / "q.onnx", precision, here, table, samples=samples)
        )

    def network(self) -> onnx.ModelProto:
        """Return what was written."""
        return onnx.load(self.folder / "q.onnx")

    def sqnr_db(self) -> float:
        """Return the worst output's ratio of signal to error of q.onnx in ONNX Runtime; inf without error."""
        given = parity.answers(self.folder / "q.onnx", Format.ONNX, self.samples)
        ratio = parity.compare("samples", self.reference, given).sqnr_db
        return float("inf") if ratio is None else ratio


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_any_kind_is_quantized(name: str, tmp_path: Path) -> None:
    """w8a8, w8a32 and fp16 of it run, keep its inputs and outputs, and answer near what it answers."""
    made = Made(GRAPHS[name](tmp_path / "m.onnx"))
    before = onnx.load(made.path)
    for precision, least in LEAST_DB.items():
        made.quantize(precision)
        network = made.network()
        assert [entry.name for entry in network.graph.input] == [entry.name for entry in before.graph.input]
        assert [entry.name for entry in network.graph.output] == [entry.name for entry in before.graph.output]
        assert made.sqnr_db() > least, precision
        if precision is Precision.W8A8:
            assert any(tensor.data_type == TensorProto.INT8 for tensor in network.graph.initializer)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_any_kind_is_made_for_tensorrt(name: str, tmp_path: Path) -> None:
    """All its pairs are symmetric int8, none before a bias, and it answers near the source."""
    made = Made(GRAPHS[name](tmp_path / "m.onnx"))
    told = made.quantize(Precision.W8A8, rounded=False, target=Target.TENSORRT)
    assert told.target is Target.TENSORRT
    network = made.network()
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    pairs = [n for n in network.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        assert values[node.input[2]].dtype == np.int8
        assert not values[node.input[2]].any()
    assert made.sqnr_db() > LEAST_DB[Precision.W8A8]


@pytest.mark.parametrize(("build", "held"), [(branches, "If choice"), (loops, "Loop rounds")])
def test_control_flow_stays_float_with_a_word_about_it(build: object, held: str, tmp_path: Path) -> None:
    """Branches and bodies keep their float weights, and a note names the node that holds them."""
    made = Made(build(tmp_path / "m.onnx"))  # type: ignore[operator]
    for precision in (Precision.W8A8, Precision.W8A32):
        result = made.quantize(precision)
        assert result.notes == (f"left in float, with all that is inside: {held}",)


@pytest.mark.parametrize(("name", "taken"), [("float16", "float16"), ("float64", "float64")])
def test_other_floats_are_taken_as_float32(name: str, taken: str, tmp_path: Path) -> None:
    """The fp32 file of a float16 or float64 model holds float32 alone, its inputs too, and a note says so."""
    made = Made(GRAPHS[name](tmp_path / "m.onnx"))
    assert made.notes == (f"m.onnx: {taken} is taken as float32",)
    network = onnx.load(tmp_path / "base.onnx")
    assert {t.data_type for t in network.graph.initializer} == {TensorProto.FLOAT}
    assert network.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_weights_that_no_integers_stand_for_are_told(tmp_path: Path) -> None:
    """An LSTM keeps its weights, and a note says what share of all they are."""
    made = Made(GRAPHS["recurrent"](tmp_path / "m.onnx"))
    assert made.quantize(Precision.W8A8).notes == ("95% of the weights stay float, those of LSTM",)


def test_a_graph_without_float32_is_one_line(tmp_path: Path) -> None:
    """Of whole numbers alone nothing can be watched, and the error says so."""
    kind = TensorProto.INT64
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": [1, 4]},
        {"y": [1, 4]},
        x=kind,
        y=kind,
    )
    made = Made((path, [np.arange(16).reshape(4, 4)]))
    with pytest.raises(ModelError, match="computes nothing in float32"):
        made.quantize(Precision.W8A8)


def test_small_ends_without_names_stay_float(tmp_path: Path) -> None:
    """First and last layer of a graph whose nodes have no names stay float, and only those."""
    made = Made(wide(tmp_path / "m.onnx"))
    result = made.quantize(Precision.W8A8)
    assert result.steps[-1] == "in float: Gemm_0_a, Gemm_4_y"
    integers = [t for t in made.network().graph.initializer if t.data_type == TensorProto.INT8]
    assert [list(tensor.dims) for tensor in integers if len(tensor.dims) > 1] == [[200, 200]]


def test_a_weight_read_twice_alike_is_kept_once(tmp_path: Path) -> None:
    """Two MatMuls of one weight share its integers."""
    made = Made(shared_weight(tmp_path / "m.onnx"))
    made.quantize(Precision.W8A8)
    integers = [t for t in made.network().graph.initializer if t.data_type == TensorProto.INT8]
    assert [list(t.dims) for t in integers if len(t.dims) > 1] == [[24, 24]]


@pytest.mark.parametrize(
    "name", ["gemms", "tied embedding", "shared weight, transposed and not", "bias of rows", "shared bias"]
)
def test_fitted_constants_compute_the_same(name: str, tmp_path: Path) -> None:
    """Copies, biases spread, multiplied by beta or added behind: the answers stay, up to rounding."""
    path, samples = GRAPHS[name](tmp_path / "m.onnx")
    before = parity.answers(path, Format.ONNX, samples)
    onnx.save(fit_constants(onnx.load(path)), path)
    for wanted, got in zip(before, parity.answers(path, Format.ONNX, samples), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_nodes_are_put_in_order_for_inner_graphs_too(tmp_path: Path) -> None:
    """A reversed graph is sorted so that an If stands behind what only its branches read."""
    path, samples = branches(tmp_path / "m.onnx")
    before = parity.answers(path, Format.ONNX, samples)
    network = onnx.load(path)
    network.graph.node.reverse()
    onnx.save(in_order(network), path)
    np.testing.assert_array_equal(parity.answers(path, Format.ONNX, samples)[0], before[0])


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        ("mnist/models/cntk_mnist.onnx", (1, 28, 28), 1),
        ("ultraface_dev/models/version-slim-320.onnx", (3, 240, 320), 2),
    ],
)
def test_real_old_files_are_quantized(
    name: str, shape: tuple[int, ...], outputs: int, assets: Path, tmp_path: Path
) -> None:
    """Opset 7 with Reshapes of weights, and a detector with 185 graph inputs of which one is real."""
    samples = [np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)]
    path = tmp_path / "m.onnx"
    path.write_bytes((assets / name).read_bytes())
    made = Made((path, samples))
    assert len(made.reference) == outputs
    made.quantize(Precision.W8A8, rounded=False)
    assert len(made.network().graph.input) == 1
    assert made.sqnr_db() > 20
