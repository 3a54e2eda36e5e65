"""Edits of the files of timings, as somebody would make them who wants better ones."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def make_faster(path: Path) -> None:
    """Write every call as a tenth of what it took; all else, the session's record too, stays."""
    table = pq.read_table(path)
    column = table.schema.get_field_index("latency_ns")
    tenth = pa.array([one // 10 for one in table["latency_ns"].to_pylist()], table.schema.field(column).type)
    pq.write_table(table.set_column(column, table.schema.field(column), tenth), path)
