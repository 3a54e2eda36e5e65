"""edgebench gates."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli.terminal import json_option


@click.group()
def command() -> None:
    """Test the gates themselves: that each can pass and can fail."""


@command.command()
@click.argument("gates", type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="A run to plant the effects in.  [default: evidence made from nothing]",
)
@json_option
def check(gates: Path, run: Path | None, as_json: bool) -> int:
    """Plant known slowdowns, growth and lost answers, and say which of them each gate finds.

    A gate that cannot fail, or cannot pass, is named with the reason, and the exit code is 1.
    """
    from edgebench import api
    from edgebench.cli.terminal import print_json

    found = api.check_gates(gates, run_folder=run)
    if as_json:
        print_json(found)
    else:
        click.echo(api.gates_table(found))
    return 0 if found.sound else 1
