"""edgebench init."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="pipeline.yaml")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of pipeline files instead.")
def command(path: Path, force: bool, schema: bool) -> None:
    """Write a commented pipeline file to start from."""
    from edgebench import api
    from edgebench.cli.terminal import print_json

    if schema:
        print_json(api.pipeline_schema())
        return
    api.init(path, force=force)
    click.echo(f"wrote {path}: edit it, then run: edgebench run {path}")
