"""The native runner for ARM64 under qemu, started through the loader of its cross compiler.

The wheels of the runtimes are fetched, so these need a network. qemu 7.2's processor `max` computes XNNPACK's
int8 kernels wrongly; a Cortex-A76, which has dot products but no int8 matrices, is what it does well.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgebench.benchmark.agent_run import decode_result
from edgebench.benchmark.native.build import Target
from edgebench.benchmark.native.bundle import Bundle, fetch_bundle, open_bundle
from edgebench.errors import EdgebenchError
from edgebench.progress import silent

pytestmark = [pytest.mark.assets, pytest.mark.acceptance]

TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64-static", "unshare")
PROCESSOR = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd0b
CPU revision\t: 0
"""


@dataclass(frozen=True)
class Machine:
    """A machine that runs jobs. start: what stands before the runner's own path. bundle: what it runs."""

    start: tuple[str, ...]
    runner: Path
    bundle: Bundle
    folder: Path

    def answers(self, runtime: str, model: Path, rows: np.ndarray) -> np.ndarray:
        """Return the first output for every row."""
        library, job = self.bundle.library(runtime), self.folder / "job.json"
        np.save(self.folder / "in.npy", rows)
        content = {
            "schema": 1,
            "mode": "accuracy",
            "runtime": runtime,
            "model": str(model),
            "threads": 1,
            "library": str(library.path),
            "library_version": library.version,
            "affinity": None,
            "inputs": [str(self.folder / "in.npy")],
            "result": str(self.folder / "result.npz"),
        }
        job.write_text(json.dumps(content))
        command = [*self.start, str(self.runner), str(job)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        return decode_result((self.folder / "result.npz").read_bytes()).arrays["output_0"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Set a cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("QEMU_CPU", "cortex-a76")
        yield


@pytest.fixture(scope="module")
def arm64(cache: object, tmp_path_factory: pytest.TempPathFactory) -> Machine:  # noqa: ARG001
    """Return an emulated ARM64 machine; its /proc/cpuinfo is one, which LiteRT reads."""
    if any(shutil.which(tool) is None for tool in TOOLS):
        pytest.skip(
            "apt-get install gcc-aarch64-linux-gnu libstdc++6-arm64-cross qemu-user-static enables this"
        )
    folder = tmp_path_factory.mktemp("arm64")
    try:
        bundle = fetch_bundle(Target("aarch64"), wheels=None, progress=silent)
    except EdgebenchError as err:
        pytest.skip(f"without a network here this test has no wheels: {err.message}")
    loader, *others = bundle.c_library()
    for path in (loader, *others):
        shutil.copy(path, folder / path.name)
    (folder / "cpuinfo").write_text(PROCESSOR)
    script = f'mount --bind "{folder}/cpuinfo" /proc/cpuinfo && exec qemu-aarch64-static "$@"'
    start = ("unshare", "-Urm", "sh", "-c", script, "sh")
    through = (str(folder / loader.name), "--library-path", str(folder))
    return Machine((*start, *through), bundle.runner, bundle, folder)


@pytest.fixture(scope="module")
def here(cache: object, tmp_path_factory: pytest.TempPathFactory) -> Machine:  # noqa: ARG001
    """Return this machine."""
    bundle = open_bundle(Target("x86_64"))
    return Machine((), bundle.runner, bundle, tmp_path_factory.mktemp("here"))


def test_int8_keywords_are_the_same(arm64: Machine, here: Machine, assets: Path) -> None:
    """LiteRT: MLPerf Tiny's int8 keyword model gives on ARM64 the decisions of x86, over 300 samples."""
    model = assets / "mlperf_tiny_kws" / "models" / "kws_ref_model.tflite"
    with np.load(assets / "mlperf_tiny_kws" / "data" / "kws01.npz") as stored:
        rows, labels = stored["x"][:300].reshape(300, 1, 49, 10, 1), stored["y"][:300]
    far, near = (machine.answers("litert", model, rows).reshape(300, -1) for machine in (arm64, here))
    assert (near.argmax(1) == labels).mean() > 0.85
    np.testing.assert_array_equal(far.argmax(1), near.argmax(1))


def test_int8_digits_are_the_same(arm64: Machine, here: Machine, assets: Path, tmp_path: Path) -> None:
    """ONNX Runtime: a digit network in int8 gives on ARM64 the decisions of x86, over 300 images of MNIST."""
    from edgebench import api

    raw = gzip.decompress((assets / "mnist" / "data" / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw[16:], np.uint8).reshape(-1, 1, 28, 28).astype(np.float32)
    np.savez(tmp_path / "calibration.npz", x=images[-100:])
    source = assets / "mnist" / "models" / "cntk_mnist.onnx"
    calibration, out = str(tmp_path / "calibration.npz"), tmp_path / "out"
    api.export(str(source), formats="onnx", int8=True, target="arm64", calib_data=calibration, out=out)
    (model,) = out.glob("*w8a8*.onnx")
    rows = images[:300, None]
    far, near = (machine.answers("onnxruntime", model, rows).reshape(300, -1) for machine in (arm64, here))
    assert len(np.unique(near.argmax(1))) == 10
    np.testing.assert_array_equal(far.argmax(1), near.argmax(1))
