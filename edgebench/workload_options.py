"""The words in which a user asks for measurements beyond single calls."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgebench.benchmark.workloads.asked import (
    SERVER_BOUND_NS,
    ScenarioAsked,
    WorkloadsAsked,
)
from edgebench.benchmark.workloads.records import Cache, Scenario
from edgebench.errors import ConfigError
from edgebench.options import parse_duration
from edgebench.pipeline_file import WorkloadsConfig


def parse_workloads(
    *,
    batches: str | None = None,
    throughput_threads: str | None = None,
    scenario: Sequence[str] = (),
    load: str | None = None,
    soak: str | None = None,
    soak_window: str = "60s",
    profile: bool = False,
    duration: str = "10s",
) -> WorkloadsAsked:
    """Return what the options of `edgebench benchmark` ask for. Raises ConfigError, naming the option."""
    window_s = _lasting(soak_window, "--soak-window")
    soak_s = _lasting(soak, "--soak") if soak else None
    if soak_s is not None and soak_s < 2 * window_s:
        raise ConfigError(
            f"--soak {soak}: holds fewer than two windows of {window_s:g} s",
            hint="soak for longer, or look at it in shorter windows: --soak-window 10s",
        )
    return WorkloadsAsked(
        batches=_numbers(batches, "--batches"),
        threads=_numbers(throughput_threads, "--throughput-threads"),
        scenarios=tuple(dict.fromkeys(parse_scenario(text) for text in scenario)),
        loads=_caches(load),
        soak_s=soak_s,
        window_s=window_s,
        profile=profile,
        duration_s=_lasting(duration, "--duration"),
    )


def _lasting(text: str, option: str) -> float:
    """Return the seconds of a span that something is measured in. Raises ConfigError for none."""
    seconds = parse_duration(text, option)
    if seconds <= 0:
        raise ConfigError(f"{option} {text!r} is no time to measure in", hint="as in 10s or 10m")
    return seconds


def configured_workloads(config: WorkloadsConfig) -> WorkloadsAsked:
    """Return what a pipeline file asks for. Raises ConfigError, naming the option that says the same."""
    return parse_workloads(
        batches=",".join(map(str, config.batches)) or None,
        throughput_threads=",".join(map(str, config.throughput_threads)) or None,
        scenario=config.scenarios,
        duration=config.duration,
        load=",".join(config.load) or None,
        soak=config.soak,
        soak_window=config.soak_window,
        profile=config.profile,
    )


def parse_scenario(text: str) -> ScenarioAsked:
    """Return the scenario of `offline`, `server`, `server=15ms`, `server=15ms@200qps`. Raises ConfigError."""
    name, equals, rest = text.strip().partition("=")
    if name not in set(Scenario):
        raise ConfigError(f"--scenario {text!r} is not known", hint=f"one of: {', '.join(Scenario)}")
    scenario = Scenario(name)
    if scenario is not Scenario.SERVER:
        if equals:
            raise ConfigError(f"--scenario {text!r}: only the server takes a bound", hint=f"as in {name}")
        return ScenarioAsked(scenario)
    bound, at, rate = rest.partition("@")
    if equals and not bound:
        raise ConfigError(
            f"--scenario {text!r} names no bound", hint="as in server=15ms or server=15ms@200qps"
        )
    bound_ns = round(_lasting(bound, "--scenario server=") * 1e9) if bound else SERVER_BOUND_NS
    return ScenarioAsked(scenario, bound_ns, _rate(rate, text) if at else None)


def _rate(rate: str, text: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:qps)?\s*", rate)
    if not found or float(found[1]) <= 0:
        raise ConfigError(f"--scenario {text!r}: {rate!r} is not a rate", hint="as in server=15ms@200qps")
    return float(found[1])


def _numbers(text: str | None, option: str) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            f"{option} {text!r} is not a list of counts", hint="whole numbers from 1, as in 1,4,16"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def _caches(text: str | None) -> tuple[Cache, ...]:
    words = [word.strip() for word in text.split(",")] if text else []
    for word in words:
        if word not in set(Cache):
            raise ConfigError(f"--load {word!r} is not known", hint="cold, warm or cold,warm")
    return tuple(dict.fromkeys(Cache(word) for word in words))
