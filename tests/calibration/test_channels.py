"""Tensors watched by channel: where the channels lie, the statistics of each, and what they may take."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebench.calibration.attention_masks import Step
from edgebench.calibration.channels import (
    CHANNEL_BINS,
    ChannelHistograms,
    Channels,
    all_channels,
    channels_of,
)
from edgebench.calibration.histogram import Histograms
from edgebench.calibration.memory import (
    LEAST_BINS,
    MOST_CHANNELS,
    channel_bytes,
    channels_within,
    needed_bytes,
)
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import observe
from edgebench.calibration.watch import Watchable, Watched, open_onnx, open_tflite, watch
from edgebench.errors import DataError
from tests.calibration.tflite_networks import Network


def conv_net(path: Path, opset: int) -> Path:
    """Write Conv-Relu-Conv-GlobalAveragePool-Flatten-Gemm: images 3×20×20 in, five scores out."""
    source = np.random.default_rng(0)
    shapes = {"k": (8, 3, 3, 3), "m": (6, 8, 1, 1), "w": (6, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "m"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 20, 20])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])
    weights = [
        numpy_helper.from_array(source.normal(size=s).astype(np.float32), n) for n, s in shapes.items()
    ]
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def tflite_net(path: Path) -> Path:
    """Write two convolutions of images 20×20×3."""
    net = Network(1, 20, 20, 3)
    return net.save(path, net.conv(net.conv(net.x, 8, "c"), 6, "d", kernel=1))


def samples(count: int = 9, *, last: bool = False) -> list[list[np.ndarray]]:
    """Return random images whose second channel is twenty times the others."""
    x = np.random.default_rng(1).normal(size=(count, 3, 20, 20)).astype(np.float32)
    x[:, 1] *= 20
    return [[np.moveaxis(image[None], 1, -1) if last else image[None]] for image in x]


def watched_onnx(path: Path, given: list[list[np.ndarray]], folds: int = 1) -> Watched:
    """Return what the file's tensors are, by channel too."""
    return watch(open_onnx(path, given[0], exact=False, choose=dict), given, folds=folds)


def truth(path: Path, given: list[list[np.ndarray]], name: str) -> np.ndarray:
    """Return a tensor over all samples as ONNX Runtime gives it."""
    import onnxruntime as ort

    network = onnx.load(path)
    if name == "x":
        return np.concatenate([sample[0] for sample in given])
    network.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([name], {"x": sample[0]})[0] for sample in given])


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_extremes_are_those_of_each_channel(tmp_path: Path, opset: int) -> None:
    """Of images and of vectors, before and after opset 18: the lowest and highest value, exact."""
    path, given = conv_net(tmp_path / "m.onnx", opset), samples()
    by_channel = watched_onnx(path, given).by_channel
    assert by_channel is not None
    assert {name: own.axis for name, own in by_channel.tensors.items()} == {
        **dict.fromkeys(("x", "r", "d", "p"), 1),
        **dict.fromkeys(("f", "y"), 1),
    }
    for name in ("x", "r", "d", "y"):
        values = truth(path, given, name)
        axes = tuple(axis for axis in range(values.ndim) if axis != 1)
        seen = list(by_channel.distributions(name))
        np.testing.assert_allclose([v.lowest for v in seen], values.min(axis=axes), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose([v.highest for v in seen], values.max(axis=axes), rtol=1e-5, atol=1e-6)


def test_values_are_counted_with_their_own_channel(tmp_path: Path) -> None:
    """The counts of the input's channels are those of numpy over the values that are picked of each."""
    path, given = conv_net(tmp_path / "m.onnx", 17), samples()
    by_channel = watched_onnx(path, given).by_channel
    assert by_channel is not None
    step = by_channel.tensors["x"].step
    for channel, found in enumerate(by_channel.distributions("x")):
        picked = np.concatenate([sample[0][0, channel].reshape(-1)[::step] for sample in given])
        wanted, _ = np.histogram(picked.astype(np.float64), found.edges)
        np.testing.assert_array_equal(found.counts, wanted)


def test_a_tflite_graph_gives_the_last_axis(tmp_path: Path) -> None:
    """The same images, channels last: the input's channels are counted alike, the layers' extremes exact."""
    from edgebench.calibration.tflite_tap import invoke, keeping_tensors

    path, given = tflite_net(tmp_path / "m.tflite"), samples(last=True)
    tap = open_tflite(path, exact=False, choose=dict)
    by_channel = watch(tap, given).by_channel
    assert by_channel is not None
    assert {name: (own.axis, own.count) for name, own in by_channel.tensors.items()} == {
        "x": (3, 3),
        "c": (3, 8),
        "d": (3, 6),
    }
    interpreter = keeping_tensors(path)
    details = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    values = []
    for sample in given:
        invoke(interpreter, sample)
        values.append(interpreter.get_tensor(details["d"]))
    highest = [v.highest for v in by_channel.distributions("d")]
    np.testing.assert_array_equal(highest, np.concatenate(values).max(axis=(0, 1, 2)))
    onnx_path = conv_net(tmp_path / "m.onnx", 17)
    other = watched_onnx(onnx_path, samples()).by_channel
    assert other is not None
    for first, second in zip(by_channel.distributions("x"), other.distributions("x"), strict=True):
        np.testing.assert_array_equal(first.counts, second.counts)


def test_tensors_are_what_they_are_without_channels(tmp_path: Path) -> None:
    """Watching by channel changes no bit of the tensors' own statistics."""
    path, given = conv_net(tmp_path / "m.onnx", 17), samples()
    plain = watch(open_onnx(path, given[0], exact=False), given).distributions()
    for name, found in watched_onnx(path, given).distributions().items():
        np.testing.assert_array_equal(found.counts, plain[name].counts)
        assert (found.lowest, found.highest) == (plain[name].lowest, plain[name].highest)


def test_channels_do_not_depend_on_order(tmp_path: Path) -> None:
    """Samples the other way round give the same counts and extremes of every channel, bit for bit."""
    path, given = conv_net(tmp_path / "m.onnx", 17), samples()
    forward, backward = watched_onnx(path, given).by_channel, watched_onnx(path, given[::-1]).by_channel
    assert forward is not None
    assert backward is not None
    for name in forward.tensors:
        pairs = zip(forward.distributions(name), backward.distributions(name), strict=True)
        for first, second in pairs:
            np.testing.assert_array_equal(first.counts, second.counts)
            assert (first.lowest, first.highest) == (second.lowest, second.highest)


@pytest.mark.parametrize("method", list(Method))
def test_a_channel_is_observed_as_a_tensor_is(method: Method) -> None:
    """Each method finds for a channel the range that it finds for a tensor of that channel's values."""
    source = np.random.default_rng(0)
    given = [source.normal(size=(3, 50)).astype(np.float32) * [[1], [9], [0.1]] for _ in range(12)]
    together = ChannelHistograms({"t": Channels(0, 3, 50, first=True)}, bins=CHANNEL_BINS)
    for value in given:
        packed = np.concatenate([value.reshape(-1), value.min(axis=1), value.max(axis=1)])
        assert together.add(packed.astype(np.float32)) is None
    for channel, found in enumerate(together.distributions("t")):
        alone = Histograms([50], bins=CHANNEL_BINS)
        for value in given:
            alone.add(value[channel].astype(np.float32))
        assert observe(found, method) == observe(alone.distribution(0), method)


def test_a_channel_that_one_quarter_widens_is_unsteady() -> None:
    """Of three channels the one with a single large sample has the spread; too few samples have none."""
    by_channel = ChannelHistograms({"t": Channels(0, 3, 1, first=True)}, bins=64, folds=4)
    for index in range(8):
        assert (by_channel.spreads("t") is None) == (index < 8)
        value = np.array([1 + index % 2, -1 - index % 2, 100 if index == 5 else 1], np.float32)
        by_channel.add(np.tile(value, 3))
    spreads = by_channel.spreads("t")
    assert spreads is not None
    assert spreads[2] == 1.0
    assert spreads.argmax() == 2


def test_nan_in_a_channel_names_its_tensor() -> None:
    """Where only the values that channels look at are NaN, tensor and sample are named all the same."""
    graph = Watchable(
        ("t", "u"),
        (1, 1),
        2,
        lambda sample: sample[0],
        channels={"t": Channels(0, 2, 1, first=True), "u": Channels(0, 2, 1, first=True)},
    )
    good = np.ones(14, np.float32)
    bad = good.copy()
    bad[5] = np.nan
    with pytest.raises(DataError, match="tensor u is NaN or infinite on calibration sample 1"):
        watch(graph, [[good], [bad]])


def test_layers_tell_the_axis() -> None:
    """Images have theirs second, products last, sums pass it on; reshaped scores of attention have none."""
    steps = [
        Step("Add", ["x", "one"], ["a"]),
        Step("Conv", ["a", "k"], ["c"]),
        Step("Sigmoid", ["c"], ["s"]),
        Step("Transpose", ["s"], ["t"]),
        Step("MatMul", ["t", "w"], ["m"]),
        Step("MatMul", ["m", "m"], ["scores"]),
    ]
    image, rows = (1, 4, 5, 5), (1, 5, 5, 4)
    shapes = {"x": image, "a": image, "c": image, "s": image, "t": rows, "m": rows, "scores": (1, 5, 5, 5)}
    found = all_channels(steps, shapes, ["one", "k", "w"])
    assert {name: own.axis for name, own in found.items()} == {
        **dict.fromkeys(("x", "a", "c", "s"), 1),
        **dict.fromkeys(("t", "m"), 3),
    }


@pytest.mark.parametrize(("shape", "axis"), [((1, 1, 8, 8), 1), ((5,), 1), ((2, 3, 4, 4), 1), ((), -1)])
def test_what_has_no_channels(shape: tuple[int, ...], axis: int) -> None:
    """One channel, no such axis, axes on both sides: the tensor stays whole."""
    assert channels_of(shape, axis) is None


def test_every_channel_is_met() -> None:
    """However many channels: sixteen values of each at least, all where there are fewer."""
    assert channels_of((1, 1280, 7, 7), 1) == Channels(1, 1280, 49, first=True)
    assert Channels(1, 1280, 49, first=True).taken >= 9
    assert Channels(3, 3, 150 * 150, first=False).taken <= 2048 // 3
    assert Channels(1, 1280, 1, first=True).taken == 1


def test_what_does_not_fit_stays_whole() -> None:
    """Fewer bins first; then tensors of the most channels are left out; what is kept is within the bound."""
    found = {"few": Channels(1, 8, 100, first=True), "many": Channels(1, 512, 100, first=True)}
    vocabulary = {"huge": Channels(1, MOST_CHANNELS + 1, 1, first=True)}
    assert channels_within(None, {**found, **vocabulary}) == (found, CHANNEL_BINS)
    assert channels_within(channel_bytes(found, LEAST_BINS), found) == (found, LEAST_BINS)
    room = channel_bytes(found, LEAST_BINS) - 1
    kept, bins = channels_within(room, found)
    assert (list(kept), bins) == (["few"], LEAST_BINS)
    assert channel_bytes(kept, bins) <= room
    assert channels_within(10, found)[0] == {}


def test_what_is_allocated_stays_within_what_is_said_for_channels() -> None:
    """Watching forty tensors of 256 channels takes no more than was computed before."""
    channels = {f"t{i}": Channels(1, 256, 49, first=True) for i in range(40)}
    names, each = tuple(channels), next(iter(channels.values()))
    length = 40 * 2048 + 40 * 256 * (each.taken + 2)
    values = np.random.default_rng(0).normal(size=length).astype(np.float32)
    graph = Watchable(names, (2048,) * 40, length, lambda _: values.copy(), channels=channels)
    tracemalloc.start()
    try:
        watched = watch(graph, [[]] * 12, folds=4)
        for values_of in (watched.by_channel.distributions(name) for name in names[:3] if watched.by_channel):
            for found in values_of:
                observe(found, Method.MIN_MAX)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = needed_bytes(graph, 4096, 4) + channel_bytes(channels, CHANNEL_BINS)
    assert 0.6 * said < peak < said


def test_counts_are_the_same_however_they_are_taken() -> None:
    """Few values among many bins are counted one by one, many at once: the counts are numpy's either way."""
    for rows, each in ((40, 5), (2, 5000)):
        values = np.random.default_rng(rows).normal(size=rows * each).astype(np.float32)
        histograms = Histograms([each] * rows, bins=1024)
        histograms.add(values)
        for row, found in enumerate(histograms.distributions()):
            own = values[row * each : (row + 1) * each].astype(np.float64)
            np.testing.assert_array_equal(found.counts, np.histogram(own, found.edges)[0])
