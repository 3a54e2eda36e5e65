"""The search for the cheapest float layers, on made-up models whose drop is known for every set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from edgebench.artifact import MixedTrial
from edgebench.exporters.mixed_search import Found, RankedLayer, search

SAMPLES = 1000


def layers(**noises: tuple[float, float]) -> list[RankedLayer]:
    """Return layers by their share of the work and the noise that each adds."""
    return [RankedLayer(name, share, noise) for name, (share, noise) in noises.items()]


def find(
    ranked: Sequence[RankedLayer],
    lost: Callable[[set[str]], int],
    *,
    allowed: float = 0.005,
    most_share: float = 0.5,
    most_trials: int = 32,
) -> Found:
    """Search a model that loses so many of 1,000 samples with a set of layers in float."""
    shares = {layer.tensor: layer.share for layer in ranked}

    def measure(floats: tuple[str, ...]) -> MixedTrial:
        share = sum(shares[name] for name in floats)
        return MixedTrial(floats, share, lost(set(floats)), 0, SAMPLES, 100)

    return search(lambda: ranked, measure, allowed=allowed, most_share=most_share, most_trials=most_trials)


TEN = layers(**{f"l{index}": (0.1, 0.01 * (index + 1)) for index in range(10)})


def test_a_healthy_model_is_one_trial() -> None:
    """All in int8 holds: nothing else is measured, and no layer's noise is asked for."""

    def measure(floats: tuple[str, ...]) -> MixedTrial:
        return MixedTrial(floats, 0.0, 5, 0, SAMPLES, 100)

    def ranked() -> Sequence[RankedLayer]:
        raise AssertionError

    found = search(ranked, measure, allowed=0.005, most_share=0.5)
    assert (found.held, found.best.floats, len(found.trials)) == (True, (), 1)


@pytest.mark.parametrize("lost", range(1, 30))
def test_a_drop_of_just_the_budget_holds(lost: int) -> None:
    """So many of 1,000 samples are a tenth of as many points, in binary numbers too; one more is too much."""
    assert find(TEN, lambda _: lost, allowed=lost / 10 / 100).held
    assert not find(TEN, lambda _: lost + 1, allowed=lost / 10 / 100).held


def test_the_one_layer_that_hurts_is_kept_alone() -> None:
    """One of ten layers costs 30 points: it alone ends in float, though cheap noisy ones stand before it."""
    cheap = layers(**{f"tiny{index}": (0.0001, 0.005) for index in range(5)})
    found = find([*TEN, *cheap, *layers(bad=(0.2, 0.5))], lambda floats: 0 if "bad" in floats else 300)
    assert found.held
    assert found.best.floats == ("bad",)


def test_two_layers_that_hurt_together_are_both_kept() -> None:
    """A range between two layers is float only when both are: neither is taken back."""
    ranked = [*TEN, *layers(a=(0.1, 0.4), b=(0.1, 0.39))]
    found = find(ranked, lambda floats: 0 if {"a", "b"} <= floats else 200)
    assert found.held
    assert set(found.best.floats) == {"a", "b"}


def test_the_cheapest_of_the_trials_that_hold_is_taken() -> None:
    """Noise that adds up: as few of the layers that add most for their cost as it takes."""
    total = sum(layer.noise for layer in TEN)
    by_name = {layer.tensor: layer.noise for layer in TEN}
    found = find(
        TEN, lambda floats: round(100 * (total - sum(by_name[name] for name in floats))), allowed=0.030
    )
    assert found.held
    assert set(found.best.floats) == {"l9", "l8", "l7"}


def test_a_large_layer_is_let_in_where_the_cheap_ones_do_not_help() -> None:
    """Cheap layers fill the share first; the order by noise alone then finds the layer that matters."""
    ranked = [*layers(**{f"c{i}": (0.05, 0.2) for i in range(4)}), *layers(big=(0.45, 0.9))]
    found = find(ranked, lambda floats: 0 if "big" in floats else 90)
    assert found.held
    assert found.best.floats == ("big",)


def test_a_budget_beyond_the_share_is_not_held() -> None:
    """The layer that hurts is over the limit: the search says so and gives the trial that loses least."""
    ranked = [*TEN, *layers(bad=(0.6, 0.5))]
    found = find(ranked, lambda floats: 0 if "bad" in floats else 300 - len(floats))
    assert not found.held
    assert found.best.drop == min(trial.drop for trial in found.trials)
    assert all(trial.float_share <= 0.5 + 1e-6 for trial in found.trials)
    assert len(found.trials) > 1


def test_without_any_float_allowed_there_is_one_trial() -> None:
    """A share of 0 leaves all in int8, held or not."""
    found = find(TEN, lambda floats: 300 - len(floats), most_share=0.0)
    assert (found.held, len(found.trials), found.best.floats) == (False, 1, ())


def test_no_more_trials_than_the_limit() -> None:
    """Sixty layers that all matter: the trials end at the limit, with the best that was found."""
    ranked = layers(**{f"l{index:02}": (0.01, 1.0 + index / 100) for index in range(50)})
    found = find(ranked, lambda floats: 0 if len(floats) > 30 else 100, most_trials=9)
    assert len(found.trials) <= 9
    assert found.held
    assert len(found.best.floats) > 30


@pytest.mark.parametrize("odd", [3, 7])
def test_a_drop_that_does_not_fall_steadily_ends_in_a_measured_set(odd: int) -> None:
    """Chance makes one set hold and a larger one not: what is taken was measured and holds."""
    found = find(TEN, lambda floats: 0 if len(floats) in (odd, 5) else 100)
    assert found.best in found.trials
    assert found.held == (found.best.drop <= 0.005)
