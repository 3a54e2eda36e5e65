"""edgebench devices."""

from __future__ import annotations

import click

from edgebench.cli.terminal import json_option


@click.group()
def command() -> None:
    """List the devices a benchmark can run on."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the devices that are here."""
    from edgebench import api
    from edgebench.cli.terminal import print_json

    devices = api.list_devices()
    if as_json:
        print_json(devices)
        return
    for facts in devices:
        memory = f"{facts.memory_bytes / 2**30:.1f} GiB"
        click.echo(f"{facts.uri:<14} {facts.processor}, {facts.cores} cores, {memory}, {facts.system}")
