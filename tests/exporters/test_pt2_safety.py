"""A .pt2 archive is data: nothing in it is unpickled, evaluated or looked up freely."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgebench.errors import ModelError
from edgebench.exporters.pt2_safety import check_pt2

torch = pytest.importorskip("torch", reason="needs pip install 'edgebench[torch]'")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive with an open batch, as PyTorch saves it."""
    path = tmp_path_factory.mktemp("pt2") / "good.pt2"
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    batch = torch.export.Dim("batch")
    torch.export.save(
        torch.export.export(module, (torch.zeros(2, 4),), dynamic_shapes={"input": {0: batch}}), path
    )
    return path


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **more: bytes) -> Path:
    """Copy an archive, each member changed or left out, and with more members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        top = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            content = change(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in more.items():
            new.writestr(f"{top}/{name}", content)
    return target


class Attack:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_what_pytorch_saves_passes(program: Path) -> None:
    """An archive as torch.export.save writes it is accepted, and loads."""
    check_pt2(program)
    assert torch.export.load(program).module()(torch.ones(5, 4)).shape == (5, 3)


def test_a_pickle_in_the_sample_inputs_is_not_executed(program: Path, tmp_path: Path) -> None:
    """PyTorch falls back to full unpickling there; here the archive is refused before."""
    ran = tmp_path / "ran"
    buffer = io.BytesIO()
    torch.save((Attack(ran),), buffer)

    def change(name: str, content: bytes) -> bytes:
        return buffer.getvalue() if name.startswith("data/sample_inputs") else content

    with pytest.raises(ModelError, match="sample inputs"):
        check_pt2(rewrite(program, tmp_path / "m.pt2", change))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("data/weights/model.pt", "pickled"),
        ("data/constants/model.pt", "pickled"),
        ("data/constants/custom_obj_0", "pickled"),
        ("data/constants/opaque_obj_0", "pickled"),
        ("data/aotinductor/model/x.so", "compiled code"),
    ],
)
def test_members_that_would_run_are_refused(program: Path, tmp_path: Path, member: str, words: str) -> None:
    """Old weights, custom objects and compiled code are named and not loaded."""
    payload = pickle.dumps(Attack(tmp_path / "ran"))
    with pytest.raises(ModelError, match=words):
        check_pt2(rewrite(program, tmp_path / "m.pt2", lambda _, content: content, **{member: payload}))
    assert not (tmp_path / "ran").exists()


def edited(program: Path, target: Path, part: str, edit: Callable[[Any], None]) -> Path:
    """Copy an archive with the JSON of one part edited."""

    def change(name: str, content: bytes) -> bytes:
        if not name.startswith(part) or not name.endswith(".json"):
            return content
        data = json.loads(content)
        edit(data)
        return json.dumps(data).encode()

    return rewrite(program, target, change)


def test_a_pickled_tensor_is_refused(program: Path, tmp_path: Path) -> None:
    """A weight that is marked as pickled is not loaded."""

    def edit(data: Any) -> None:
        next(iter(data["config"].values()))["use_pickle"] = True

    with pytest.raises(ModelError, match="is pickled"):
        check_pt2(edited(program, tmp_path / "m.pt2", "data/weights", edit))


@pytest.mark.parametrize("harmless_last", [True, False])
def test_of_two_members_of_one_name_none_is_read(
    program: Path, tmp_path: Path, *, harmless_last: bool
) -> None:
    """Readers differ in which of them they take: a harmless one must not stand for one that is pickled."""
    with zipfile.ZipFile(program) as old:
        members = {name: old.read(name) for name in old.namelist()}
    config = next(name for name in members if name.endswith("model_weights_config.json"))
    entries = json.loads(members[config])
    for entry in entries["config"].values():
        entry["use_pickle"] = True
    pickled, harmless = json.dumps(entries).encode(), members.pop(config)
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as new:
        for name, content in members.items():
            weight = "/data/weights/weight" in name
            new.writestr(name, pickle.dumps(Attack(tmp_path / "ran")) if weight else content)
        for content in (pickled, harmless) if harmless_last else (harmless, pickled):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile's, of the second one
                new.writestr(config, content)
    with pytest.raises(ModelError, match=r"model_weights_config\.json is there more than once"):
        check_pt2(tmp_path / "m.pt2")
    assert not (tmp_path / "ran").exists()


def test_members_of_the_older_format_are_refused(program: Path, tmp_path: Path) -> None:
    """What PyTorch reads where the archive of today fails: a pickle outside the archive's folder."""
    path = rewrite(program, tmp_path / "m.pt2", lambda _, content: content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("version", "8.14")
        archive.writestr("serialized_state_dict.pt", pickle.dumps(Attack(tmp_path / "ran")))
    with pytest.raises(ModelError, match="version lies outside the archive's folder"):
        check_pt2(path)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.os.system",
        "torch.ops.load_library",
        "torch.hub.load",
        "_operator.methodcaller",
        "os.system",
    ],
)
def test_only_operators_are_called(program: Path, tmp_path: Path, target: str) -> None:
    """A node whose target is another function of Python is refused by name."""

    def edit(data: Any) -> None:
        data["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(ModelError, match="not a PyTorch operator"):
        check_pt2(edited(program, tmp_path / "m.pt2", "models/", edit))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('x')",
        "Symbol('a').__class__",
        "(lambda: 1)()",
        "[1 for i in s0]",
    ],
)
def test_shapes_are_only_arithmetic(program: Path, tmp_path: Path, text: str) -> None:
    """A symbolic shape that is anything but arithmetic is not evaluated."""

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key in value:
                if key == "expr_str":
                    value[key] = text
                walk(value[key])
        elif isinstance(value, list):
            for item in value:
                walk(item)

    with pytest.raises(ModelError, match="not arithmetic"):
        check_pt2(edited(program, tmp_path / "m.pt2", "models/", walk))


def test_an_archive_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A zip without a program, and a file that is no zip, are one error each."""
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("a/b", "c")
    with pytest.raises(ModelError, match="no exported program"):
        check_pt2(tmp_path / "m.pt2")
    (tmp_path / "n.pt2").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ModelError, match="not a readable"):
        check_pt2(tmp_path / "n.pt2")
