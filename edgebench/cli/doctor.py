"""edgebench doctor."""

from __future__ import annotations

import click

from edgebench.cli.terminal import json_option, quiet_option, talk


@click.command()
@click.option("--fix", metavar="NAME", help="Create what is missing: onnx2tf.")
@json_option
@quiet_option
def command(fix: str | None, as_json: bool, quiet: bool) -> None:
    """Say what is installed, what each extra adds, and what hardware is here."""
    from edgebench import api
    from edgebench.cli.terminal import print_findings, print_json

    if fix is not None:
        click.echo(f"created {api.doctor_fix(fix, progress=talk(quiet))}")
        return
    findings = api.doctor()
    if as_json:
        print_json(findings)
        return
    print_findings(findings)
