"""PyTorch weights as files: tensors only, checked against the model, never executed."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgebench.errors import ModelError, StorageError
from edgebench.torch_weights import check_finite, load_into, read_weights, require_torch, write_weights

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebench[torch]'")

pytestmark = pytest.mark.torch


def net() -> torch.nn.Module:
    """Return a network with a convolution, a norm and a linear layer."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 5))
    return torch.nn.Sequential(*layers)


def state() -> dict[str, torch.Tensor]:
    """Return the network's tensors by name."""
    return dict(net().state_dict())


def save(content: Any, path: Path, *, legacy: bool = False) -> Path:
    """Write what torch.save writes, in its zip form or the one before."""
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def equal(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    """Return whether two sets of tensors have the same names and values."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.th", "ckpt", "größe \"q'.bin"])
def test_a_state_dict_is_read_from_any_name(name: str, *, legacy: bool, tmp_path: Path) -> None:
    """The tensors of a state_dict come back as they were, whatever the file is called."""
    assert equal(read_weights(save(state(), tmp_path / name, legacy=legacy)), state())


WRAPPED: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "best_prec1": 91.7},
    "model_state_dict": lambda s: {"epoch": 3, "model_state_dict": s},
    "model": lambda s: {"model": s},
    "net": lambda s: {"net": s, "acc": 95.1},
    "two deep": lambda s: {"model": {"state_dict": s}},
    "DataParallel": lambda s: {"state_dict": {f"module.{name}": tensor for name, tensor in s.items()}},
    "torch.compile": lambda s: {f"_orig_mod.{name}": tensor for name, tensor in s.items()},
    "both": lambda s: {f"module._orig_mod.{name}": tensor for name, tensor in s.items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_checkpoint_is_unwrapped(kind: str, tmp_path: Path) -> None:
    """The state_dict inside a checkpoint is found, and wrappers' prefixes are taken off its names."""
    assert equal(read_weights(save(WRAPPED[kind](state()), tmp_path / "w.pt")), state())


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path) -> None:
    """A model with a child called `module` beside others keeps its names."""
    tensors = {"module.weight": torch.ones(2), "head.weight": torch.ones(3)}
    assert read_weights(save(tensors, tmp_path / "w.pt")).keys() == tensors.keys()


def test_safetensors_are_read(tmp_path: Path) -> None:
    """What write_weights writes is read back equal, tied and transposed weights too."""
    model = net()
    model.register_parameter("tied", model[0].weight)
    model.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
    write_weights(model, tmp_path / "w.safetensors")
    assert equal(read_weights(tmp_path / "w.safetensors"), model.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


# --- nothing is executed ------------------------------------------------------------------------


def attacks(ran: Path) -> dict[str, bytes]:
    """Return files whose unpickling would make the file `ran`."""

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return subprocess.getoutput, (f"touch '{ran}'",)

    payload = pickle.dumps(Attack(), protocol=2)
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    packed = io.BytesIO()
    with zipfile.ZipFile(buffer) as good, zipfile.ZipFile(packed, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, payload if name.endswith("data.pkl") else good.read(name))
    nested = io.BytesIO()
    torch.save({"state_dict": state(), "optimizer": Attack()}, nested)
    return {
        "plain": payload,
        "protocol 0": pickle.dumps(Attack(), protocol=0),
        "protocol 5": pickle.dumps(Attack(), protocol=5),
        "zip": packed.getvalue(),
        "beside good weights": nested.getvalue(),
    }


@pytest.mark.parametrize("kind", ["plain", "protocol 0", "protocol 5", "zip", "beside good weights"])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_malicious_pickle_is_not_executed(kind: str, suffix: str, tmp_path: Path) -> None:
    """A file whose unpickling runs a command is refused by name, and the command does not run."""
    ran = tmp_path / "ran"
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(attacks(ran)[kind])
    with pytest.raises(ModelError, match=rf"w\.{suffix}") as caught:
        load_into(net(), path)
    assert not ran.exists()
    assert "weights_only" not in str(caught.value)
    assert "\n" not in caught.value.message


def test_the_attack_itself_works(tmp_path: Path) -> None:
    """The payload does run where it is unpickled, so that the test above can fail."""
    ran = tmp_path / "ran"
    child = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    (tmp_path / "w.pt").write_bytes(attacks(ran)["plain"])
    subprocess.run(["python3", "-c", child, str(tmp_path / "w.pt")], check=True)
    assert ran.exists()


def test_a_whole_pickled_model_is_named_by_its_class(tmp_path: Path) -> None:
    """torch.save(model) holds a class: the class is named, and what to save instead."""
    with pytest.raises(ModelError, match=r"holds `torch\.nn\.modules\.\S+`, and nothing") as caught:
        read_weights(save({"model": torch.nn.Linear(2, 2)}, tmp_path / "w.pt"))
    assert "state_dict" in (caught.value.hint or "")


# --- files that are no weights ------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\x80", b"PK\x03\x04", b"<html>not found</html>", os.urandom(4096)]
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_that_is_no_weights_is_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    """Empty, foreign and random files are refused in one line, without advice to trust them."""
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"w\.{suffix}") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_damaged_file_is_one_line_whatever_is_damaged(form: str, tmp_path: Path) -> None:
    """Cut anywhere, or with any byte changed, a file is read or refused by name."""
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    tensors = {"a": torch.ones(4, 4), "b": torch.zeros(3)}
    if form == "safetensors":
        linear = torch.nn.Linear(4, 4)
        write_weights(linear, path)
    else:
        save({"state_dict": tensors, "epoch": 3}, path, legacy=form == "legacy")
    good, generator, refused = path.read_bytes(), torch.Generator().manual_seed(0), 0
    for _ in range(200):
        content = bytearray(good)
        place, bit, cut = torch.randint(0, len(good), (3,), generator=generator).tolist()
        content[place] ^= 1 << bit % 8
        path.write_bytes(content[: cut if cut % 3 == 0 else None])
        message = refusal(path)
        assert message is None or (path.name in message and "\n" not in message)
        refused += message is not None
    assert refused > 60


def refusal(path: Path) -> str | None:
    """Return the message of the ModelError that reading raises, or None where it raises none."""
    try:
        read_weights(path)
    except ModelError as err:
        return err.message
    return None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds no tensors by name, only dict"),
        ([torch.ones(2)], "only list"),
        (torch.ones(2), "only Tensor"),
        ({"epoch": 3, "acc": 0.9}, "only epoch, acc"),
        ({"ema": {"a": torch.ones(2)}, "step": 1}, "only ema, step"),
        (dict.fromkeys("abcde", 1), "only a, b, c and 2 more"),
    ],
)
def test_a_file_without_named_tensors_says_what_it_holds(content: object, words: str, tmp_path: Path) -> None:
    """A file of other things is refused with the names that it does have."""
    with pytest.raises(ModelError) as caught:
        read_weights(save(content, tmp_path / "w.pt"))
    assert words in caught.value.message


def test_a_file_that_holds_itself_is_refused(tmp_path: Path) -> None:
    """A dict that is its own state_dict ends in an error, not in a loop."""
    ring: dict[str, object] = {}
    ring["state_dict"] = ring
    with pytest.raises(ModelError, match="only state_dict"):
        read_weights(save(ring, tmp_path / "w.pt"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Weights that are not there, and a folder in their place, are named with the option."""
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(ModelError, match="no such file") as caught:
            read_weights(path)
        assert "--weights" in (caught.value.hint or "")


def test_a_script_archive_is_called_what_it_is(tmp_path: Path) -> None:
    """A zip with TorchScript code in it is no weights file, and its name is said."""
    path = tmp_path / "w.pt"
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    path.write_bytes(buffer.getvalue())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
    with pytest.raises(ModelError, match="a TorchScript archive"):
        read_weights(path)


# --- into a model -------------------------------------------------------------------------------


def test_weights_go_into_the_model(tmp_path: Path) -> None:
    """Every tensor of the file is the model's afterwards; a missing count of batches is no fault."""
    tensors = {name: tensor + 1 for name, tensor in state().items()}
    expected = dict(tensors)
    del tensors["1.num_batches_tracked"]
    model = net()
    load_into(model, save(tensors, tmp_path / "w.pt"))
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in tensors)


def test_half_precision_weights_go_into_a_float_model(tmp_path: Path) -> None:
    """float16 tensors are taken into float32 weights by value."""
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state().items()}
    model = net()
    load_into(model, save(halves, tmp_path / "w.pt"))
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, halves["0.weight"].float())


def changed(**tensors: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return the network's tensors with some replaced, added, or (None) taken out."""
    found = {**state(), **{name.replace("_", ".", 1): tensor for name, tensor in tensors.items()}}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"0_weight": None}, "missing: 0.weight"),
        ({"9_bias": torch.ones(2)}, "not in the model: 9.bias"),
        ({"3_weight": torch.ones(5, 100)}, "of another shape: 3.weight (5, 100) for (5, 144)"),
        (
            {"0_weight": None, "0_bias": None, "3_weight": None, "3_bias": None},
            "missing: 0.weight, 0.bias, 3.weight and 1 more",
        ),
        ({"0_weight": None, "9_w": torch.ones(1)}, "missing: 0.weight; not in the model: 9.w"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    tensors: dict[str, torch.Tensor | None], words: str, tmp_path: Path
) -> None:
    """Missing, unknown and misshapen tensors are named, with both shapes; the model stays as it was."""
    model = net()
    with pytest.raises(ModelError, match="does not fit the model") as caught:
        load_into(model, save(changed(**tensors), tmp_path / "w.pt"))
    assert words in caught.value.message
    assert equal(model.state_dict(), state())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    """A NaN or an infinity names its tensor and how many there are."""
    tensors = state()
    tensors["3.weight"][2, 1:4] = value
    with pytest.raises(ModelError, match=r"w\.pt: the tensor '3\.weight' has 3 values that are NaN"):
        load_into(net(), save(tensors, tmp_path / "w.pt"))


def test_buffers_may_hold_masks_and_no_nan() -> None:
    """-Inf in a buffer is an attention mask; NaN and +Inf in one are not."""
    model = net()
    model.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
    check_finite(model, "m")
    for value in (float("nan"), float("inf")):
        model[1].running_var[1] = value
        with pytest.raises(ModelError, match=r"'1\.running_var' has 1 values"):
            check_finite(model, "m")


# --- writing ------------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """Weights that do not fit on the disk are a StorageError, and nothing of them stays."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: run the tests as root to enable this one")
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            write_weights(torch.nn.Linear(400, 400), disk / "w.safetensors")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_torch_is_here() -> None:
    """Where PyTorch and safetensors are installed nothing is asked for."""
    require_torch()


# --- real weights -------------------------------------------------------------------------------


@pytest.mark.assets
def test_a_real_checkpoint(assets: Path) -> None:
    """The CIFAR-10 ResNet-20 of 2018: legacy format, `state_dict`, `module.`; 19 convolutions, 1 linear."""
    tensors = read_weights(assets / "cifar10" / "models" / "resnet20-12fca82f.th")
    assert tensors["conv1.weight"].shape == (16, 3, 3, 3)
    assert tensors["linear.weight"].shape == (10, 64)
    assert sum(tensor.ndim == 4 for tensor in tensors.values()) == 19
    assert not any(name.startswith("module.") for name in tensors)
    assert sum(t.numel() for n, t in tensors.items() if n.endswith(("weight", "bias"))) == 269_722
