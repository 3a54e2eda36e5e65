"""edgebench export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgebench.cli.terminal import json_option, quiet_option, talk
from edgebench.exporters.mixed_budget import DEFAULT_MAX_FLOAT


@click.command()
@click.argument("model")
@click.option("-w", "--weights", type=click.Path(path_type=Path), help=".pt, .pth or .safetensors.")
@click.option(
    "-f", "--format", "formats", default="onnx,tflite", show_default=True, help="onnx, tflite, tensorrt."
)
@click.option("-p", "--precision", "precisions", help="fp32, fp16, w8a32, w8a16, w8a8; several with commas.")
@click.option("--int8", is_flag=True, help="The same as --precision w8a8.")
@click.option("--fp16", is_flag=True, help="The same as --precision fp16.")
@click.option(
    "--calib-data", metavar="DATA", help="Data that fixes the int8 ranges: .npz, folder, .csv, file.py:f."
)
@click.option(
    "--calib-samples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Use at most this many.",
)
@click.option("--calib-table", type=click.Path(path_type=Path), help="Ranges from edgebench calibrate.")
@click.option(
    "--calib-method",
    metavar="METHOD",
    help="mse, percentile, entropy, min-max, moving-average.  [default: mse, or the table's]",
)
@click.option("--max-calib-memory", metavar="300MB", help="Bound what calibrating takes beyond the model.")
@click.option(
    "--max-drop", metavar="0.5pp", help="Keep layers float until w8a8 loses no more top-1 than this."
)
@click.option(
    "--max-float",
    metavar="50%",
    default=DEFAULT_MAX_FLOAT,
    show_default=True,
    help="The most of the multiplications that may stay float for it.",
)
@click.option("--calib-random", is_flag=True, help="Calibrate on random numbers. Accuracy will be lost.")
@click.option(
    "--input-shape", multiple=True, metavar="1,3,224,224", help="One per input, where it is not discovered."
)
@click.option(
    "--io",
    type=click.Choice(["float", "int8"]),
    default="float",
    show_default=True,
    help="TFLite inputs and outputs.",
)
@click.option(
    "--target",
    default="auto",
    show_default=True,
    metavar="TARGET",
    help="Whose integers: x86-avx2, x86-vnni, arm64, tensorrt; auto is this machine.",
)
@click.option(
    "--preprocessing", metavar="YAML", help="As in a pipeline file: '{scale: 0.0039, layout: nchw}'."
)
@click.option("--name", help="Name of the artifacts.  [default: the model's]")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="artifacts", show_default=True, help="Folder."
)
@click.option("--overwrite", is_flag=True, help="Replace artifacts of the same name.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> int:
    """Convert and quantize a model; write artifacts with manifests.

    MODEL is m.onnx, m.tflite, m.keras, a SavedModel folder, m.pt2, or file.py:factory with --weights.
    The exit code is 1 where --max-drop is not held: the best that was found is written all the same.
    """
    from edgebench import api
    from edgebench.cli.terminal import print_json, tell

    result = api.export(progress=talk(quiet), **options)
    tell(result.notes)
    if as_json:
        print_json(result)
        return int(not result.held)
    for artifact in result.artifacts:
        click.echo(f"{Path(options['out']) / artifact.path}  {artifact.size_bytes:,} B  {artifact.precision}")
    for skipped in result.skipped:
        click.echo(f"skipped {skipped.format} {skipped.precision}: {skipped.reason}", err=True)
    for artifact in result.artifacts:
        if artifact.mixed is not None:
            click.echo(f"\n{artifact.id}: {api.mixed_table(artifact.mixed)}")
    return int(not result.held)
