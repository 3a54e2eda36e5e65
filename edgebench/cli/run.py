"""edgebench run."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli.terminal import json_option, quiet_option, talk


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY.KEY=VALUE]...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs."
)
@click.option("--fresh", is_flag=True, help="Start anew: no cached step, no unfinished run is taken up.")
@json_option
@quiet_option
def command(
    pipeline: Path, overrides: tuple[str, ...], out: Path, fresh: bool, as_json: bool, quiet: bool
) -> int:
    """Do all of a pipeline file: compress, export, benchmark, judge.

    A run that was killed is taken up where it stopped.
    """
    from edgebench import api
    from edgebench.cli.verdict import show_verdict

    folder = api.run(pipeline, overrides=overrides, out=out, fresh=fresh, progress=talk(quiet))
    return show_verdict(folder, as_json=as_json)
