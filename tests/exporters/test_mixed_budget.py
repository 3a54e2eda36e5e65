"""Budgets with their units, and shares."""

from __future__ import annotations

import pytest

from edgebench.errors import ConfigError
from edgebench.exporters.mixed_budget import parse_budget, parse_share


@pytest.mark.parametrize(
    ("text", "allowed"), [("0.5pp", 0.005), ("1%rel", 0.008), (" 2 pp ", 0.02), ("0pp", 0.0), (".5pp", 0.005)]
)
def test_a_budget_is_a_share_of_the_samples(text: str, allowed: float) -> None:
    """Points are of all samples, a relative budget of the accuracy that there is: 80 % here."""
    budget = parse_budget(text)
    assert budget is not None
    assert budget.allowed(0.8) == pytest.approx(allowed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-1pp", "is not from 0 to below 100"),
        ("100pp", "is not from 0 to below 100"),
        ("0.5", "has no unit"),
        ("0.5%", "has the unit '%'"),
        ("3dB", "has the unit 'dB'"),
        ("abc", "is not a budget"),
        ("", "is not a budget"),
        ("nanpp", "is not a budget"),
    ],
)
def test_what_is_no_budget_is_refused(text: str, told: str) -> None:
    """A number without its unit, another unit, below zero or no number: one line that shows how."""
    with pytest.raises(ConfigError) as error:
        parse_budget(text)
    assert told in error.value.message
    assert "0.5pp" in (error.value.hint or "")


def test_a_share_is_a_percentage() -> None:
    """50% is a half."""
    assert parse_share("50%") == 0.5


@pytest.mark.parametrize("text", ["0.5", "101%", "-1%", "half"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """A number without per cent, or out of range."""
    with pytest.raises(ConfigError, match="is not a share"):
        parse_share(text)
