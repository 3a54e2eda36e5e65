"""One artifact at a time: a session's timings, the answers to all samples, measured or kept from before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Artifact
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import RUNTIMES, AgentHost, AgentResult
from edgebench.benchmark.evidence import (
    AccuracyRecord,
    Answers,
    DeviceFacts,
    Session,
    Timing,
)
from edgebench.benchmark.inputs import (
    LARGEST_BATCH,
    calls,
    grouping,
    logits,
    numbers,
    random_tensors,
    sample_tensors,
)
from edgebench.benchmark.metric_choice import user_draws
from edgebench.benchmark.programs import AGENT
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.watch import Watch
from edgebench.errors import MeasurementError
from edgebench.progress import Progress
from edgebench.storage import encode_json, sha256_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.datasets import Dataset

LATENCY_SAMPLES = 16
"""Different inputs that the timed calls rotate over, so that no cache or branch learns one by heart."""

CHUNK_BYTES = 256 << 20
"""Inputs of the accuracy pass that lie on disk at a time."""

KEPT_BYTES = 1 << 30
"""All inputs of the accuracy pass that a device keeps for other artifacts; more than that pass through it."""

_ANSWER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Measurer:
    """Runs the agent on a device for the artifacts of one request.

    count, in its methods: how many of such steps are done, and of how many; for the progress.
    """

    request: BenchmarkRequest
    host: AgentHost
    facts: DeviceFacts
    cores: tuple[int, ...]
    progress: Progress
    watch: Watch

    def tensors(self, artifact: Artifact, count: int) -> tuple[NDArray[np.generic], ...]:
        """Return samples for timed calls, at most `count`: drawn from the data, or else random."""
        data = self.request.data
        if data is None:
            return random_tensors(artifact, count, self.request.seed)
        chosen = np.random.default_rng(self.request.seed).permutation(len(data))[:count]
        return sample_tensors(artifact, data, [int(i) for i in chosen])

    # --- accuracy -------------------------------------------------------------------------------

    def accuracy(self, artifact: Artifact, model: Path, *, count: tuple[int, int]) -> AccuracyRecord:
        """Return the record of the answers to all samples, asked now or kept. Raises MeasurementError."""
        request, data = self.request, self.request.data
        if data is None or not data.is_labelled:
            raise MeasurementError("there are no labels to hold the answers against")
        relative = f"outputs/{files.file_stem(artifact.id)}.npz"
        job = self.job_hash(artifact, {"mode": "accuracy", "data": data.fingerprint, **self._told(data)})
        known = files.read_accuracy(request.out / relative, job)
        self.tell(f"accuracy of {artifact.id}", count, kept=known is not None)
        if known is not None:
            return known
        scores = self._answers(artifact, model, data)
        record = AccuracyRecord(
            data=data.spec,
            fingerprint=data.fingerprint,
            samples=len(scores),
            classes=0 if data.labels is None else scores.shape[1],
            outputs=relative,
            class_names=data.class_names,
            metric=request.metric,
        )
        labels = np.zeros(0, np.int64) if data.labels is None else data.labels
        answers = Answers(scores, labels, data.targets, data.columns)
        answers = replace(answers, draws=user_draws(request.metric, answers, request.metric_base))
        files.write_answers(request.out, record, answers, job)
        return record

    def _told(self, data: Dataset) -> dict[str, Any]:
        """Return what else the file of the answers holds, where there is any."""
        columns = {
            name: sha256_bytes("\0".join(column.tolist()).encode()) for name, column in data.columns.items()
        }
        told = {"metric": self.request.metric, "columns": columns}
        return {name: value for name, value in told.items() if value}

    def _answers(self, artifact: Artifact, model: Path, data: Dataset) -> NDArray[np.float32]:
        group = grouping(artifact, data, largest=min(LARGEST_BATCH, len(data)))
        one = sum(tensor.nbytes for tensor in sample_tensors(artifact, data, [0]))
        step = max(CHUNK_BYTES // max(one, 1) // group.batch, 1) * group.batch
        place = self.host.send_array if one * len(data) <= KEPT_BYTES else self.host.pass_array
        parts = []
        for start in range(0, len(data), step):
            chosen = range(start, min(start + step, len(data)))
            columns = calls(sample_tensors(artifact, data, chosen), group)
            job = {**self.subject(artifact, model, columns, place, prefix=""), "mode": "accuracy"}
            result = self.host.run(job, "accuracy", timeout_s=_ANSWER_S)
            if "output_0" not in result.arrays:
                raise MeasurementError("the model gave no output")
            parts.append(
                (logits if data.targets is None else numbers)(
                    result.arrays["output_0"], len(chosen), group, artifact.outputs[0], artifact.id
                )
            )
        scores = np.concatenate(parts)
        wrong = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
        if wrong:
            raise MeasurementError(f"answered {wrong} of {len(scores)} samples with NaN or Inf")
        return scores

    # --- both -----------------------------------------------------------------------------------

    def job_hash(self, artifact: Artifact, settings: dict[str, Any]) -> str:
        """Return a hash of all that a result depends on; an equal one need not be measured again."""
        asked = {
            "threads": self.request.threads,
            **settings,
            "model": artifact.sha256,
            "preprocessing": artifact.preprocessing,
            "inputs": artifact.inputs,
            **self._machine(),
        }
        return sha256_bytes(encode_json(asked))

    def machine_hash(self) -> str:
        """Return a hash of what every result depends on, whatever is asked."""
        return sha256_bytes(encode_json(self._machine()))

    def _machine(self) -> dict[str, Any]:
        return {
            "device": self.facts,
            "packages": dict(self.host.packages),
            "agent": self.host.agent_sha256,
            "cores": self.cores,
        }

    def ask(
        self,
        artifact: Artifact,
        model: Path,
        settings: dict[str, Any],
        columns: Sequence[NDArray[np.generic]],
        *,
        timeout_s: float,
        program: str = AGENT.name,
    ) -> AgentResult:
        """Return what a job gave: one fresh process with the model. Raises MeasurementError.

        settings: of the mode, the mode among them. columns: one array per input, [rows, *shape of one call].
        program: the agent's file that knows the mode.
        """
        job = {**self.subject(artifact, model, columns, self.host.send_array, prefix=""), **settings}
        return self.host.run(job, settings["mode"], timeout_s=timeout_s, program=program)

    def subject(
        self,
        artifact: Artifact,
        model: Path,
        columns: Sequence[NDArray[np.generic]],
        place: Callable[[NDArray[np.generic], str], str],
        *,
        prefix: str,
    ) -> dict[str, Any]:
        """Return what an agent's job says of the model, its inputs and its process; the files are sent.

        place: gives the device an array by a name, and returns its path there. prefix: of the inputs' names
        there. Raises MeasurementError where no runtime is for it.
        """
        if artifact.format not in RUNTIMES:
            raise MeasurementError(f"{self.facts.uri} has no runtime for {artifact.format}")
        names = [f"{prefix}input_{i}.npy" for i in range(len(columns))]
        return {
            "threads": self.request.threads,
            "runtime": RUNTIMES[artifact.format],
            "model": self.host.send(model, files.file_stem(artifact.id)),
            "inputs": [place(array, name) for array, name in zip(columns, names, strict=True)],
            "input_names": [spec.name for spec in artifact.inputs],
            "affinity": list(self.cores) or None,
        }

    def tell(self, what: str, count: tuple[int, int], *, kept: bool) -> None:
        """Report what is done now, or kept from before. count: how many are done, and of how many."""
        done, total = count
        ending = ": kept from before" if kept else ""
        self.progress(f"{what}{ending}", done=done, total=total)


def as_session(
    result: AgentResult, *, index: int, started: str, samples: str, batch: int, artifact: Artifact
) -> Session:
    """Return the record of one artifact's session. Raises MeasurementError where it lacks something."""
    meta = result.meta
    try:
        return Session(
            index=index,
            started_utc=started,
            load_ns=int(meta["load_ns"]),
            first_ns=int(meta["first_ns"]),
            peak_rss_bytes=int(meta["peak_rss_bytes"] or 0),
            model_rss_bytes=meta["model_rss_bytes"],
            steady_rss_bytes=meta["steady_rss_bytes"],
            calls=result.arrays["latency_ns"].size,
            warmup_calls=result.arrays["warmup_ns"].size,
            samples=samples,
            coverage=str(meta["coverage"]),
            ended_by=str(meta["ended_by"]),
            wait_share=meta["wait_share"],
            steal_share=meta["steal_share"],
            before=result.before,
            after=result.after,
            collected=result.earlier,
            cpu_s=meta["cpu_s"],
            timing=timing_of(result, artifact, batch),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise MeasurementError(f"the agent's result lacks what it should tell: {err!r}") from err


def timing_of(result: AgentResult, artifact: Artifact, batch: int) -> Timing:
    """Return what an agent's result says of what was timed. Raises KeyError where it does not say it."""
    meta = result.meta
    native: dict[str, Any] = {key: str(meta[key]) for key in ("process", "clock") if key in meta}
    return Timing(
        runtime=RUNTIMES[artifact.format],
        runtime_version=str(meta["runtime_version"]),
        provider=str(meta["provider"]),
        batch=batch,
        threads=int(meta["threads"]),
        affinity=tuple(meta["affinity"]),
        timed=str(meta["timed"]),
        **native,
    )
