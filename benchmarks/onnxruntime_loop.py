"""A bare ONNX Runtime loop, as anyone would write it: fidelity.py holds edgebench's figures against it.

python onnxruntime_loop.py MODEL THREADS WARMUP CALLS    prints the median of CALLS calls, milliseconds
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import onnxruntime


def main(model: str, threads: int, warmup: int, calls: int) -> float:
    """Return the median of `calls` calls on one random input, milliseconds, after `warmup` calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source = np.random.default_rng()
    binding = session.io_binding()
    for spec in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in spec.shape]
        binding.bind_cpu_input(spec.name, source.uniform(-1, 1, shape).astype(np.float32))
    for spec in session.get_outputs():
        binding.bind_output(spec.name)
    for _ in range(warmup):
        session.run_with_iobinding(binding)
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e6


if __name__ == "__main__":
    print(main(sys.argv[1], *(int(word) for word in sys.argv[2:5])))
