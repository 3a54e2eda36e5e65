"""What a search for float layers found, in words."""

from __future__ import annotations

from edgebench.artifact import MixedPrecision, MixedTrial
from edgebench.exporters.mixed_search import MOST_TRIALS

CONFIDENCE = 0.95
_NAMED = 3
_LONGEST = 48
"""Letters of a layer's name in a note: TFLite's name all that was fused into it."""


def upper_drop(mixed: MixedPrecision) -> float:
    """Return the drop that the chosen trial's true one stays under with 95 % confidence, −1 to 1.

    The confidence is shared by all trials (Bonferroni), since the chosen one was chosen by its number.
    """
    from edgebench.benchmark.statistics import drop_bounds

    trial, confidence = mixed.trial, _shared(mixed)
    bound = drop_bounds(trial.lost, trial.won, trial.samples, confidence).upper
    return 1.0 if bound is None else bound


def mixed_note(mixed: MixedPrecision) -> str:
    """Return one line: whether the budget is held, by what, and how sure that is."""
    trial = mixed.trial
    found = f"{_named(trial)}{trial_text(trial)} on {trial.samples:,} held-back samples of {mixed.data}"
    if len(mixed.trials) >= MOST_TRIALS:
        found += f" (the search ended at its limit of {MOST_TRIALS} trials)"
    if not mixed.held:
        return (
            f"the budget of {mixed.budget} is NOT held with up to {mixed.most_float_share:.0%} of the "
            f"multiplications in float; the best of {len(mixed.trials)} trials: {found}"
        )
    return f"the budget of {mixed.budget} is met: {found}; {_sureness(mixed)}"


def mixed_table(mixed: MixedPrecision) -> str:
    """Return all trials as a table, the chosen one marked, and how the ending is to be read."""
    head = f"{'':2}{'in float':>8}  {'of the work':>11}  {'drop':>9}  {'lost':>5}  {'won':>5}  {'bytes':>12}"
    rows = [
        f"{'> ' if index == mixed.chosen else '  '}{len(trial.floats):>8}  {trial.float_share:>11.1%}  "
        f"{trial.drop * 100:>6.2f} pp  {trial.lost:>5}  {trial.won:>5}  {trial.size_bytes:>12,}"
        for index, trial in enumerate(mixed.trials)
    ]
    kept = ", ".join(mixed.trial.floats) or "none"
    return "\n".join([head, *rows, f"layers in float: {kept}", mixed_note(mixed)])


def trial_text(trial: MixedTrial) -> str:
    """Return one trial in words."""
    return f"{_layers(trial)}, drop {trial.drop * 100:.2f} pp"


def mixed_steps(mixed: MixedPrecision | None) -> tuple[str, ...]:
    """Return what a manifest's steps say of it; nothing where no budget was set."""
    if mixed is None:
        return ()
    return (f"chosen for a drop of at most {mixed.budget}: {trial_text(mixed.trial)}",)


def _sureness(mixed: MixedPrecision) -> str:
    from edgebench.benchmark.planning import pairs_to_settle

    upper, trial = upper_drop(mixed), mixed.trial
    over = f" over {len(mixed.trials)} trials" if len(mixed.trials) > 1 else ""
    percent = f"with {CONFIDENCE:.0%} confidence{over}"
    if upper <= mixed.allowed:
        return f"{percent} the drop is at most {upper * 100:.2f} pp"
    needed = pairs_to_settle(trial.lost, trial.won, trial.samples, mixed.allowed, _shared(mixed))
    more = f"; about {needed - trial.samples:,} more labels would settle it" if needed else ""
    return f"not proven: {percent} the drop may be up to {upper * 100:.2f} pp{more}"


def _shared(mixed: MixedPrecision) -> float:
    return 1 - (1 - CONFIDENCE) / len(mixed.trials)


def _layers(trial: MixedTrial) -> str:
    if not trial.floats:
        return "all layers in int8"
    several = "layers" if len(trial.floats) > 1 else "layer"
    return f"{len(trial.floats)} {several} in float ({trial.float_share:.1%} of the multiplications)"


def _named(trial: MixedTrial) -> str:
    """Return the first layers in float by name, ready to stand before the trial; nothing without any."""
    if not trial.floats:
        return ""
    short = [name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}" for name in trial.floats]
    more = len(short) - _NAMED
    return ", ".join(short[:_NAMED]) + (f" and {more} more: " if more > 0 else ": ")
