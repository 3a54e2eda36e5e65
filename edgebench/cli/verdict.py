"""How `run` and `demo` end: the table, the verdict, the report's path, the exit code."""

from __future__ import annotations

from pathlib import Path

import click


def show_verdict(folder: Path, *, as_json: bool) -> int:
    """Print what a finished run in `folder` found and return the verdict's exit code."""
    from edgebench import api
    from edgebench.cli.terminal import print_json, tell

    verdict = api.read_verdict(folder)
    if as_json:
        print_json(verdict)
    else:
        tell(api.read_evidence(folder).notes)
        click.echo(api.results_table(folder))
        click.echo(f"\n{verdict.decision}   report: {folder / 'report.html'}")
    return verdict.decision.exit_code
