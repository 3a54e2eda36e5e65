"""edgebench ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgebench.cli.terminal import json_option, quiet_option, talk


@click.command()
@click.argument("model")
@click.argument("quantized", type=click.Path(path_type=Path))
@click.option(
    "--data", required=True, metavar="DATA", help="Labelled data of the model: .npz, folder, .csv, file.py:f."
)
@click.option(
    "--fp32",
    type=click.Path(path_type=Path),
    help="The fp32 artifact.  [default: the one beside QUANTIZED, else made now]",
)
@click.option("-w", "--weights", type=click.Path(path_type=Path), help=".pt, .pth or .safetensors.")
@click.option(
    "--input-shape", multiple=True, metavar="1,3,224,224", help="One per input, where it is not discovered."
)
@click.option(
    "--preprocessing", metavar="YAML", help="What MODEL takes.  [default: what the manifests declare]"
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=200, show_default=True, help="Use at most this many."
)
@click.option("-d", "--device", default="local:cpu", show_default=True, help="Where the last rung runs.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A JSON file for the whole answer.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Say where a quantized model's accuracy went, rung by rung and layer by layer.

    MODEL is what QUANTIZED, a .onnx or .tflite file, was made of. It is a diagnosis: the exit code is 0
    whatever it finds.
    """
    from edgebench import api
    from edgebench.cli.terminal import fit_to_show, print_json, tell

    found = api.ladder(progress=talk(quiet), **options)
    tell(found.notes)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(fit_to_show(line) for line in api.ladder_table(found).split("\n")))
