"""Two models on the same samples: what one loses against the other, with bounds that hold.

Whether the share of right answers differs, by counts (exact McNemar); what any other metric loses, by the
bootstrap over samples, both models resampled together. The bounds of a drop are in `statistics`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.benchmark.distributions import incomplete_beta
from edgebench.benchmark.metric_draws import RESAMPLES, draw_bounds, draw_metric, loss_draws
from edgebench.benchmark.metrics import Array, Metric
from edgebench.benchmark.statistics import Bounds


def mcnemar(b: int, c: int) -> float:
    """Return the exact two-sided p-value of McNemar's test that both models are right equally often.

    b: pairs where only the first was right. c: pairs where only the second was. The sign test on the
    pairs that differ.
    """
    if b == c:
        return 1.0
    more, n = max(b, c), b + c
    return min(1.0, 2 * incomplete_beta(more, n - more + 1, 0.5))


@dataclass(frozen=True, slots=True)
class MetricLoss:
    """A metric of two models on the same samples, and what the second loses against the first.

    loss: positive where the candidate is worse, whether more or less of the metric is better. bounds: of
    the loss, each by itself at the confidence asked for, as `draw_bounds` gives them.
    """

    baseline: float
    candidate: float
    loss: float
    bounds: Bounds


def metric_loss(  # noqa: PLR0917 - two models, their samples, how sure
    metric: Metric,
    baseline: Array,
    candidate: Array,
    labels: Array,
    confidence: float,
    seed: int,
    *,
    resamples: int = RESAMPLES,
) -> MetricLoss:
    """Return the metric of both models, and bounds of its loss by the paired bootstrap.

    baseline, candidate: outputs [N, …] of the same samples. labels: [N, …]. The bounds are those of
    `draw_bounds`; the same seed gives the same ones.
    """
    first, second = (
        draw_metric(metric, outputs, labels, seed, resamples=resamples) for outputs in (baseline, candidate)
    )
    lost = loss_draws(first, second, more_is_better=metric.more_is_better)
    return MetricLoss(first.value, second.value, lost.value, draw_bounds(lost, len(labels), confidence))
