"""The compression part of a pipeline: train or distil, prune, fine-tune, each a cached step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebench.pipeline_file import DistilConfig, Pipeline, PruneConfig
from edgebench.progress import Progress
from edgebench.step_cache import cached_step
from edgebench.step_content import tool_sha256
from edgebench.storage import sha256_path, to_plain, write_json

WEIGHTS = "weights.safetensors"


@dataclass(slots=True)
class Compression:
    """The steps of one pipeline, in order; remembers the weights so far and what was done.

    base: where the pipeline's relative paths start. models_sha256: of the models it names. data_sha256: the
    training data's fingerprint.
    """

    pipeline: Pipeline
    base: Path
    models_sha256: Mapping[str, str]
    data_sha256: str | None
    fresh: bool
    progress: Progress
    weights: Path | None = None
    steps: tuple[str, ...] = field(default=())

    def run(self) -> tuple[Path, tuple[str, ...]] | None:
        """Return the last step's weights and what was done in words; None where nothing was asked for."""
        given, compress = self.pipeline.model.weights, self.pipeline.compress
        self.weights = self.base / given if given else None
        if compress.train is not None:
            record = self._step("train", epochs=compress.train.epochs)
            self._note("trained", record)
        if compress.distil is not None:
            self._distil(compress.distil)
        if compress.prune is not None:
            self._prune(compress.prune)
        return (self.weights, self.steps) if self.weights is not None and self.steps else None

    def _distil(self, config: DistilConfig) -> None:
        given = config.teacher.weights
        teacher = self.base / given if given else self._teacher(config)
        record = self._step(
            "distil",
            epochs=config.epochs,
            temperature=config.temperature,
            alpha=config.alpha,
            teacher=config.teacher.model,
            teacher_weights=teacher,
        )
        self._note(f"distilled from {config.teacher.model}", record)

    def _teacher(self, config: DistilConfig) -> Path:
        job = {"model": config.teacher.model, "epochs": config.teacher.epochs}
        return self._run("train", "train the teacher", job, None) / WEIGHTS

    def _prune(self, config: PruneConfig) -> None:
        record = self._step("prune", sparsity=config.sparsity)
        self._note(f"pruned to {100 * record['sparsity']:.1f} % zeros", {})
        if config.finetune_epochs:
            record = self._step("finetune", epochs=config.finetune_epochs)
            self._note("fine-tuned with zeros kept", record)

    def _step(self, function: str, **settings: Any) -> Mapping[str, Any]:
        job = {"model": self.pipeline.model.model, **settings}
        folder = self._run(function, function, job, self.weights)
        self.weights = folder / WEIGHTS
        record: Mapping[str, Any] = json.loads((folder / "record.json").read_bytes())
        return record

    def _run(self, function: str, what: str, job: dict[str, Any], weights: Path | None) -> Path:
        from edgebench.exporters.worker import run_worker

        data = self.pipeline.data
        arguments = {
            **job,
            "weights": weights,
            "data": data.train,
            "preprocessing": to_plain(data.preprocessing),
            "seed": self.pipeline.seed,
        }

        def make(folder: Path) -> None:
            placed = {**arguments, "base": self.base, "out": folder / WEIGHTS}
            plain = {name: str(v) if isinstance(v, Path) else v for name, v in placed.items()}
            record = run_worker(f"edgebench.compression.steps:{function}", plain, what=what)
            write_json(folder / "record.json", record)

        key = {"function": function, "tool_sha256": tool_sha256(), **self._content(arguments)}
        return cached_step(what, key, make, fresh=self.fresh, progress=self.progress)

    def _content(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments with files as hashes, so that the key follows content and not place."""
        content = {name: sha256_path(v) if isinstance(v, Path) else v for name, v in arguments.items()}
        for name in ("model", "teacher"):
            if name in arguments:
                content[f"{name}_sha256"] = self.models_sha256[arguments[name]]
        return {**content, "data_sha256": self.data_sha256}

    def _note(self, what: str, record: Mapping[str, Any]) -> None:
        accuracy = f", {100 * record['accuracy']:.1f} % on the training data" if "accuracy" in record else ""
        epochs = f" for {record['epochs']} epochs" if "epochs" in record else ""
        self.steps = (*self.steps, f"{what}{epochs}{accuracy}")
