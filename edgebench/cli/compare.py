"""edgebench compare."""

from __future__ import annotations

import click

from edgebench.cli.terminal import json_option


@click.command()
@click.argument("baseline")
@click.argument("candidate")
@click.option(
    "--despite",
    multiple=True,
    metavar="FIELD",
    help="Compare although they differ in this, as in runtime_version; may be repeated.",
)
@json_option
def command(baseline: str, candidate: str, despite: tuple[str, ...], as_json: bool) -> None:
    """Say whether one measurement is faster or slower than another, and how sure that is.

    Each is RUN:ARTIFACT, or RUN where it has one artifact; for BASELINE also the run's own baseline. Of a run
    of several devices RUN is the folder of one, as RUN/devices/DEVICE. What was not timed alike is refused
    with exit code 2, naming the field. The exit code says nothing of the answer.
    """
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json, tell

    found = api.compare(baseline, candidate, despite=despite)
    tell(found.notes)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(fit_to_show(line) for line in api.compare_table(found).split("\n")))
