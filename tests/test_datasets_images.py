"""Images as data sets: folders of classes, manifests, and what is refused of either."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models.data_files import peak_mb, picture

from edgebench.datasets import (
    Colour,
    Preprocessing,
    load_dataset,
    preprocess,
    split_overlap,
)
from edgebench.errors import DataError

ODD_NAMES = ["q\"uo'te", "two words", "<script>alert(1)</script>".replace("/", "-"), "größe-模型", "a;b$(c)"]


# --- class folders ------------------------------------------------------------------------------


def test_class_folders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    """Folder names are the classes, alphabetical; images below them, of any depth and suffix, count."""
    picture(tmp_path / "zebra" / "1.png", 10)
    picture(tmp_path / "ant" / "deep" / "er" / "2.BMP", 20)
    picture(tmp_path / "ant" / "1.jpg", 200)
    (tmp_path / "ant" / "notes.txt").write_text("not an image")
    (tmp_path / "README.md").write_text("not a class")
    data = load_dataset(".", base=tmp_path)
    assert data.class_names == ("ant", "zebra")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    assert data.inputs[0].shape == (3, 4, 5, 3)
    assert data.inputs[0][:, 0, 0, 0].tolist() == [200, 20, 10]


def test_what_editors_and_archives_leave_is_no_class(tmp_path: Path) -> None:
    """Hidden folders and files, and __MACOSX, shift no class number."""
    for name in (".ipynb_checkpoints", "__MACOSX", ".git"):
        picture(tmp_path / "d" / name / "a.png")
    picture(tmp_path / "d" / "cat" / "a.png")
    (tmp_path / "d" / "cat" / "._a.png").write_bytes(b"\0\5\x16\7 resource fork")
    data = load_dataset("d", base=tmp_path)
    assert data.class_names == ("cat",)
    assert len(data) == 1


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_only_names(name: str, tmp_path: Path) -> None:
    """Quotes, spaces, tags and other alphabets in folder, class and file names are read as they are."""
    picture(tmp_path / name / name / f"{name}.png", 7)
    picture(tmp_path / name / "other" / "a.png", 8)
    data = load_dataset(name, base=tmp_path)
    assert set(data.class_names) == {name, "other"}
    assert data.spec == name


def test_an_empty_class_keeps_its_number(tmp_path: Path) -> None:
    """A class without images is a class: the numbers of the others do not move."""
    (tmp_path / "a").mkdir()
    picture(tmp_path / "b" / "1.png")
    data = load_dataset(str(tmp_path))
    assert data.class_names == ("a", "b")
    assert data.labels is not None
    assert data.labels.tolist() == [1]


@pytest.mark.parametrize(("content", "words"), [([], "has no class folders"), (["cat"], "has no images")])
def test_a_folder_without_images_is_refused(content: list[str], words: str, tmp_path: Path) -> None:
    """No class folders, or none with an image in it, is said so."""
    folder = tmp_path / "d"
    folder.mkdir()
    for name in content:
        (folder / name).mkdir()
    with pytest.raises(DataError, match=words):
        load_dataset("d", base=tmp_path)


def test_images_of_unlike_size_need_a_resize(tmp_path: Path) -> None:
    """Two sizes: both files and their sizes are named, and a declared resize reads them."""
    picture(tmp_path / "d" / "a" / "1.png", size=(4, 5))
    picture(tmp_path / "d" / "a" / "2.png", size=(4, 6))
    with pytest.raises(DataError, match=r"1\.png is 4×5×3 uint8, .*2\.png is 4×6×3 uint8") as caught:
        load_dataset("d", base=tmp_path)
    assert "resize" in (caught.value.hint or "")
    data = load_dataset("d", base=tmp_path, preprocessing=Preprocessing(resize=(2, 3)))
    assert data.inputs[0].shape == (2, 2, 3, 3)


def test_images_of_unlike_colour_need_a_colour(tmp_path: Path) -> None:
    """A gray image among coloured ones is named; a declared colour makes them alike."""
    picture(tmp_path / "d" / "a" / "1.png", 100, mode="L")
    picture(tmp_path / "d" / "a" / "2.png", 200)
    with pytest.raises(DataError, match="4×5×1 uint8"):
        load_dataset("d", base=tmp_path)
    for colour, channels in ((Colour.RGB, 3), (Colour.BGR, 3), (Colour.GRAY, 1)):
        data = load_dataset("d", base=tmp_path, preprocessing=Preprocessing(colour=colour))
        assert data.inputs[0].shape == (2, 4, 5, channels)


@pytest.mark.parametrize(
    ("mode", "value", "dtype", "channels"),
    [("L", 200, "uint8", 1), ("RGB", 200, "uint8", 3), ("RGBA", 200, "uint8", 3), ("LA", 200, "uint8", 3)],
)
def test_eight_bit_images_keep_their_values(
    mode: str, value: int, dtype: str, channels: int, tmp_path: Path
) -> None:
    """Gray images have one channel, all others three; opacity is dropped."""
    picture(tmp_path / "d" / "a" / "1.png", value, mode=mode)
    (x,) = load_dataset("d", base=tmp_path).inputs
    assert (str(x.dtype), x.shape) == (dtype, (1, 4, 5, channels))
    assert set(x.ravel().tolist()) == {value}


@pytest.mark.parametrize("colour", [None, Colour.GRAY, Colour.RGB])
@pytest.mark.parametrize(
    ("mode", "value", "dtype"),
    [("I;16", 40_000, "uint16"), ("I", 70_000, "int32"), ("F", 5000.5, "float32")],
)
def test_deep_images_are_never_clipped_to_eight_bits(
    mode: str, value: int, dtype: str, colour: Colour | None, tmp_path: Path
) -> None:
    """16-bit, 32-bit and float images keep their values, whatever colour and size are declared."""
    picture(tmp_path / "d" / "a" / "1.tif", value, mode=mode)
    for size in (None, (2, 2)):
        steps = Preprocessing(colour=colour, resize=size)
        data = load_dataset("d", base=tmp_path, preprocessing=steps)
        assert data.inputs[0].dtype == dtype
        (x,) = preprocess(data, steps)
        assert x.shape == (1, *(size or (4, 5)), 3 if colour is Colour.RGB else 1)
        assert set(x.ravel().tolist()) == {value}


def test_images_of_unlike_depth_are_not_mixed(tmp_path: Path) -> None:
    """An 8-bit and a 16-bit image have unlike scales: they are refused together."""
    picture(tmp_path / "d" / "a" / "1.png", 200, mode="L")
    picture(tmp_path / "d" / "a" / "2.png", 40_000, mode="I;16")
    with pytest.raises(DataError, match=r"uint8, .* uint16"):
        load_dataset("d", base=tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_broken_image_is_named(content: bytes | None, tmp_path: Path) -> None:
    """An empty, foreign or truncated image is refused by name."""
    path = picture(tmp_path / "d" / "a" / "1.png", size=(64, 64))
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(DataError, match=r"1\.png: is not a readable image"):
        load_dataset("d", base=tmp_path)


def test_memory_of_images_is_one_copy(tmp_path: Path) -> None:
    """400 images of 150 KB are read into one array, not into a list and then an array."""
    for index in range(400):
        picture(tmp_path / "d" / "a" / f"{index}.bmp", index % 256, size=(224, 224))
    assert peak_mb(lambda: load_dataset("d", base=tmp_path)) < 1.2 * 400 * 224 * 224 * 3 / 1e6


# --- manifests ----------------------------------------------------------------------------------


def manifest(path: Path, frame: pd.DataFrame) -> str:
    """Write a manifest as .csv or .parquet and return its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path.name


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_manifest_names_files_and_labels(suffix: str, tmp_path: Path) -> None:
    """Paths are relative to the manifest, its order is kept, and numbers are class numbers."""
    names = ["b.png", "sub/a, b.png", 'quo"te.png', str(tmp_path / "elsewhere" / "c.png")]
    for index, name in enumerate(names):
        picture(tmp_path / "images" / name, index)
    frame = pd.DataFrame({"path": names, "label": [10, 2, 0, 2], "other": "x"})
    name = manifest(tmp_path / "images" / f"m{suffix}", frame)
    data = load_dataset(f"images/{name}", base=tmp_path)
    assert data.labels is not None
    assert data.labels.tolist() == [10, 2, 0, 2]
    assert data.class_names == ()
    assert data.inputs[0][:, 0, 0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_words_become_classes_in_alphabetical_order(suffix: str, tmp_path: Path) -> None:
    """Label words are classes; NA, None and null are words like any other."""
    words = ["zebra", "NA", "null", "None", "zebra"]
    names = [picture(tmp_path / f"{i}.png", i).name for i in range(5)]
    name = manifest(tmp_path / f"m{suffix}", pd.DataFrame({"path": names, "label": words}))
    data = load_dataset(name, base=tmp_path)
    assert data.class_names == ("NA", "None", "null", "zebra")
    assert data.labels is not None
    assert [data.class_names[i] for i in data.labels] == words


@pytest.mark.parametrize("dtype", ["int8", "uint16", "Int64", "float64", "category"])
def test_class_numbers_of_any_type_keep_their_order(dtype: str, tmp_path: Path) -> None:
    """Ten comes after two in every column type that holds numbers."""
    names = [picture(tmp_path / f"{i}.png", i).name for i in range(3)]
    labels = pd.Series([2, 10, 0]).astype(dtype)
    manifest(tmp_path / "m.parquet", pd.DataFrame({"path": names, "label": labels}))
    data = load_dataset("m.parquet", base=tmp_path)
    assert data.labels is not None
    assert data.labels.tolist() == [2, 10, 0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_without_a_label_is_named(suffix: str, tmp_path: Path) -> None:
    """An empty label names its row; so does a path that is not there."""
    names = [picture(tmp_path / f"{i}.png").name for i in range(3)]
    manifest(tmp_path / f"m{suffix}", pd.DataFrame({"path": names, "label": ["a", None, "b"]}))
    with pytest.raises(DataError, match="row 2 has no label"):
        load_dataset(f"m{suffix}", base=tmp_path)
    manifest(tmp_path / f"m{suffix}", pd.DataFrame({"path": [*names[:2], "gone.png"], "label": [0, 1, 2]}))
    with pytest.raises(DataError, match=r"row 3 names .*gone\.png"):
        load_dataset(f"m{suffix}", base=tmp_path)


def test_a_file_named_by_a_number_is_found(tmp_path: Path) -> None:
    """The path 0001 is a name, not the number 1."""
    picture(tmp_path / "a.png").rename(tmp_path / "0001")
    (tmp_path / "m.csv").write_text("path,label\n0001,0\n")
    assert len(load_dataset("m.csv", base=tmp_path)) == 1


# --- real data ----------------------------------------------------------------------------------

CIFAR_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"


@pytest.mark.assets
def test_real_class_folders(assets: Path, tmp_path: Path) -> None:
    """The 400 CIFAR-10 test images: 10 classes in alphabetical order, 40 each, uint8 32×32 RGB."""
    with zipfile.ZipFile(assets / "cifar10" / "data" / "test_400.zip") as archive:
        archive.extractall(tmp_path)
    folder = next(path.parent for path in sorted(tmp_path.rglob("airplane")))
    data = load_dataset(str(folder))
    assert " ".join(data.class_names) == CIFAR_CLASSES
    assert data.labels is not None
    assert np.bincount(data.labels).tolist() == [40] * 10
    assert data.inputs[0].shape == (400, 32, 32, 3)
    assert data.inputs[0].dtype == np.uint8
    assert 100 < data.inputs[0].mean() < 140


@pytest.mark.assets
def test_real_folders_and_arrays_hold_the_same_images(assets: Path, tmp_path: Path) -> None:
    """Of the 400 PNGs every one that is among the 7,500 arrays has the label that it has there."""
    with zipfile.ZipFile(assets / "cifar10" / "data" / "test_400.zip") as archive:
        archive.extractall(tmp_path)
    folder = next(path.parent for path in sorted(tmp_path.rglob("airplane")))
    pictures = load_dataset(str(folder))
    arrays = load_dataset(str(assets / "cifar10" / "data" / "test_7500.npz"))
    assert pictures.labels is not None
    assert arrays.labels is not None
    known = {x.tobytes(): label for x, label in zip(arrays.inputs[0], arrays.labels, strict=True)}
    pairs = zip(pictures.inputs[0], pictures.labels, strict=True)
    found = [(known[x.tobytes()], y) for x, y in pairs if x.tobytes() in known]
    assert len(found) == split_overlap(arrays, pictures) > 0
    assert all(a == b for a, b in found)
