"""edgebench results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="As .csv or .parquet.  [default: stdout]")
def command(places: tuple[Path, ...], out: Path | None) -> None:
    """Gather the figures of many judged runs in one table.

    All those that are named, or lie below folders that are; as CSV, one figure in a row.
    """
    from edgebench import api

    if out is None:
        click.echo(api.results_text(places), nl=False)
    else:
        click.echo(f"{api.write_results(places, out):,} rows in {out}", err=True)
