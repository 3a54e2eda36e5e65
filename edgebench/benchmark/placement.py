"""On which cores of a device its processes run: named one by one, or by their cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebench.benchmark.request import parse_cores
from edgebench.devices.clusters import NAMES, core_text, cores_named, read_clusters
from edgebench.errors import ConfigError

if TYPE_CHECKING:
    from edgebench.devices.transport import Transport


def check_cores(text: str | None) -> None:
    """Raise ConfigError for what is neither a list of cores nor a cluster's name."""
    if text not in NAMES:
        parse_cores(text)


def chosen_cores(machine: Transport, text: str | None, threads: int, *, root: str = "/") -> tuple[int, ...]:
    """Return the cores that `big`, `mid`, `little` or `0,2-3` stands for on a machine, none for None.

    Raises ConfigError where it has no such cluster, or fewer cores there than threads.
    """
    if text is None or text not in NAMES:
        return parse_cores(text)
    cores = cores_named(text, read_clusters(machine, root=root), machine.uri)
    if len(cores) < threads:
        raise ConfigError(
            f"{machine.uri}: {threads} threads do not fit on {text}, cores {core_text(cores)}",
            hint="take fewer threads, or name cores, as in 0,2-3",
        )
    return cores


def placement_note(text: str | None, cores: tuple[int, ...]) -> tuple[str, ...]:
    """Return which cores a cluster's name stood for, as a note; none where none was named."""
    return (f"cores {text}: {core_text(cores)}",) if text in NAMES else ()
