"""Calibration samples on disk: written in pieces, read one at a time, never all in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from edgebench.errors import DataError
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


PIECE = 16
"""Samples that are preprocessed, and in memory, at a time."""


class SampleStore:
    """A folder with one file of raw values per model input, in_0.npy, in_1.npy, …, each [N, ...]."""

    def __init__(self, folder: Path) -> None:
        """Open what `write` wrote. Raises DataError where there is none."""
        self._files = sorted(folder.glob("in_*.npy"), key=lambda path: int(path.stem[3:]))
        if not self._files:
            raise DataError(f"{folder}: holds no samples")
        self._shapes, self._dtypes, self._offsets = [], [], []
        for path in self._files:
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                self._offsets.append(stream.tell())
            self._shapes.append(shape)
            self._dtypes.append(dtype)

    def __len__(self) -> int:
        """Return the number of samples."""
        return int(self._shapes[0][0])

    @property
    def specs(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape without the batch, and dtype, of each input."""
        return [(tuple(s[1:]), d.name) for s, d in zip(self._shapes, self._dtypes, strict=True)]

    def __iter__(self) -> Iterator[list[Array]]:
        """Yield one sample after the other: an array [1, ...] per input."""
        streams = [path.open("rb") for path in self._files]
        try:
            for stream, offset in zip(streams, self._offsets, strict=True):
                stream.seek(offset)
            for _ in range(len(self)):
                yield [
                    np.fromfile(stream, dtype, int(np.prod(shape[1:], dtype=np.int64))).reshape(1, *shape[1:])
                    for stream, dtype, shape in zip(streams, self._dtypes, self._shapes, strict=True)
                ]
        finally:
            for stream in streams:
                stream.close()

    def mapped(self) -> list[Array]:
        """Return all samples, [N, ...] per input, which are read where they are looked at."""
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in self._files]

    def arrays(self) -> list[Array]:
        """Return all samples at once, [N, ...] per input: for tools that know no stream."""
        return [np.load(path, allow_pickle=False) for path in self._files]


def write_samples(folder: Path, count: int, pieces: Iterable[Sequence[Array]]) -> SampleStore:
    """Write pieces of samples, [n, ...] per input and `count` in all, and return them as a store."""
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        streams: list[BinaryIO] = []
        try:
            for piece in pieces:
                if not streams:
                    streams = [(folder / f"in_{index}.npy").open("wb") for index in range(len(piece))]
                    for stream, array in zip(streams, piece, strict=True):
                        header = {
                            "descr": np.lib.format.dtype_to_descr(array.dtype),
                            "fortran_order": False,
                            "shape": (count, *array.shape[1:]),
                        }
                        np.lib.format.write_array_header_1_0(stream, header)
                for stream, array in zip(streams, piece, strict=True):
                    np.ascontiguousarray(array).tofile(stream)
        finally:
            for stream in streams:
                stream.close()
    return SampleStore(folder)
