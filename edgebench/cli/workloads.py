"""The options of `edgebench benchmark` for what is measured beyond single calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--batches", metavar="N,N", help="Throughput at each of these samples a call, as in 1,4,16."
    ),
    click.option(
        "--throughput-threads", metavar="N,N", help="Throughput at each of these numbers of threads."
    ),
    click.option(
        "--scenario",
        multiple=True,
        metavar="NAME",
        help="Of MLPerf: single-stream, multi-stream, offline, server, server=15ms, server=15ms@200qps.",
    ),
    click.option(
        "--duration", metavar="SPAN", default="10s", show_default=True, help="Of each of these runs."
    ),
    click.option("--load", metavar="CACHE", help="Load from a page cache that is cold, warm, or cold,warm."),
    click.option("--soak", metavar="SPAN", help="Calls without a pause, as in 10m: when does it slow down?"),
    click.option(
        "--soak-window", metavar="SPAN", default="60s", show_default=True, help="Looked at in these."
    ),
    click.option("--profile", is_flag=True, help="The time of each operator, by the runtime's profiler."),
)


def workload_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
