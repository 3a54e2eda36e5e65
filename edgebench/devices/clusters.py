"""The clusters of a machine's cores, from little to big, as the kernel tells their capacity.

Manual: the kernel's scheduler/sched-capacity and admin-guide/pm/cpufreq; hybrid x86 processors have
/sys/devices/cpu_core and cpu_atom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgebench.devices.sysfs import SysFiles, read_files
from edgebench.errors import ConfigError

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts
    from edgebench.devices.transport import Transport

LITTLE, MIDDLE, BIG = "little", "mid", "big"
NAMES = (BIG, MIDDLE, "mid1", "mid2", LITTLE)

_CPUS = "sys/devices/system/cpu"
_PATTERNS = (
    f"{_CPUS}/online",
    f"{_CPUS}/cpu[0-9]*/cpu_capacity",
    f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    "sys/devices/cpu_core/cpus",
    "sys/devices/cpu_atom/cpus",
)
_ALIKE = 0.9
"""Of a clock: favoured cores of one kind boost some per cent higher than their neighbours."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cores of one kind. name: little, mid or big; empty where all cores are of one kind."""

    name: str
    cores: tuple[int, ...]

    def __str__(self) -> str:
        cores = core_text(self.cores)
        return f"{self.name} {cores}" if self.name else cores


def read_clusters(machine: Transport, *, root: str = "/") -> tuple[Cluster, ...]:
    """Return a machine's clusters, little first, of the cores that are on. Raises DeviceError."""
    return clusters(read_files(machine, _PATTERNS, root=root)[0])


def clusters(files: SysFiles) -> tuple[Cluster, ...]:
    """Return the clusters that files tell of, none where they tell nothing."""
    online = set(core_list(files.text(f"{_CPUS}/online") or ""))
    hybrid = [core_list(files.text(f"sys/devices/cpu_{kind}/cpus") or "") for kind in ("atom", "core")]
    kinds = hybrid if all(hybrid) else _by_strength(files)
    there = [tuple(core for core in kind if not online or core in online) for kind in kinds]
    there = [kind for kind in there if kind]
    return tuple(Cluster(name, kind) for name, kind in zip(_names(len(there)), there, strict=True))


def with_clusters(facts: DeviceFacts, machine: Transport, *, root: str = "/") -> DeviceFacts:
    """Return a machine's facts with its clusters among them, where its cores are of several kinds."""
    found = read_clusters(machine, root=root)
    if len(found) < 2:  # noqa: PLR2004 cores of one kind are no news
        return facts
    return replace(facts, extra={**facts.extra, "clusters": ", ".join(map(str, found))})


def cores_named(name: str, found: Iterable[Cluster], uri: str) -> tuple[int, ...]:
    """Return the cores of a cluster's name. Raises ConfigError where the machine has no such cluster."""
    known = tuple(found)
    for cluster in known:
        if cluster.name == name:
            return cluster.cores
    if len(known) > 1:
        told = f"its clusters: {', '.join(map(str, known))}"
    else:
        told = "all of its cores are of one kind" if known else "it does not tell its cores' kinds"
    raise ConfigError(f"{uri}: has no {name} cores", hint=f"{told}; name cores, as in 0,2-3")


def core_list(text: str) -> tuple[int, ...]:
    """Return the cores of the kernel's way to write them, `0-3,7`; none for what is not of that form."""
    found: list[int] = []
    for part in text.strip().split(","):
        span = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if span is None:
            return ()
        found += range(int(span[1]), int(span[2] or span[1]) + 1)
    return tuple(found)


def core_text(cores: Iterable[int]) -> str:
    """Return cores as the kernel writes them: `0-3,7`."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


def _by_strength(files: SysFiles) -> list[tuple[int, ...]]:
    """Return groups of cores of like capacity, or else of like highest clock, the weakest first."""
    for name, alike in (("cpu_capacity", 1.0), ("cpufreq/cpuinfo_max_freq", _ALIKE)):
        strength = {
            int(path.split("/")[4].removeprefix("cpu")): value
            for path in files.paths(f"{_CPUS}/cpu[0-9]*/{name}")
            if (value := files.number(path))
        }
        groups: list[list[int]] = []
        for core in sorted(strength, key=lambda core: (strength[core], core)):
            if groups and strength[groups[-1][0]] >= alike * strength[core]:
                groups[-1].append(core)
            else:
                groups.append([core])
        if len(groups) > 1 or (groups and name != "cpu_capacity"):
            return [tuple(group) for group in groups]
    return [tuple(sorted(strength))] if strength else []


def _names(count: int) -> tuple[str, ...]:
    if count == 1:
        return ("",)
    between = [MIDDLE if count == 3 else f"{MIDDLE}{index}" for index in range(1, count - 1)]  # noqa: PLR2004
    return (LITTLE, *between, BIG)[:count]
