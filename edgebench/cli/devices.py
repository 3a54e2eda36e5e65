"""edgebench devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.cli.terminal import json_option, quiet_option, talk

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts


@click.group()
def command() -> None:
    """List and examine the devices a benchmark can run on."""


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List this machine, and the devices that devices.yaml names."""
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json

    here, known, sick = api.list_devices(), api.known_devices(), api.quarantined_devices()
    if as_json:
        named = [{"name": name, "uri": entry.uri, "tags": entry.tags} for name, entry in known.items()]
        print_json([*here, *named, *({"quarantined": health} for health in sick)])
        return
    for facts in here:
        click.echo(f"{facts.uri:<14} {_summary(facts)}")
    for name, entry in sorted(known.items()):
        click.echo(f"{name:<14} {entry.uri}{'  ' if entry.tags else ''}{', '.join(entry.tags)}")
    for health in sick:
        click.echo(
            fit_to_show(f"quarantined    {health.uri}  since {health.when_utc}, {health.failures} failures: ")
            + fit_to_show(health.reason)
        )


@command.command()
@click.argument("name")
@click.argument("uri")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Also found by `tag:TAG`; may be repeated.")
@click.option("--project", is_flag=True, help="Into devices.yaml of this folder, not the user's.")
def add(name: str, uri: str, tags: tuple[str, ...], project: bool) -> None:
    """Give the device URI a NAME for --device, in devices.yaml."""
    from edgebench import api

    click.echo(api.add_device(name, uri, tags=tags, project=project))


@command.command()
@click.argument("name")
@click.option("--project", is_flag=True, help="Only from devices.yaml of this folder.")
def remove(name: str, project: bool) -> None:
    """Take a NAME out of devices.yaml: the project's where it has it, or else the user's."""
    from edgebench import api

    click.echo(api.remove_device(name, project=project))


@command.command()
@click.argument("uri")
@json_option
def info(uri: str, as_json: bool) -> None:
    """Say what a device is: URI as for --device, or its name."""
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json

    facts = api.device_info(uri)
    if as_json:
        print_json(facts)
        return
    click.echo(fit_to_show(f"{facts.uri}: {facts.name}"))
    click.echo(fit_to_show(_summary(facts)))
    if facts.emulated:
        click.echo("emulated: its latencies prove nothing")
    for name, value in facts.extra.items():
        click.echo(fit_to_show(f"{name.replace('_', ' '):<14} {value}"))


@command.command()
@click.argument("uri")
@json_option
def doctor(uri: str, as_json: bool) -> None:
    """Say what a benchmark needs of a device, and whether it is there; exit code 4 where it is not."""
    from edgebench import api
    from edgebench.cli.terminal import print_findings, print_json

    findings = api.device_doctor(uri)
    if as_json:
        print_json(findings)
    else:
        print_findings(findings)
    if not findings[-1].present:
        raise click.exceptions.Exit(4)


@command.command()
@click.argument("uri")
def release(uri: str) -> None:
    """End a job that runs on a device though its host is gone, so that the device is free."""
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show

    whose = api.device_release(uri)
    click.echo(fit_to_show(f"ended the job of {whose}" if whose else "no job runs there without its host"))


@command.command()
@click.argument("uri")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take wheels from here, not from the index.",
)
@click.option("--native", is_flag=True, help="Build the native runner, for devices without Python.")
@json_option
@quiet_option
def setup(uri: str, wheels: Path | None, native: bool, as_json: bool, quiet: bool) -> None:
    """Give a device numpy and the runtimes: wheels from here, without its network, pip or root."""
    from edgebench import api
    from edgebench.cli.terminal import print_json

    there = api.device_setup(uri, wheels=wheels, native=native, progress=talk(quiet))
    if as_json:
        print_json(there)
        return
    for name in there:
        click.echo(name)


@command.command()
@click.argument("uri")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--comparisons",
    type=click.IntRange(min=5),
    default=20,
    show_default=True,
    help="Of the model with itself.",
)
@click.option("--sessions", type=click.IntRange(min=2), default=5, show_default=True, help="Of a comparison.")
@click.option(
    "--calls", type=click.IntRange(min=10), default=200, show_default=True, help="Timed, a session."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the runtime.")
@click.option("--affinity", metavar="CORES", help="Bind to cores, as in 0,2-3.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/noise/<time>]"
)
@json_option
@quiet_option
def noise(uri: str, model: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure a MODEL against itself, and keep how far it seems to differ: the device's noise floor.

    No later comparison on this device calls a smaller difference one.
    """
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json

    floor = api.device_noise(uri, model, progress=talk(quiet), **options)
    if as_json:
        print_json(floor)
    else:
        click.echo(fit_to_show(f"{floor.device}: {floor.words}"))


def _summary(facts: DeviceFacts) -> str:
    memory = f"{facts.memory_bytes / 2**30:.1f} GiB"
    return f"{facts.processor}, {facts.cores} cores, {memory}, {facts.system}"
