"""What a step's result depends on: a change of any of it is another key, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from models.small_onnx import save_classifier
from tiny_pipelines import write_data, write_torch_pipeline

from edgebench.pipeline_plan import identity, make_plan
from edgebench.step_content import model_sha256

UNSEEDED = """
import numpy as np
import torch

def build():
    net = torch.nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(torch.from_numpy(np.random.default_rng().normal(size=(2, 4))))
    return net
"""

SELF_LOADING = """
from pathlib import Path
import torch

def build():
    net = torch.nn.Linear(4, 2)
    net.load_state_dict(torch.load(Path(__file__).with_name("w.pt")))
    return net
"""


def pipeline_of(folder: Path, code: str) -> Path:
    """Write nets.py, whose `build` makes a model of four numbers, and a pipeline that exports it."""
    (folder / "nets.py").write_text(code)
    path = folder / "p.yaml"
    path.write_text(
        "schema_version: 1\nname: own\nmodel: {model: nets.py:build, input_shape: [[1, 4]]}\n"
        "export: {formats: [onnx], precisions: [fp32]}\n"
    )
    return path


def built(folder: Path, **files: str) -> str | None:
    """Write Python files (`a__b` is a/b.py) and return the hash of nets.py:build."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return model_sha256("nets.py:build", folder)


def test_a_model_is_known_by_its_neighbours_too(tmp_path: Path) -> None:
    """A change of a file that the factory's file may import, beside it or below, is another model."""
    first = built(tmp_path, nets="import blocks", blocks="a = 1", deep__layers="b = 1")
    assert built(tmp_path, blocks="a = 2") != first
    assert built(tmp_path, blocks="a = 1") == first
    assert built(tmp_path, deep__layers="b = 2") != first
    assert built(tmp_path, deep__layers="b = 1") == first
    (tmp_path / "notes.txt").write_text("no code")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert built(tmp_path, env__installed="c = 1") == first


def test_a_model_is_known_by_its_outermost_package(tmp_path: Path) -> None:
    """A change in a module of the package above the factory's is another model."""
    (tmp_path / "proj" / "models").mkdir(parents=True)
    for package in ("proj", "proj/models"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "proj" / "models" / "net.py").write_text("from proj.layers import a")
    (tmp_path / "proj" / "layers.py").write_text("a = 1")
    first = model_sha256("proj.models.net:build", tmp_path)
    assert first is not None
    (tmp_path / "proj" / "layers.py").write_text("a = 2")
    assert model_sha256("proj.models.net:build", tmp_path) != first


@pytest.mark.torch
def test_a_model_is_known_by_what_its_factory_reads(tmp_path: Path) -> None:
    """A factory that loads weights by itself gives another model, and another export, when they change."""
    import torch

    path = pipeline_of(tmp_path, SELF_LOADING)

    def exported(weight: float) -> tuple[str, str]:
        torch.save({"weight": torch.full((2, 4), weight), "bias": torch.zeros(2)}, tmp_path / "w.pt")
        plan = make_plan(path, ())
        return plan.models_sha256["nets.py:build"], identity(plan).sha256

    first, again, other = exported(1.0), exported(1.0), exported(2.0)
    assert again == first
    assert other[0] != first[0]
    assert other[1] != first[1]


@pytest.mark.torch
def test_a_factory_that_is_never_the_same_is_known_by_its_files(tmp_path: Path) -> None:
    """Numbers of a generator that nobody seeded do not make each run another one."""
    path = pipeline_of(tmp_path, UNSEEDED)
    first, second = (identity(make_plan(path, ())).sha256 for _ in range(2))
    assert first == second


def test_an_installed_model_is_known_by_its_package(tmp_path: Path) -> None:
    """A factory in an installed package has a hash; one that is not there has none."""
    found = model_sha256("json.decoder:JSONDecoder", tmp_path)
    assert found is not None
    assert found != model_sha256("csv:DictReader", tmp_path)
    assert model_sha256("no_such_package_here:build", tmp_path) is None


def test_a_model_is_known_by_the_weights_beside_it(tmp_path: Path) -> None:
    """An ONNX file that keeps its weights in another file is another model when that one changes."""
    save_classifier(tmp_path / "m.onnx")
    network = onnx.load(tmp_path / "m.onnx")
    onnx.save(network, tmp_path / "e.onnx", save_as_external_data=True, location="e.data", size_threshold=0)
    first = model_sha256("e.onnx", tmp_path)
    data = (tmp_path / "e.data").read_bytes()
    (tmp_path / "e.data").write_bytes(b"\0" + data[1:])
    assert model_sha256("e.onnx", tmp_path) != first
    (tmp_path / "e.data").write_bytes(data)
    assert model_sha256("e.onnx", tmp_path) == first
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "e.onnx").read_bytes()[:50])
    assert model_sha256("cut.onnx", tmp_path) is not None


def test_training_data_is_known_by_its_content(tmp_path: Path) -> None:
    """A function that reads a file gives other training data, and so another run, when the file changes."""
    path = write_torch_pipeline(tmp_path)
    (tmp_path / "data.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        "def train():\n    d = np.load(Path(__file__).parent / 't.npz')\n    return d['x'], d['y']\n"
    )
    overrides = ("data.train=data.py:train",)
    first = make_plan(path, overrides)
    assert identity(make_plan(path, overrides)) == identity(first)
    write_data(tmp_path / "t.npz", seed=3)
    second = make_plan(path, overrides)
    assert second.train_sha256 != first.train_sha256
    assert identity(second) != identity(first)
