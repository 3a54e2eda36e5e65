"""What the host adds to an accuracy pass of 1,000 samples on a device, beside the device's own time.

The machine at the other end is this one, over ssh and over the tests' phone. The model is a stack of
products that takes more than 5 ms a sample. Counted is everything between the host's having the samples and
its having the logits: inputs are written, hashed and sent, the job is begun and waited for, its answers are
fetched. The device's own time is that of the agent, and of its interpreter's start. Goal: at most 5 % of it,
with the inputs of a keyword spotter (2 kB a sample), and with those of a small image model (27 kB), which
the device has not yet.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from bench import Goal, arguments, finish, machine, table
from device_links import linked_machines
from onnx import TensorProto, helper, numpy_helper

from edgebench.benchmark.agent_run import open_host
from edgebench.devices.device import Device
from edgebench.devices.registry import open_device
from edgebench.progress import silent

LIMIT = 0.05
SAMPLES, WIDTH, DEPTH = 1_000, 2_048, 7
SHAPES = {"keyword, 2 kB": 490, "image, 27 kB": 6_912}


@dataclass(frozen=True, slots=True)
class Pass:
    """One accuracy pass. whole_s: on the host's clock. device_s: the interpreter's start and the agent."""

    whole_s: float
    device_s: float

    @property
    def overhead(self) -> float:
        """Return what the host adds, as a share of the device's own time."""
        return (self.whole_s - self.device_s) / self.device_s


def save_model(path: Path, numbers: int) -> Path:
    """Write a chain of products to `path`: `numbers` in, 4 out, some milliseconds on one core."""
    rng = np.random.default_rng(0)
    sizes = [numbers, *([WIDTH] * DEPTH), 4]
    nodes, weights, last = [], [], "x"
    for index, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        values = (rng.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"y{index}"]))
        last = f"y{index}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count])
        for name, count in (("x", numbers), (last, 4))
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def one_pass(uri: str, folder: Path, numbers: int, count: int) -> Pass:
    """Return how long a pass over `count` samples took on a device that has the model already."""
    model = save_model(folder / "model.onnx", numbers)
    samples = np.random.default_rng(1).normal(size=(count, 1, numbers)).astype(np.float32)
    device = open_device(f"{uri}?python={sys.executable}&cache={folder}")
    with device.lease(silent):
        host = open_host(device, folder / "run")
        sent = host.send(model, "model.onnx")
        begin = _seconds(device, [*host.program.command, "--probe"]) - _seconds(device, ["true"])
        start = time.perf_counter()
        job = {
            "mode": "accuracy",
            "runtime": "onnxruntime",
            "model": sent,
            "inputs": [host.send_array(samples, "input_0.npy")],
            "input_names": ["x"],
            "threads": 1,
            "affinity": None,
        }
        result = host.run(job, "accuracy", timeout_s=3600)
        whole = time.perf_counter() - start
        device.clear(host.workspace)
    return Pass(whole, begin + float(result.meta["wall_s"]))


def _seconds(device: Device, argv: Sequence[str]) -> float:
    """Return the least of three times that a command takes."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        device.run(argv, timeout_s=60)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure over both links, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    count = 300 if options.quick else SAMPLES
    rows, goals, figures = [], [], {}
    with tempfile.TemporaryDirectory() as made, linked_machines(Path(made)) as found:
        for far in found:
            for name, numbers in SHAPES.items():
                folder = Path(made) / f"{far.kind}-{numbers}"
                folder.mkdir()
                took = one_pass(far.uri, folder, numbers, count)
                each = took.device_s / count * 1e3
                title = f"{far.kind}, {name}"
                rows.append(
                    [
                        title,
                        f"{took.device_s:.2f} s",
                        f"{each:.1f} ms",
                        f"{took.whole_s - took.device_s:.2f} s",
                        f"{took.overhead:.1%}",
                    ]
                )
                figures[title] = {"whole_s": took.whole_s, "device_s": took.device_s}
                goals.append(Goal(title, took.overhead, f"<= {LIMIT}", took.overhead <= LIMIT))
    print(f"{machine()}; {count} samples\n")
    print(table(["", "device's own", "a sample", "the host adds", "share"], rows), "\n")
    finish("host_overhead", figures, goals, options.json)


if __name__ == "__main__":
    main()
