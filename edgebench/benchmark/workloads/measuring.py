"""One fresh process for each run beyond single calls, measured now or kept from before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edgebench.artifact import Artifact
from edgebench.benchmark import evidence_files as files
from edgebench.benchmark.agent_run import AgentResult
from edgebench.benchmark.inputs import Grouping, calls, grouping
from edgebench.benchmark.measuring import LATENCY_SAMPLES, Measurer, timing_of
from edgebench.benchmark.raw_files import read_record, write_raw
from edgebench.benchmark.workloads.asked import WorkloadsAsked
from edgebench.benchmark.workloads.metering import Meters
from edgebench.benchmark.workloads.records import Energy, Process
from edgebench.errors import MeasurementError
from edgebench.storage import sha256_path

if TYPE_CHECKING:
    from edgebench.benchmark.raw_files import Columns

AGENT_WORKLOADS = Path(__file__).parents[1] / "agent_workloads.py"
AGENT_LITERT = AGENT_WORKLOADS.with_name("agent_litert.py")
_SLACK_S = 300.0
_WARMUP_S = 0.25

Run = TypeVar("Run")
Told = Callable[[Process, AgentResult, str], "tuple[Run, Columns]"]
"""Makes a run's record and columns from its process, what the agent gave, and the file's name."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One artifact on one device, and what is asked of it."""

    measurer: Measurer
    asked: WorkloadsAsked
    artifact: Artifact
    model: Path
    meters: Meters

    def grouping(self, batch: int) -> Grouping:
        """Return how the model takes `batch` samples a call; of another size where it leaves no choice."""
        return grouping(self.artifact, self.measurer.request.data, largest=batch)

    def run(
        self,
        name: str,
        kind: type[Run],
        settings: dict[str, Any],
        told: Told[Run],
        *,
        batch: int = 1,
        lasts_s: float = 0.0,
    ) -> Run:
        """Return a run's record, measured now or kept. Raises MeasurementError.

        name: of the file, behind the artifact's. settings: of the agent's job. lasts_s: about how long.
        """
        measurer, request = self.measurer, self.measurer.request
        relative = f"samples/{files.file_stem(self.artifact.id)}.{name}.parquet"
        group = self.grouping(batch)
        settings = {
            "warmup_s": _WARMUP_S,
            "min_warmup_calls": request.min_warmup_calls,
            "program": [sha256_path(path) for path in (AGENT_WORKLOADS, AGENT_LITERT)],
            **settings,
        }
        asked = {**settings, "batch": group.batch, "name": name}
        data = request.data.fingerprint if request.data else "random"
        job = measurer.job_hash(self.artifact, {**asked, "data": data, "seed": request.seed})
        known = read_record(request.out / relative, kind, job=job)
        ending = ": kept from before" if known is not None else ""
        measurer.progress(f"{name.replace('.', ' ')} of {self.artifact.id}{ending}")
        if known is not None:
            return known
        started = datetime.now(UTC).isoformat(timespec="seconds")
        columns = calls(measurer.tensors(self.artifact, LATENCY_SAMPLES * group.batch), group)
        limit = 2 * lasts_s + _SLACK_S
        before = measurer.watch.ready()
        result = measurer.ask(
            self.artifact, self.model, settings, columns, timeout_s=limit, program=AGENT_WORKLOADS.name
        )
        result = result.watched(before, measurer.watch.read())
        run, raw = told(_process(result, started, self.artifact, group.batch), result, relative)
        write_raw(files.place_of(request.out, relative), raw, run, job=job)
        return run


def _process(result: AgentResult, started: str, artifact: Artifact, batch: int) -> Process:
    meta = result.meta
    try:
        return Process(
            started_utc=started,
            load_ns=int(meta["load_ns"]),
            first_ns=int(meta["first_ns"]),
            peak_rss_bytes=meta["peak_rss_bytes"],
            steady_rss_bytes=meta["steady_rss_bytes"],
            wait_share=meta["wait_share"],
            steal_share=meta["steal_share"],
            timing=timing_of(result, artifact, batch),
            coverage=str(meta["coverage"]),
            before=result.before,
            after=result.after,
            collected=result.earlier,
            cpu_s=meta["cpu_s"],
        )
    except (KeyError, TypeError, ValueError) as err:
        raise MeasurementError(f"the agent's result lacks what it should tell: {err!r}") from err


def energy_of(bench: Bench, result: AgentResult) -> Energy | None:
    """Return the energy of a stream; None where no meter tells it."""
    count = len(bench.meters.watched())
    texts = [one[:count] for one in result.meta.get("watched") or []]
    return bench.meters.used(texts, elapsed_ns(result)) if count else None


def stream_columns(result: AgentResult) -> dict[str, np.ndarray]:
    """Return the kept queries of a stream: start_ns since the first one's, and latency_ns, int64[n] each.

    The start of a query is known up to what lies between the calls of its block, a microsecond or two each;
    where a block's queries were too many to be kept, up to how much they differ within it.
    """
    latency, blocks = (result.arrays[name].astype(np.int64) for name in ("latency_ns", "block_ns"))
    begins, spans, queries, kept = blocks.T
    firsts = np.cumsum(kept) - kept
    place = np.arange(latency.size) - np.repeat(firsts, kept)
    before = np.cumsum(latency) - latency
    within = before - np.repeat(before[firsts], kept)
    busy = np.add.reduceat(latency, firsts)
    whole = within + np.repeat((spans - busy) / kept, kept) * place
    spread = np.repeat(spans / kept, kept) * place
    offset = np.where(np.repeat(queries == kept, kept), whole, spread).astype(np.int64)
    return {"start_ns": np.repeat(begins, kept) + offset, "latency_ns": latency}


def elapsed_ns(result: AgentResult) -> int:
    """Return how long the blocks of a stream lasted together: what lies between two blocks is not timed."""
    return int(result.arrays["block_ns"][:, 1].sum())


def query_count(result: AgentResult) -> int:
    """Return how many queries a stream had, those that were not kept among them."""
    return int(result.arrays["block_ns"][:, 2].sum())
