"""The metric that a run is asked for: one of ours by its name, or a function of the user's."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.benchmark.evidence import Answers, MetricRecord
from edgebench.benchmark.metric_draws import Draws, draw_metric
from edgebench.benchmark.metrics import METRICS, Array, user_metric
from edgebench.datasets import Labels
from edgebench.errors import ConfigError, EdgebenchError, InputError
from edgebench.storage import sha256_bytes, sha256_path
from edgebench.user_code import failure_place, is_function_spec, load_function, source_path

if TYPE_CHECKING:
    from edgebench.datasets import Dataset

RESAMPLES = 1000
"""Of a user's metric, which may be slow: each is a call."""

MORE, LESS = "more", "less"
_SEED = 0


def choose_metric(
    name: str | None,
    better: str | None = None,
    *,
    base: Path | None = None,
    options: tuple[str, str] = ("--metric", "--metric-better"),
) -> MetricRecord | None:
    """Return what the evidence says of a metric; None for None. A user's function is imported to see it.

    better: `more` or `less`, which a user's metric is better with. base: what a file's path is relative to.
    options: what name and direction are called where they were given.
    Raises ConfigError for a name that is no metric, InputError for a function that is not there.
    """
    option, direction = options
    if name is None:
        if better is not None:
            raise ConfigError(f"{direction} goes with {option}")
        return None
    if better not in {None, MORE, LESS}:
        raise ConfigError(f"{direction} {better!r} is not known", hint="more or less")
    if name in METRICS:
        known = METRICS[name]
        if better is not None and (better == MORE) != known.more_is_better:
            raise ConfigError(f"{direction} {better}: of {name} {LESS if better == MORE else MORE} is better")
        return MetricRecord(name, more_is_better=known.more_is_better)
    if not is_function_spec(name):
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(METRICS)}, or file.py:function"
        raise ConfigError(f"{option} {name!r} is no metric", hint=hint)
    function = load_function(name, base=base)
    return MetricRecord(name, _source_sha256(function, name, base), more_is_better=better != LESS)


def labels_for(metric: MetricRecord | None) -> Labels:
    """Return how labels are read for a metric: a user's may be of classes, or of numbers."""
    if metric is None:
        return Labels.NAMED
    known = METRICS.get(metric.name)
    if known is None:
        return Labels.TYPED
    return Labels.NUMBERS if known.of_numbers else Labels.NAMED


def check_metric(metric: MetricRecord | None, data: Dataset | None) -> None:
    """Raise ConfigError where the data has not the kind of labels that the metric is of."""
    if metric is None:
        return
    if data is None or not data.is_labelled:
        raise ConfigError(f"the metric {metric.name} needs labelled data", hint="name it with --data")
    of_numbers = METRICS[metric.name].of_numbers if metric.name in METRICS else None
    if of_numbers is False and data.labels is None:
        raise ConfigError(f"the metric {metric.name} is of classes, and {data.spec} has numbers as labels")


def user_draws(metric: MetricRecord | None, answers: Answers, base: Path | None) -> Draws | None:
    """Return a user's metric on resamples of the answers; None for one of ours, computed when it is asked.

    Raises InputError, with the function's file and line, where it fails or gives no finite number.
    """
    if metric is None or not metric.sha256:
        return None
    function = _guarded(load_function(metric.name, base=base), metric.name)
    made = user_metric(metric.name, function, more_is_better=metric.more_is_better)
    draws = draw_metric(made, answers.logits, answers.truth, _SEED, resamples=RESAMPLES)
    if not math.isfinite(draws.value):
        raise InputError(f"the metric {metric.name} gives {draws.value} on all samples", hint=_FORM)
    return draws


_FORM = "it takes outputs [N, C] and labels [N], and returns a number"


def _guarded(function: Callable[..., Any], name: str) -> Callable[[Array, Array], float]:
    def called(outputs: Array, labels: Array) -> float:
        try:
            return float(function(outputs, labels))
        except EdgebenchError:
            raise
        except (Exception, SystemExit) as err:  # whatever the user's function raises
            raise InputError(f"the metric {name} failed: {failure_place(err)}", hint=_FORM) from err

    return called


def _source_sha256(function: Callable[..., Any], name: str, base: Path | None) -> str:
    """Return the SHA-256 of a function's source, or of the file that holds it."""
    try:
        return sha256_bytes(inspect.getsource(function).encode())
    except (OSError, TypeError):  # a class's instance, or a function made at run time
        path = source_path(name, base=base)
        return sha256_path(path) if path else sha256_bytes(name.encode())
