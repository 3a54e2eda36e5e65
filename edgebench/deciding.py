"""A measurement under criteria: declared before it begins, and gone on with until they are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark.criteria import Criteria, canonical, declare
from edgebench.benchmark.evidence_files import EVIDENCE, check_unmeasured, read_evidence
from edgebench.benchmark.fleet import benchmark_on
from edgebench.benchmark.looks import Stop
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.stopping import Until, check_same, settings
from edgebench.benchmark.tools import Tool, benchmark_by_tool
from edgebench.devices.inventory import expand
from edgebench.errors import ConfigError, InputError
from edgebench.progress import Progress
from edgebench.reports.deciding import Decider
from edgebench.reports.fitting import check_patterns

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import Evidence
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.reports.gates import Gate

DEFAULT_TIME = "10m"


def measure(
    request: BenchmarkRequest, devices: Sequence[str], gates: Sequence[Gate] | None, progress: Progress
) -> None:
    """Measure so many sessions as are asked for. gates: declared before; None where there are none.

    Raises ConfigError for a gate whose pattern matches no artifact.
    """
    criteria = None if gates is None else _declare(request, gates)
    benchmark_on(replace(request, criteria=criteria), devices, progress=progress)


def measure_by_tool(
    request: BenchmarkRequest,
    devices: Sequence[str],
    gates: Sequence[Gate] | None,
    tool: Tool,
    progress: Progress,
) -> None:
    """Measure by a benchmark program of others, on one device. Raises ConfigError for several."""
    chosen = expand(devices)
    if len(chosen) > 1:
        raise ConfigError("a tool as runner measures on one device", hint="a command for each device")
    criteria = None if gates is None else _declare(request, gates)
    request = replace(request, device=chosen[0], criteria=criteria)
    benchmark_by_tool(request, tool, progress=progress)


def measure_until_decided(
    request: BenchmarkRequest,
    devices: Sequence[str],
    gates: Sequence[Gate],
    max_s: float,
    progress: Progress,
    *,
    again: bool,
) -> None:
    """Measure session by session until the gates are decided, or `max_s` seconds are over.

    again: go on with a measurement in the folder whose time was out, its looks counted. One that came to
    its end is left as it is. Raises ConfigError for several devices, and where what lies there was measured
    for other criteria or by other settings; StorageError where it was a fixed number of sessions.
    """
    request = replace(request, device=_only(devices))
    earlier = _earlier(request.out, again=again)
    request = replace(request, criteria=_same_question(request, gates))
    looks = None if earlier is None else earlier.looks
    if looks is not None:
        check_same(looks.settings, settings(request))
    if looks is not None and (looks.stop is not Stop.TIME or not again):
        progress(f"nothing is left to measure: {looks.stop.words}")
        return
    benchmark(request, until=Until(Decider(request.out, gates), max_s, earlier), progress=progress)


def _only(devices: Sequence[str]) -> str:
    chosen = expand(devices)
    if len(chosen) > 1:
        raise ConfigError(
            "--until-decided measures on one device, since each needs as many sessions as it needs",
            hint=f"a command for each of: {', '.join(chosen)}",
        )
    return chosen[0]


def _declare(request: BenchmarkRequest, gates: Sequence[Gate]) -> Criteria:
    """Write the gates down before the measurement; return those in force, which may be earlier ones."""
    check_patterns(gates, [artifact for artifact, _ in request.artifacts])
    return declare(request.out, map(str, gates))


def _same_question(request: BenchmarkRequest, gates: Sequence[Gate]) -> Criteria:
    """Return the criteria in force. Raises ConfigError where they are others than `gates`."""
    declared = _declare(request, gates)
    if declared.gates != canonical(map(str, gates)):
        raise ConfigError(
            f"{request.out}: was measured for other criteria: {'; '.join(declared.gates)}",
            hint="use the same gates, or another folder with -o: what was looked at for one question cannot "
            "be gone on with for another",
        )
    return declared


def _earlier(folder: Path, *, again: bool) -> Evidence | None:
    """Return the evidence that lies in a folder; None where there is none, or it is not whole.

    again: it was asked for by name, so that what cannot be gone on with is said.
    """
    if not (folder / EVIDENCE).exists():
        return None
    try:
        found = read_evidence(folder)
    except InputError:
        if again:
            raise
        return None
    if found.looks is None and again:
        check_unmeasured(folder)
    return found
