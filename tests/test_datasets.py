"""Labelled data by a spec string, and what is said about data that does not fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models.data_files import npz, peak_mb, picture

from edgebench.datasets import (
    Dataset,
    Layout,
    Preprocessing,
    load_dataset,
    preprocess,
    split_overlap,
)
from edgebench.errors import DataError, InputError


def samples(n: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Return n images of 4×5 pixels with labels of 3 classes."""
    rng = np.random.default_rng(seed)
    return {"x": rng.integers(0, 256, (n, 4, 5, 3)).astype(np.uint8), "y": np.arange(n) % 3}


# --- .npz ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_name", ["y", "labels", "label"])
def test_npz_arrays_and_labels(label_name: str, tmp_path: Path) -> None:
    """An .npz gives its arrays as they are stored, and the labels under any of the known names."""
    made = samples()
    npz(tmp_path / "d.npz", **{"x": made["x"], label_name: made["y"].astype(np.uint8)})
    data = load_dataset("d.npz", base=tmp_path)
    assert len(data) == 8
    assert data.input_names == ("x",)
    assert data.inputs[0].dtype == np.uint8
    assert np.array_equal(data.inputs[0], made["x"])
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == made["y"].tolist()


def test_npz_of_several_inputs_without_labels(tmp_path: Path) -> None:
    """Every array but the labels is an input, in the file's order; labels may be absent."""
    npz(tmp_path / "d.npz", tokens=np.ones((3, 7), np.int32), mask=np.zeros((3, 7), bool))
    data = load_dataset("d.npz", base=tmp_path)
    assert data.input_names == ("tokens", "mask")
    assert [a.shape for a in data.inputs] == [(3, 7), (3, 7)]
    assert data.labels is None


def test_text_beside_the_numbers(tmp_path: Path) -> None:
    """Names of classes are taken from `classes`; other text, such as file names, is no input."""
    made = samples()
    npz(tmp_path / "plain.npz", **made)
    names = np.array([f"{i}.png" for i in range(8)])
    npz(tmp_path / "d.npz", **made, names=names, classes=np.array(["a", "größe", "c"]))
    data = load_dataset("d.npz", base=tmp_path)
    assert data.input_names == ("x",)
    assert data.class_names == ("a", "größe", "c")
    assert data.fingerprint == load_dataset("plain.npz", base=tmp_path).fingerprint


def test_whole_float_labels_are_class_numbers(tmp_path: Path) -> None:
    """Labels stored as 0.0, 1.0, … are class numbers."""
    npz(tmp_path / "d.npz", x=np.zeros((2, 3)), y=np.array([0.0, 4.0]))
    data = load_dataset("d.npz", base=tmp_path)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 4]


def one_byte(kind: str, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the samples with the smallest change of one kind."""
    x, y = made["x"].copy(), made["y"].copy()
    if kind == "pixel":
        x[3, 1, 2, 0] ^= 1
    elif kind == "label":
        y[0] += 1
    elif kind == "shape":
        x = x.reshape(8, 5, 4, 3)
    elif kind == "dtype":
        x = x.astype(np.int16)
    elif kind == "order":
        x = x[::-1]
    return {"x" if kind != "name" else "image": x, "y": y}


@pytest.mark.parametrize("kind", ["pixel", "label", "shape", "dtype", "order", "name"])
def test_a_fingerprint_changes_with_the_smallest_change(kind: str, tmp_path: Path) -> None:
    """One bit of one pixel, one label, the shape, dtype, order or name: another fingerprint."""
    made = samples()
    npz(tmp_path / "a.npz", **made)
    npz(tmp_path / "b.npz", **one_byte(kind, made))
    first, second = (load_dataset(name, base=tmp_path).fingerprint for name in ("a.npz", "b.npz"))
    assert first != second
    assert len(first) == 64


def test_a_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    """The same arrays in another file, compressed, and from a function have one fingerprint."""
    made = samples()
    npz(tmp_path / "a.npz", **made)
    np.savez_compressed(tmp_path / "b.npz", **made)
    (tmp_path / "f.py").write_text(
        "import numpy as np\ndef data():\n    with np.load('" + str(tmp_path / "a.npz") + "') as z:\n"
        "        return z['x'], z['y']\n"
    )
    specs = ("a.npz", "b.npz", str(tmp_path / "a.npz"), "f.py:data")
    assert len({load_dataset(spec, base=tmp_path).fingerprint for spec in specs}) == 1


BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "no arrays": ({}, "holds no arrays"),
    "labels alone": ({"y": np.zeros(3, np.int64)}, "holds labels and no inputs"),
    "no samples": ({"x": np.zeros((0, 4)), "y": np.zeros(0, np.int64)}, "holds no samples"),
    "a single value": ({"x": np.zeros((3, 4)), "mean": 0.5}, "'mean' is a single value"),
    "unequal counts": ({"a": np.zeros((3, 4)), "b": np.zeros((2, 4))}, "'b' has 2 samples, others have 3"),
    "nan": ({"x": np.array([[1.0], [2.0], [np.nan]])}, "'x' has NaN in sample 2"),
    "inf": ({"x": np.array([[1.0], [np.inf], [np.nan]])}, "'x' has Inf in sample 1"),
    "half nan": ({"x": np.array([[1], [np.nan]], np.float16)}, "'x' has NaN in sample 1"),
    "text alone": ({"x": np.array(["a", "b"])}, "holds text and no numbers: x"),
    "a class too many": (
        {"x": np.zeros((2, 2)), "y": np.array([0, 2]), "classes": np.array(["a", "b"])},
        "the label 2 has no class among 2",
    ),
    "objects": ({"x": np.array([{}, []], object)}, "holds Python objects"),
    "dates": ({"x": np.array(["2020-01-01"], "datetime64[D]")}, "not numbers"),
    "complex": ({"x": np.ones((2, 2), complex)}, "not numbers"),
    "too few labels": ({"x": np.zeros((8, 2)), "y": np.zeros(7, int)}, "has 8 samples and 7 labels"),
    "one-hot labels": ({"x": np.zeros((8, 2)), "y": np.eye(8)}, "has 8 samples and 8×8 labels"),
    "a single label": ({"x": np.zeros((8, 2)), "y": np.int64(1)}, "a single value as labels"),
    "negative labels": ({"x": np.zeros((2, 2)), "y": np.array([0, -1])}, "the label -1 is negative"),
    "half labels": ({"x": np.zeros((2, 2)), "y": np.array([0, 0.5])}, "labels are float64"),
    "infinite labels": ({"x": np.zeros((2, 2)), "y": np.array([0, np.inf])}, "labels are float64"),
    "word labels": ({"x": np.zeros((2, 2)), "y": np.array(["cat", "dog"])}, "not class numbers"),
    "two labels": (
        {"x": np.zeros((2, 2)), "y": np.zeros(2, int), "label": np.zeros(2, int)},
        "has labels under y and label",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_arrays_that_make_no_data_set_are_named(kind: str, tmp_path: Path) -> None:
    """Empty, unequal, not finite, not numeric or wrongly labelled arrays are named with their file."""
    arrays, words = BROKEN[kind]
    npz(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load_dataset("d.npz", base=tmp_path)
    assert words in caught.value.message
    assert "d.npz" in caught.value.message
    assert "\n" not in caught.value.message


def refusal(work: Callable[[], object]) -> str | None:
    """Return the message of the DataError that `work` raises, or None where it raises none."""
    try:
        work()
    except DataError as err:
        return err.message
    return None


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_npz_is_one_line_whatever_is_damaged(*, compressed: bool, tmp_path: Path) -> None:
    """Cut anywhere, or with any byte changed, an .npz is read whole or refused by name."""
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, x=np.arange(64, dtype=np.float32).reshape(16, 4), y=np.arange(16))
    good, rng, path = buffer.getvalue(), np.random.default_rng(0), tmp_path / "d.npz"
    refused = 0
    for _ in range(300):
        content = bytearray(good)
        content[rng.integers(len(good))] ^= 1 << rng.integers(8)
        if rng.random() < 0.3:
            del content[rng.integers(len(good)) :]
        path.write_bytes(content)
        message = refusal(lambda: load_dataset("d.npz", base=tmp_path))
        assert message is None or ("d.npz" in message and "\n" not in message)
        refused += message is not None
    assert refused > 150


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.npz", None, "none.npz: no such file or folder"),
        ("d.npz", b"", "not a readable .npz"),
        ("d.npz", b"no", "not a readable .npz"),
        ("d.npy", b"x", "not a data set of a known kind"),
        ("d.csv", b"", "cannot be read"),
        ("d.csv", b"\xff\xfe\x00", "cannot be read"),
        ("d.csv", b"path,label\n", "has no rows"),
        ("d.csv", b"file,label\na.png,1\n", "has no column 'path'"),
        ("d.csv", b"path,class\na.png,1\n", "has no column 'label'"),
        ("d.csv", b"path,label\na.png,1\n", "row 1 names"),
        ("d.parquet", b"PAR1 not", "cannot be read"),
    ],
)
def test_a_file_that_is_no_data_set_is_named(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    """Missing, empty, foreign and incomplete files are refused in one line with the file's name."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_dataset(name, base=tmp_path)
    assert words in caught.value.message
    assert name in caught.value.message
    assert "\n" not in caught.value.message


def test_an_npy_by_another_name_is_recognised(tmp_path: Path) -> None:
    """A single array saved as .npz is called what it is."""
    with (tmp_path / "d.npz").open("wb") as stream:
        np.save(stream, np.zeros((3, 4)))
    with pytest.raises(DataError, match=r"is one array, an \.npy") as caught:
        load_dataset("d.npz", base=tmp_path)
    assert "np.savez" in (caught.value.hint or "")


@pytest.mark.parametrize("spec", ["", "  "])
def test_no_name_is_no_data_set(spec: str, tmp_path: Path) -> None:
    """An empty string does not name the working folder."""
    picture(tmp_path / "cats" / "a.png")
    with pytest.raises(DataError, match="no data set is named"):
        load_dataset(spec, base=tmp_path)


# --- functions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "inputs", "labels"),
    [
        ("return np.ones((3, 2)), np.array([0, 1, 2])", ("x",), [0, 1, 2]),
        ("return [[1, 2], [3, 4]], [1, 0]", ("x",), [1, 0]),
        ("return np.ones((2, 2)), None", ("x",), None),
        ("return {'a': np.ones((2, 2)), 'b': np.ones((2, 1)), 'label': [1, 1]}", ("a", "b"), [1, 1]),
    ],
)
def test_a_functions_arrays(
    body: str, inputs: tuple[str, ...], labels: list[int] | None, tmp_path: Path
) -> None:
    """A function may return (x, y), (x, None) or a dict of arrays; lists are arrays."""
    (tmp_path / "f.py").write_text(f"import numpy as np\ndef data():\n    {body}\n")
    data = load_dataset("f.py:data", base=tmp_path)
    assert data.input_names == inputs
    assert (None if data.labels is None else data.labels.tolist()) == labels


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 7", "returned int"),
        ("return np.ones(3)", "returned ndarray"),
        ("return [[1], [1, 2]], [0, 1]", "'x' is no array"),
        ("return np.ones((2, 2)), ['a', 'b']", "not class numbers"),
        ("return {}", "holds no arrays"),
        ("raise RuntimeError('the disk is gone')", "the disk is gone"),
        ("raise SystemExit(0)", "SystemExit"),
        ("return undefined", "f.py:3"),
        ("return np.ones((2, 2)) * np.nan, [0, 1]", "NaN in sample 0"),
    ],
)
def test_a_function_that_returns_no_data_is_named(body: str, words: str, tmp_path: Path) -> None:
    """What is no data, and whatever the function raises, is one line with the function's name."""
    (tmp_path / "f.py").write_text(f"import numpy as np\ndef data():\n    {body}\n")
    with pytest.raises(InputError) as caught:
        load_dataset("f.py:data", base=tmp_path)
    assert words in caught.value.message
    assert "f.py:data" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_function_may_return_a_data_set(tmp_path: Path) -> None:
    """A Dataset made elsewhere passes as it is."""
    npz(tmp_path / "d.npz", **samples())
    (tmp_path / "f.py").write_text(
        "from pathlib import Path\nfrom edgebench.datasets import load_dataset\n"
        "def data():\n    return load_dataset('d.npz', base=Path(__file__).parent)\n"
    )
    made = load_dataset("f.py:data", base=tmp_path)
    assert (made.spec, len(made)) == ("d.npz", 8)
    assert made.fingerprint == load_dataset("d.npz", base=tmp_path).fingerprint


# --- overlap and preprocessing of a data set ----------------------------------------------------


def test_overlap_counts_samples_seen_before(tmp_path: Path) -> None:
    """split_overlap counts the second set's samples that stand in the first, byte for byte."""
    x = np.arange(40, dtype=np.uint8).reshape(10, 4)
    npz(tmp_path / "a.npz", x=x[:6], y=np.zeros(6, int))
    npz(tmp_path / "b.npz", x=np.concatenate([x[4:], x[4:5]]), y=np.ones(7, int))
    a, b = (load_dataset(name, base=tmp_path) for name in ("a.npz", "b.npz"))
    assert split_overlap(a, b) == 3
    assert split_overlap(b, a) == 2


def test_chosen_samples_are_preprocessed_alone(tmp_path: Path) -> None:
    """Indices choose samples in their order; inputs after the first pass unchanged."""
    tokens = np.arange(6, dtype=np.int32).reshape(3, 2)
    npz(tmp_path / "d.npz", x=np.arange(3, dtype=np.uint8).reshape(3, 1), tokens=tokens)
    data = load_dataset("d.npz", base=tmp_path)
    x, other = preprocess(data, Preprocessing(scale=0.5), [2, 0])
    assert x.tolist() == [[1.0], [0.0]]
    assert x.dtype == np.float32
    assert other.dtype == np.int32
    assert other.tolist() == [[4, 5], [0, 1]]


def test_memory_of_a_real_size_stays_small(tmp_path: Path) -> None:
    """7,500 CIFAR images (23 MB, 92 MB as floats) cost one copy to read and two to preprocess."""
    x = np.zeros((7500, 32, 32, 3), np.uint8)
    npz(tmp_path / "d.npz", x=x, y=np.zeros(7500, np.int64))
    loaded: list[Dataset] = []
    assert peak_mb(lambda: loaded.append(load_dataset("d.npz", base=tmp_path))) < 1.5 * 23.04
    steps = Preprocessing(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), layout=Layout.NCHW)
    assert peak_mb(lambda: preprocess(loaded[0], steps)) < 2.2 * 92.16
