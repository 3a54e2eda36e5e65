"""What the processor that runs this, real or emulated, makes of 8-bit files: a process of saturation.py.

usage: saturation_probe.py IMAGES.npy OUT.npz FILE...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

_DEPTH = 64


def products_saturate() -> bool:
    """Return whether uint8 255 times int8 127, summed in pairs, overflows in ONNX Runtime's kernels.

    VPMADDUBSW adds two products in 16 signed bits: 2·255·127 = 64,770 becomes 32,767.
    """
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, _DEPTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4, 16])],
        [numpy_helper.from_array(np.full((_DEPTH, 16), 127, np.int8), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"x": np.full((4, _DEPTH), 255, np.uint8)})
    return bool((sums != _DEPTH * 255 * 127).any())


def main(images: str, out: str, *files: str) -> None:
    """Write the scores of all files, float32 [N, classes], and whether products saturate."""
    from int8_figures import answers

    feeds = [[image[None]] for image in np.load(images)]
    scores = {Path(file).name: answers(Path(file), feeds).astype(np.float32) for file in files}
    np.savez(out, saturates=np.array(products_saturate()), **scores)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
