"""edgebench demo."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli.terminal import json_option, quiet_option, talk


@click.command()
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs."
)
@click.option("--fresh", is_flag=True, help="Start anew: no cached step, no unfinished run is taken up.")
@json_option
@quiet_option
def command(out: Path, fresh: bool, as_json: bool, quiet: bool) -> int:
    """Run the whole path on handwritten digits, from training to verdict.

    The same as `edgebench run examples/digits/pipeline.yaml`.
    """
    from edgebench import api
    from edgebench.cli.verdict import show_verdict

    folder = api.demo(out=out, fresh=fresh, progress=talk(quiet))
    return show_verdict(folder, as_json=as_json)
