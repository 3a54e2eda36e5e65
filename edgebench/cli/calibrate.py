"""edgebench calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.cli.terminal import json_option, quiet_option, talk

if TYPE_CHECKING:
    from edgebench.calibration.table import GraphTable


@click.command()
@click.argument("model")
@click.option(
    "--calib-data", metavar="DATA", required=True, help="What is watched: .npz, folder, .csv, file.py:f."
)
@click.option("-w", "--weights", type=click.Path(path_type=Path), help=".pt, .pth or .safetensors.")
@click.option("-f", "--format", "formats", default="onnx,tflite", show_default=True, help="onnx, tflite.")
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    default=DEFAULT_METHOD.value,
    show_default=True,
    help="How a range is found.",
)
@click.option(
    "--calib-samples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Use at most this many.",
)
@click.option(
    "--calib-stability/--no-calib-stability",
    default=True,
    show_default=True,
    help="Say how far ranges move as quarters of the samples are left out.",
)
@click.option("--per-channel", is_flag=True, help="Watch channels too; name those that are wide or dead.")
@click.option("--max-calib-memory", metavar="300MB", help="Bound what calibrating takes beyond the model.")
@click.option(
    "--input-shape", multiple=True, metavar="1,3,224,224", help="One per input, where it is not discovered."
)
@click.option(
    "--preprocessing", metavar="YAML", help="As in a pipeline file: '{scale: 0.0039, layout: nchw}'."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The table's file, JSON.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Find the int8 ranges of a model's tensors on data; write a table for export.

    MODEL is as in `edgebench export`, which takes the table with --calib-table.
    """
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json, tell

    table = api.calibrate(progress=talk(quiet), **options)
    tell(table.notes)
    if as_json:
        print_json(table)
        return
    click.echo(f"{options['out']}  {table.method}, {table.samples} samples of {fit_to_show(table.data)}")
    for graph in table.graphs:
        click.echo(
            f"  {graph.runtime}: {len(graph.tensors)} tensors, {graph.bins} bins each{_channels(graph)}"
        )
        for name, spread in graph.least_steady(3):
            click.echo(f"    {fit_to_show(name)}: its range moves by {spread:.1%}")


def _channels(graph: GraphTable) -> str:
    """Return how many tensors were watched by channel, in words; nothing where none was."""
    if graph.channel_bins is None:
        return ""
    counts = [len(tensor.channels.ranges) for tensor in graph.tensors.values() if tensor.channels]
    return f"; {sum(counts)} channels of {len(counts)} of them, {graph.channel_bins} bins each"
