"""edgebench benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgebench.cli.terminal import json_option, quiet_option, talk
from edgebench.cli.workloads import workload_options


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-d",
    "--device",
    multiple=True,
    default=("local:cpu",),
    show_default=True,
    help="Where to run: ssh://user@host, adb://SERIAL, a name, tag:TAG; may be repeated.",
)
@click.option("--data", metavar="DATA", help="Labelled data for the accuracy: .npz, folder, .csv, file.py:f.")
@click.option(
    "--baseline", metavar="ARTIFACT", help="What others are compared with.  [default: the first fp32]"
)
@click.option(
    "--sessions", type=click.IntRange(min=1), default=5, show_default=True, help="Fresh processes each."
)
@click.option(
    "--calls", type=click.IntRange(min=1), default=200, show_default=True, help="Timed calls a session."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the runtime.")
@click.option(
    "--runner",
    metavar="RUNNER",
    default="auto",
    show_default=True,
    help="Who makes the calls: python, native, or benchmark_model=/path and the like.",
)
@click.option(
    "--cores", "--affinity", "affinity", metavar="CORES", help="Bind to cores: 0,2-3, big, mid or little."
)
@click.option("--prepare", is_flag=True, help="Set governor and clocks for the time, and back afterwards.")
@click.option(
    "--power-mode",
    type=click.IntRange(min=0),
    metavar="ID",
    help="A Jetson's mode for the time, by nvpmodel's number.",
)
@click.option("--cool-down", metavar="TEMP", help="Begin sessions at most so warm: 60C, or 60C,15m to wait.")
@click.option("--preprocessing", metavar="YAML", help="For models without a manifest: '{scale: 0.0039}'.")
@click.option(
    "--metric", metavar="METRIC", help="Beside top-1: f1, auc, map, rmse, mae, or file.py:function."
)
@click.option(
    "--metric-better", type=click.Choice(["more", "less"]), help="Of a function of your own.  [default: more]"
)
@click.option("--wait", metavar="SPAN", help="How long for a busy device, as in 10m.  [default: no limit]")
@workload_options
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--gates",
    type=click.Path(path_type=Path),
    help="YAML of gates, written down beforehand.  [default: the edge checklist]",
)
@click.option("--until-decided", is_flag=True, help="Take sessions until every gate is decided.")
@click.option("--max-time", metavar="TIME", help="The most that --until-decided takes.  [default: 10m]")
@click.option("--within", metavar="2%", help="End it, too, where all that is open is known so narrowly.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/benchmark/<time>]"
)
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, gates: Path | None, **options: Any) -> int:
    """Measure artifacts: latency, memory, accuracy; write evidence.

    The report is written too; the exit code says how the measurement went, not the verdict:
    `edgebench report` judges. With --until-decided it is 3 where the gates stayed open.
    """
    from edgebench import api
    from edgebench.cli.terminal import print_json, tell
    from edgebench.reports.verdict import Answer, Decision

    folder = api.benchmark(progress=talk(quiet), gates=gates, **options)
    evidence = api.read_evidence(folder)
    verdict = api.report(folder, gates=gates)
    tell(evidence.notes)
    if as_json:
        print_json(api.read_results(folder))
    else:
        click.echo(api.results_table(folder))
        click.echo(f"\n{verdict.decision} by the gates given; report: {folder / 'report.html'}")
    failures = [f"{m.artifact.id}: {m.failure}" for m in evidence.measurements if m.failure]
    if failures:
        raise api.measurement_failed(failures)
    answers = [result.answer for one in verdict.artifacts for result in one.gates]
    is_open = Answer.INCONCLUSIVE in answers or bool(verdict.unanswered)
    return Decision.INCONCLUSIVE.exit_code if evidence.looks is not None and is_open else 0
