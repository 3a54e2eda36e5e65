"""What who waits for a device is told, and the spans of time that options take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgebench.devices import lease
from edgebench.errors import ConfigError
from edgebench.options import parse_duration


def test_who_waits_is_told_how_long_it_has_been(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder is named at once, and again with the time waited so far as it goes on."""
    monkeypatch.setattr(lease, "REMIND_S", 0.0)

    def lines() -> Iterator[str]:
        yield from ("", "waiting ann@lab (process 7, since 10:00 UTC)", "", "held", "not read")

    told: list[str] = []
    lease.await_turn(lines(), "ssh://pi", lambda message, **_: told.append(message), None)
    assert told[0] == "ssh://pi: waits for ann@lab (process 7, since 10:00 UTC), who measures there"
    assert told[1:] == [f"{told[0]}: 0 s so far"] * 2


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("0s", 0)])
def test_a_span_of_time_has_a_unit(text: str, seconds: float) -> None:
    """`90s`, `10m` and `1.5h` are seconds, minutes and hours."""
    assert parse_duration(text, "--wait") == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "5 min", "1e3s", "infs", "nans", "5d"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    """A number without a unit, a negative one and other words are bad input, named with the option."""
    with pytest.raises(ConfigError, match=r"--wait .* is not a span of time"):
        parse_duration(text, "--wait")
