"""edgebench import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgebench.cli.terminal import json_option


@click.command("import")
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--device-name", required=True, metavar="NAME", help="The machine that was measured.")
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The model file: one for all logs, or one for each in order.  [default: as the logs name it]",
)
@click.option(
    "--baseline", metavar="ARTIFACT", help="What others are compared with.  [default: the first fp32]"
)
@click.option(
    "--format",
    "log_format",
    metavar="TOOL",
    help="trtexec, litert-benchmark, google-benchmark, benchmark_model, onnxruntime_perf_test.  "
    "[default: by the log's content]",
)
@click.option("--only", metavar="PATTERN", help="Take the models or benchmarks of this name alone.")
@click.option(
    "--span",
    metavar="SPAN",
    help="Which of a log's times: call, copies+compute, compute, processor-time.  [default: the longest]",
)
@click.option("--runtime", metavar="NAME", help="What ran the model: onnxruntime, litert, tensorrt.")
@click.option("--runtime-version", default="", metavar="VERSION", help="Its version.")
@click.option("--provider", default="", metavar="NAME", help="Its provider or delegate, if no log says so.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the runtime, where no log says so.")
@click.option("--batch", type=click.IntRange(min=1), help="Samples a call.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/import/<time>]"
)
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Make logs of other benchmark tools into evidence, for `edgebench report` to judge.

    Each tool's log keeps what that tool timed. Where a tool printed a summary and not the single
    timings, the evidence says so, and no percentile is judged from it.
    """
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json, tell

    folder = api.import_logs(**options)
    evidence = api.read_evidence(folder)
    doubted = [m for m in evidence.measurements if m.validity_reasons]
    tell([f"{m.artifact.id} is {m.validity}: {'; '.join(m.validity_reasons)}" for m in doubted])
    tell(evidence.notes)
    if as_json:
        print_json(evidence)
        return
    for measurement in evidence.measurements:
        calls = sum(session.calls for session in measurement.sessions)
        kept = sum(session.summary.calls for session in measurement.sessions if session.summary)
        said = f"{calls:,} calls" if not kept else f"a summary of {kept:,} calls"
        name = fit_to_show(measurement.artifact.id)
        click.echo(f"{name}  {said}; sessions: {len(measurement.sessions)}; {measurement.validity}")
    click.echo(f"\n{folder}   judge it: edgebench report {folder}")
