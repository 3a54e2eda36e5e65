"""What is said of a search for float layers: held or not, how sure, and what would settle it."""

from __future__ import annotations

from dataclasses import replace

from edgebench.artifact import MixedPrecision, MixedTrial
from edgebench.benchmark.statistics import drop_bounds
from edgebench.exporters.mixed_search import MOST_TRIALS
from edgebench.exporters.mixed_text import mixed_note, mixed_table, upper_drop

INT8 = MixedTrial((), 0.0, 60, 10, 2000, 1000)
FLOAT = MixedTrial(("conv_3",), 0.25, 12, 6, 2000, 1500)
MIXED = MixedPrecision(
    budget="0.5pp",
    allowed=0.005,
    held=True,
    chosen=1,
    trials=(INT8, FLOAT),
    most_float_share=0.5,
    data="calib.npz",
    fingerprint="f" * 64,
    right=1800,
)


def test_a_drop_within_the_budget_is_not_proven_by_its_number() -> None:
    """0.30 points on 2,000 samples may be more than half a point: the note says so, and asks for more."""
    note = mixed_note(MIXED)
    assert note.startswith("the budget of 0.5pp is met: conv_3: 1 layer in float (25.0% of the mult")
    assert "drop 0.30 pp on 2,000 held-back samples of calib.npz; not proven" in note
    assert "more labels would settle it" in note


def test_a_drop_whose_interval_is_within_is_proven() -> None:
    """The same on a large budget: at most so many points."""
    note = mixed_note(replace(MIXED, budget="2pp", allowed=0.02))
    assert "not proven" not in note
    assert "with 95% confidence over 2 trials the drop is at most 0.7" in note


def test_the_confidence_is_shared_by_the_trials() -> None:
    """Two trials: the bound is that of 97.5 %, since the better of two looks better than it is."""
    alone = replace(MIXED, chosen=0, trials=(FLOAT,))
    one, two = (drop_bounds(12, 6, 2000, level).upper for level in (0.95, 0.975))
    assert (upper_drop(alone), upper_drop(MIXED)) == (one, two)
    assert one is not None
    assert two is not None
    assert one < two


def test_a_budget_that_is_not_held_is_said_in_capitals() -> None:
    """The limit, the number of trials and the best of them stand in one line."""
    note = mixed_note(replace(MIXED, held=False, budget="0.1pp", allowed=0.001))
    assert "the budget of 0.1pp is NOT held with up to 50% of the multiplications in float" in note
    assert "the best of 2 trials: conv_3: 1 layer in float" in note


def test_a_search_that_ended_at_its_limit_says_so() -> None:
    """With as many trials as there may be, cheaper sets may not have been tried."""
    assert "limit" not in mixed_note(MIXED)
    ended = replace(MIXED, trials=(INT8, FLOAT) * (MOST_TRIALS // 2))
    assert "the search ended at its limit of 32 trials" in mixed_note(ended)


def test_the_table_has_every_trial_and_marks_the_chosen_one() -> None:
    """One row a trial, with what was lost and won; the layers by their full names."""
    long = replace(FLOAT, floats=("a" * 80, "b", "c", "d"))
    table = mixed_table(replace(MIXED, trials=(INT8, long)))
    rows = table.splitlines()
    assert [row[:2] for row in rows[1:3]] == ["  ", "> "]
    assert rows[1].split() == ["0", "0.0%", "2.50", "pp", "60", "10", "1,000"]
    assert rows[3] == f"layers in float: {'a' * 80}, b, c, d"
    assert f"…{'a' * 48}, b, c and 1 more: 4 layers in float" in rows[4]
