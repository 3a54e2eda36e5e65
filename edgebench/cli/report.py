"""edgebench report."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli.terminal import json_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--gates", type=click.Path(path_type=Path), help="YAML of gates.  [default: the edge checklist]"
)
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write the page here.  [default: RUN/report.html]"
)
@json_option
def command(run: Path, gates: Path | None, html: Path | None, as_json: bool) -> int:
    """Judge evidence against gates; write the verdict and the HTML report."""
    from edgebench import api
    from edgebench.cli.terminal import print_json

    verdict = api.report(run, gates=gates, html=html)
    if as_json:
        print_json(verdict)
    else:
        click.echo(api.results_table(run))
        click.echo(f"\n{verdict.decision}   {html or run / 'report.html'}")
    return verdict.decision.exit_code
