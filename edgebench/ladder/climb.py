"""Climb down the ladder: the same samples through the source and through every file made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Artifact
from edgebench.calibration.target import Target, local_target
from edgebench.datasets import Dataset, Preprocessing, preprocess
from edgebench.errors import EdgebenchError, InputError, MeasurementError
from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.inspect import format_of
from edgebench.exporters.source import Source
from edgebench.exporters.worker import run_worker
from edgebench.ladder.answers import read_answers
from edgebench.ladder.blame import Findings, blame
from edgebench.ladder.files import adopted, converted, declares, fp32_beside
from edgebench.ladder.preprocessing import fit_input, hypotheses
from edgebench.ladder.record import Anatomy, Hypothesis, Ladder, RangeFit, Step
from edgebench.ladder.rungs import Answered, gain_p_value, rungs, top1
from edgebench.ladder.target import target_answers
from edgebench.progress import Progress, silent
from edgebench.storage import from_plain, scratch_folder, storage_errors, to_plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

LAYER_SAMPLES = 32
"""Samples that the layers are compared on; the activations of one are in memory at a time."""


@dataclass(frozen=True, slots=True)
class LadderRequest:
    """What to compare. quantized, fp32: files made of the source; fp32 None: found beside, or made now.

    preprocessing: what the source takes; None for what the fp32 file's manifest says, else the
    quantized one's. samples: how many of the data at most. device: where the last rung runs.
    """

    source: Source
    quantized: Path
    data: Dataset
    fp32: Path | None = None
    preprocessing: Preprocessing | None = None
    samples: int = 200
    device: str = "local:cpu"


def climb(request: LadderRequest, *, progress: Progress = silent) -> Ladder:
    """Return every rung's figures, the layers, and what is to blame.

    Raises InputError for files or data that do not fit, ModelError where the source or a file cannot be
    run at all. A target that cannot run the artifact is a rung with a problem.
    """
    with scratch_folder() as folder:
        return _Climb(request, folder, progress).ladder()


@dataclass(slots=True)
class _Climb:
    """One ladder under way. folder: for what is thrown away afterwards."""

    request: LadderRequest
    folder: Path
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def ladder(self) -> Ladder:
        """Compute the rungs from the top down, look into the files, and judge."""
        request = self.request
        artifact = adopted(request.quantized, self.notes)
        fp32 = request.fp32 or fp32_beside(request.quantized, artifact, self.notes)
        steps = request.preprocessing
        if steps is None:
            told = fp32 is not None and declares(fp32)
            steps = adopted(fp32, self.notes).preprocessing if fp32 and told else artifact.preprocessing
        chosen = _chosen(request.data, request.samples)
        inputs = preprocess(request.data, steps, chosen)
        samples = self._write("samples", inputs)
        others = hypotheses(steps, request.data, chosen)
        tries = {words: preprocess(request.data, other, chosen) for words, other in others.items()}
        labels = request.data.labels[chosen] if request.data.labels is not None else None
        framework, tried = self._framework(samples, tries if labels is not None else {})
        answered = [framework, *self._artifacts(artifact, fp32, samples, inputs)]
        answered += self._as_declared(artifact, steps, chosen)
        anatomy = self._anatomy(artifact, fp32, inputs)
        fit = _fit(anatomy, inputs, tries)
        found = Findings(
            rungs=rungs(answered, labels, request.data.spec),
            anatomy=anatomy,
            hypotheses=_judged(tried, framework, others, labels),
            input_fit=fit,
            declared=_difference(artifact.preprocessing, steps) if declares(request.quantized) else None,
            saturates=local_target() is Target.X86_AVX2,
        )
        self._tell_what_is_missing(labels)
        return Ladder(
            model=request.source.model,
            artifact=request.quantized.name,
            data=request.data.spec,
            samples=len(chosen),
            rungs=found.rungs,
            blame=blame(found),
            layers=anatomy.layers,
            layer_samples=min(LAYER_SAMPLES, len(chosen)),
            hypotheses=found.hypotheses,
            input_fit=fit,
            mismatches=anatomy.mismatches,
            notes=(*self.notes, *anatomy.notes),
        )

    def _write(self, name: str, arrays: Sequence[Array]) -> Path:
        path = self.folder / f"{name}.npz"
        with storage_errors(path):
            np.savez(path, **{f"in_{index}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
        return path

    def _framework(
        self, samples: Path, tries: dict[str, tuple[Array, ...]]
    ) -> tuple[Answered, dict[str, list[NDArray[np.float32]]]]:
        """Return the source's own answers, and those to the samples prepared in other ways."""
        self.progress("framework fp32")
        files = [samples, *(self._write(f"try_{i}", arrays) for i, arrays in enumerate(tries.values()))]
        source = self.request.source
        plain = self._work(
            "answers:source", f"running {source.model}", source=source, samples=files, out="source"
        )
        first, *rest = [read_answers(Path(path)) for path in plain["answers"]]
        return Answered(Step.FRAMEWORK, plain["runtime"], first), dict(zip(tries, rest, strict=True))

    def _artifacts(
        self, artifact: Artifact, fp32: Path | None, samples: Path, inputs: Sequence[Array]
    ) -> list[Answered]:
        answered = []
        if fp32 is None:
            job = ConversionJob(source=self.request.source, out=self._made(), samples=samples)
            fp32 = converted(job, artifact.format, self.notes, self.progress)
        if fp32 is not None:
            answered.append(self._on_host(Step.EXPORTED, fp32, samples))
        answered.append(self._on_host(Step.QUANTIZED, self.request.quantized, samples))
        return answered + self._on_target(Step.TARGET, artifact, inputs)

    def _made(self) -> Path:
        """Return where the fp32 file lies where it is made now."""
        return self.folder / f"made{self.request.quantized.suffix}"

    def _on_host(self, step: Step, path: Path, samples: Path) -> Answered:
        self.progress(step.value)
        plain = self._work(
            "answers:artifact",
            f"running {path.name}",
            path=path.resolve(),
            format=format_of(path).value,
            samples=samples,
            out=f"{step.name}.npz",
            reference=step is Step.QUANTIZED,
        )
        return Answered(step, plain["runtime"], read_answers(Path(plain["answers"])))

    def _on_target(self, step: Step, artifact: Artifact, inputs: Sequence[Array]) -> list[Answered]:
        self.progress(step.value)
        path, device = self.request.quantized.resolve(), self.request.device
        try:
            runtime, answers = target_answers(artifact, path, inputs, device=device, folder=self.folder)
        except MeasurementError as err:
            self.notes.append(f"{step}: {err.message}")
            return []
        return [Answered(step, runtime, answers)]

    def _as_declared(self, artifact: Artifact, steps: Preprocessing, chosen: list[int]) -> list[Answered]:
        if artifact.preprocessing == steps:
            return []
        if not declares(self.request.quantized):
            self.notes.append(f"{artifact.id} has no manifest: it declares no preprocessing of its own")
            return []
        try:
            inputs = preprocess(self.request.data, artifact.preprocessing, chosen)
            return self._on_target(Step.DECLARED, artifact, inputs)
        except InputError as err:
            self.notes.append(f"{artifact.id}: the preprocessing of its manifest does not fit: {err.message}")
            return []

    def _anatomy(self, artifact: Artifact, fp32: Path | None, inputs: Sequence[Array]) -> Anatomy:
        """Return what the files show; an artifact that cannot be taken apart is a note."""
        self.progress("layers")
        beside = fp32 or (self._made() if self._made().exists() else None)
        if beside is not None and format_of(beside) is not artifact.format:
            self.notes.append(f"{beside.name} is of another format: layers are compared within one format")
            beside = None
        few = self._write("few", [array[:LAYER_SAMPLES] for array in inputs])
        try:
            plain = self._work(
                "stages:anatomy",
                f"comparing the layers of {self.request.quantized.name}",
                path=self.request.quantized.resolve(),
                fp32=beside.resolve() if beside else None,
                format=artifact.format.value,
                samples=few,
            )
        except EdgebenchError as err:
            self.notes.append(f"the layers cannot be compared: {err.message}")
            return Anatomy()
        return from_plain(Anatomy, plain, what="layers")

    def _work(self, function: str, what: str, **arguments: Any) -> Any:
        """Return what a function of the ladder gives in a worker; `out` lies in the scratch folder."""
        if "out" in arguments:
            arguments["out"] = self.folder / arguments["out"]
        return run_worker(f"edgebench.ladder.{function}", to_plain(arguments), what=what)

    def _tell_what_is_missing(self, labels: Any) -> None:
        if labels is None:
            self.notes.append(
                f"{self.request.data.spec} has no labels: no accuracy, and no preprocessing tried"
            )


def _chosen(data: Dataset, most: int) -> list[int]:
    """Return at most so many of the data's indices, spread by chance, the same each time."""
    return sorted(np.random.default_rng(0).permutation(len(data))[:most].tolist())


def _fit(anatomy: Anatomy, inputs: Sequence[Array], tries: dict[str, tuple[Array, ...]]) -> RangeFit | None:
    if anatomy.input_range is None or inputs[0].dtype.kind != "f":
        return None
    tensor, low, high = anatomy.input_range
    return fit_input(tensor, (low, high), inputs[0], {words: arrays[0] for words, arrays in tries.items()})


def _judged(
    tried: dict[str, list[NDArray[np.float32]]], framework: Answered, others: Any, labels: Any
) -> tuple[Hypothesis, ...]:
    """Return the preprocessings that were tried, the best first."""
    found = []
    for words, answers in tried.items():
        share = top1(answers, labels)
        if share is not None:
            chance = gain_p_value(answers, framework.answers, labels)
            found.append(Hypothesis(words, others[words], share, chance))
    return tuple(sorted(found, key=lambda h: -h.accuracy))


def _difference(declared: Preprocessing, steps: Preprocessing) -> str | None:
    """Return in words where two preprocessings differ; None where they do not."""
    first, second = to_plain(declared), to_plain(steps)
    parts = [f"{key} {first[key]} instead of {second[key]}" for key in first if first[key] != second[key]]
    return f"the manifest declares {', '.join(parts)}" if parts else None
