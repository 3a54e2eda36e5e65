"""A measurement under criteria: declared before it begins, and gone on with until they are decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark.criteria import Criteria, canonical, declare
from edgebench.benchmark.evidence_files import EVIDENCE, check_raw, check_unmeasured, read_evidence
from edgebench.benchmark.fleet import benchmark_on
from edgebench.benchmark.looks import Looks, Stop
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.stopping import Until, check_same, settings
from edgebench.benchmark.tools import Tool, benchmark_by_tool
from edgebench.devices.inventory import expand
from edgebench.errors import ConfigError, InputError
from edgebench.options import parse_duration, parse_percent
from edgebench.progress import Progress
from edgebench.reports.deciding import Decider
from edgebench.reports.fitting import check_patterns

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import Evidence
    from edgebench.benchmark.request import BenchmarkRequest
    from edgebench.pipeline_file import BenchmarkConfig
    from edgebench.reports.gates import Gate

DEFAULT_TIME = "10m"


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a measurement before it is decided.

    max_s: the seconds it may take. within: half the width of an interval, as a share of its value, at which
    what is open is known narrowly enough; None where it has to be decided.
    """

    max_s: float
    within: float | None = None

    def go_on(self, looks: Looks) -> bool:
        """Return whether these limits leave something to measure where looks have ended."""
        if looks.stop is not Stop.NARROW:
            return looks.stop is Stop.TIME
        return self.within is None or (looks.within is not None and self.within < looks.within)


def parse_limits(max_time: str, within: str | None, options: tuple[str, str]) -> Limits:
    """Return limits in words such as `10m` and `2%`. options: their names, for ConfigError."""
    share = None if within is None else parse_percent(within, options[1])
    return Limits(parse_duration(max_time, options[0]), share)


def configured_limits(config: BenchmarkConfig) -> Limits:
    """Return the limits of a pipeline file. Raises ConfigError."""
    return parse_limits(config.max_time, config.within, ("benchmark.max_time", "benchmark.within"))


def measure(
    request: BenchmarkRequest, devices: Sequence[str], gates: Sequence[Gate] | None, progress: Progress
) -> None:
    """Measure so many sessions as are asked for. gates: declared before; None where there are none.

    Raises ConfigError for a gate whose pattern matches no artifact, InputError where raw files that lie there
    are not those that were measured.
    """
    _earlier(request.out, again=False)
    criteria = None if gates is None else _declare(request, gates, progress)
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
    criteria = None if gates is None else _declare(request, gates, progress)
    request = replace(request, device=chosen[0], criteria=criteria)
    benchmark_by_tool(request, tool, progress=progress)


def measure_until_decided(
    request: BenchmarkRequest,
    devices: Sequence[str],
    gates: Sequence[Gate],
    limits: Limits,
    progress: Progress,
    *,
    again: bool,
) -> None:
    """Measure session by session until the gates are decided, or a limit is reached.

    again: go on with a measurement in the folder whose time was out, its looks counted. One that came to
    its end is left as it is. Raises ConfigError for several devices, and where what lies there was measured
    for other criteria or by other settings; InputError where its raw files are not those that were measured;
    StorageError where it was a fixed number of sessions.
    """
    request = replace(request, device=_only(devices))
    earlier = _earlier(request.out, again=again)
    request = replace(request, criteria=_same_question(request, gates, progress))
    looks = None if earlier is None else earlier.looks
    if looks is not None:
        check_same(looks.settings, settings(request))
    if looks is not None and not (again and limits.go_on(looks)):
        progress(f"nothing is left to measure: {looks.stop.words}")
        return
    benchmark(request, until=_until(request, gates, limits, earlier), progress=progress)


def _until(
    request: BenchmarkRequest, gates: Sequence[Gate], limits: Limits, earlier: Evidence | None
) -> Until:
    decider = Decider(request.out, gates, limits.within)
    return Until(decider, limits.max_s, earlier, limits.within)


def _only(devices: Sequence[str]) -> str:
    chosen = expand(devices)
    if len(chosen) > 1:
        raise ConfigError(
            "--until-decided measures on one device, since each needs as many sessions as it needs",
            hint=f"a command for each of: {', '.join(chosen)}",
        )
    return chosen[0]


def _declare(request: BenchmarkRequest, gates: Sequence[Gate], progress: Progress) -> Criteria | None:
    """Write the gates down before the measurement; return those in force, or earlier ones, or none."""
    check_patterns(gates, [artifact for artifact, _ in request.artifacts])
    declared = declare(request.out, map(str, gates))
    if declared is None:
        progress(f"{request.out}: was begun without gates: these are not declared before the measurement")
    return declared


def _same_question(request: BenchmarkRequest, gates: Sequence[Gate], progress: Progress) -> Criteria:
    """Return the criteria in force. Raises ConfigError where there are none, or others than `gates`."""
    declared = _declare(request, gates, progress)
    if declared is None:
        raise ConfigError(
            f"{request.out}: was begun without gates, and what was measured so cannot be gone on with until "
            "they are decided",
            hint="measure anew in another folder with -o; without --until-decided the same command goes on",
        )
    if declared.gates != canonical(map(str, gates)):
        raise ConfigError(
            f"{request.out}: was measured for other criteria: {'; '.join(declared.gates)}",
            hint="use the same gates, or another folder with -o: what was looked at for one question cannot "
            "be gone on with for another",
        )
    return declared


def _earlier(folder: Path, *, again: bool) -> Evidence | None:
    """Return the evidence that lies in a folder; None where there is none, or it is not whole.

    again: it was asked for by name, so that what cannot be gone on with is said. Raises InputError where the
    raw files are not those that it was sealed with: going on would seal them anew.
    """
    if not (folder / EVIDENCE).exists():
        return None
    try:
        found = read_evidence(folder)
    except InputError:
        if again:
            raise
        return None
    check_raw(folder)
    if found.looks is None and again:
        check_unmeasured(folder)
    return found
