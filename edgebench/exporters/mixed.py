"""Mixed precision: the cheapest layers to keep in float so that a w8a8 file holds an accuracy budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgebench.artifact import Format, MixedPrecision, MixedTrial
from edgebench.exporters.mixed_budget import Budget, MixedSettings
from edgebench.exporters.mixed_data import HeldBack
from edgebench.exporters.mixed_graph import LayerGraph
from edgebench.exporters.mixed_search import RankedLayer, search
from edgebench.exporters.mixed_text import trial_text
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.worker import run_worker
from edgebench.progress import Progress
from edgebench.storage import from_plain, to_plain

NOISE_SAMPLES = 32
"""Calibration samples that the layers' noise is measured on: enough to tell layers apart."""
_AT_ONCE = 8
"""Layers whose noise one worker process measures, so that progress is seen."""
_STAGES = "edgebench.exporters.mixed_stages:"


@dataclass(frozen=True, slots=True)
class Assignment:
    """floats: what the quantizer leaves in float. record: how that was found."""

    floats: tuple[str, ...]
    record: MixedPrecision


def assign(
    fmt: Format,
    job: QuantizationJob,
    held: HeldBack,
    settings: MixedSettings,
    progress: Progress,
) -> Assignment:
    """Return the layers of `job.base` to keep in float, chosen on the held-back samples.

    job: the quantization with all in int8, its ranges and its samples. Raises DataError where the model is
    no classifier of the labels, ExportError where a trial fails.
    """
    return _Assigning(fmt, replace(job, out=job.out.with_name(f"trial-{job.out.name}")), held, progress).run(
        settings
    )


@dataclass(slots=True)
class _Assigning:
    """One search under way. job: writes the trials' file, over and over."""

    fmt: Format
    job: QuantizationJob
    held: HeldBack
    progress: Progress
    graph: LayerGraph = field(init=False)
    budget: Budget = field(init=False)
    count: int = 0

    def run(self, settings: MixedSettings) -> Assignment:
        """Return the assignment with its record."""
        self.budget = settings.budget
        plain = self._work("reference", "running", job=to_plain(self.job), out=str(self._reference))
        self.graph, right = from_plain(LayerGraph, plain["graph"], what="graph"), int(plain["right"])
        allowed = settings.budget.allowed(right / len(self.held.numbers))
        found = search(self._ranked, self._measure, allowed=allowed, most_share=settings.most_share)
        self.job.out.unlink(missing_ok=True)
        record = MixedPrecision(
            budget=str(settings.budget),
            allowed=allowed,
            held=found.held,
            chosen=found.trials.index(found.best),
            trials=found.trials,
            most_float_share=settings.most_share,
            data=self.held.data.spec,
            fingerprint=self.held.data.fingerprint,
            right=right,
        )
        return Assignment(self.graph.floats(found.best.floats), record)

    def _measure(self, layers: tuple[str, ...]) -> MixedTrial:
        self.count += 1
        job = replace(self.job, floats=self.graph.floats(layers))
        plain = self._work("trial", "quantizing", job=to_plain(job), reference=str(self._reference))
        trial = MixedTrial(floats=layers, float_share=self.graph.share(layers), **plain)
        self.progress(f"{self.fmt} w8a8: trial {self.count}: {trial_text(trial)}; budget {self.budget}")
        return trial

    def _ranked(self) -> Sequence[RankedLayer]:
        """Return the layers with the noise that each adds when it alone is int8."""
        layers, ranked = self.graph.layers, list[RankedLayer]()
        for start in range(0, len(layers), _AT_ONCE):
            part = layers[start : start + _AT_ONCE]
            self.progress(f"{self.fmt} w8a8: noise of each layer", done=start, total=len(layers))
            floats = [self.graph.floats([other for other in layers if other != layer]) for layer in part]
            found = self._work(
                "noise",
                "quantizing layers of",
                job=to_plain(self.job),
                floats=floats,
                samples=str(self.job.samples or self.held.write()),
                count=NOISE_SAMPLES,
            )
            ranked += [
                RankedLayer(layer, self.graph.share([layer]), noise)
                for layer, noise in zip(part, found, strict=True)
            ]
        return ranked

    @property
    def _reference(self) -> Path:
        """The file of which held-back samples the fp32 file answers rightly."""
        return self.job.out.with_suffix(".reference.npy")

    def _work(self, stage: str, doing: str, **arguments: Any) -> Any:
        common = {
            "format": self.fmt.value,
            "samples": str(self.held.write()),
            "labels": str(self.held.labels),
        }
        return run_worker(_STAGES + stage, {**common, **arguments}, what=f"{doing} {self.job.base.name}")
