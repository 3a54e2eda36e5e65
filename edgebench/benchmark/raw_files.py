"""Raw numbers on disk: one Parquet file for each process, its record and the hash of its job in the metadata.

So a file is complete in itself: it is there or not, and a resumed run can trust what it finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgebench.errors import InputError
from edgebench.storage import atomic_path, encode_json, from_plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = Mapping[str, "NDArray[np.generic]"]

Record = TypeVar("Record")
_METADATA = b"edgebench"


def write_raw(path: Path, columns: Columns, record: object, *, job: str, key: str = "run") -> None:
    """Write columns of one length, and their record as `key`. job: the hash of what was asked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    metadata = {_METADATA: encode_json({"job": job, key: record})}
    with atomic_path(path) as temporary:
        # one row group: its columns are read as arrays without another copy
        pq.write_table(table.replace_schema_metadata(metadata), temporary, row_group_size=max(1, len(table)))


def read_record(path: Path, kind: type[Record], *, job: str, key: str = "run") -> Record | None:
    """Return the record in a file where it answers exactly this job, else None."""
    import msgspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        found = msgspec.json.decode(metadata[_METADATA])
        return from_plain(kind, found[key], what=str(path)) if found["job"] == job else None
    except (OSError, KeyError, TypeError, pa.ArrowInvalid, msgspec.DecodeError, InputError):
        return None  # absent, or of another making: it is measured again


def read_columns(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Return the named columns of a file, and those of `optional` that it has.

    Raises InputError where it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # read_table loads pyarrow.dataset first: 0.25 s
            there = [name for name in optional if name in file.schema_arrow.names]
            table = file.read(columns=[*names, *there])
        columns = {name: table[name] for name in (*names, *there)}
        return {name: _array(column) for name, column in columns.items()}
    except (OSError, KeyError, pa.ArrowInvalid) as err:
        raise InputError(f"{path}: the timings cannot be read: {err}") from err


def _array(column: Any) -> NDArray[Any]:
    """Return a column as an array, which is not a copy, and not to be written, where it lies in one piece.

    Not by pyarrow's own to_numpy where that can be helped: it imports pandas first, a third of a second.
    """
    import numpy as np
    import pyarrow as pa

    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    array: NDArray[Any]
    if whole.null_count or not (pa.types.is_primitive(whole.type)):
        array = whole.to_numpy(zero_copy_only=False)
    elif pa.types.is_boolean(whole.type):
        array = np.from_dlpack(whole.cast(pa.uint8())).view(np.bool_)
    else:
        array = np.from_dlpack(whole)
    return array
