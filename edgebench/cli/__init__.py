"""The command line: each verb parses, calls its twin in `edgebench.api`, and prints.

Only click is loaded until a verb runs; the table below is all that `--help` needs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import NoReturn

import click

from edgebench import __version__
from edgebench.errors import EdgebenchError

INTERRUPTED = 130
READER_GONE = 141
"""128 + SIGPIPE, as `cat file | head -1` ends."""
VERBS = {
    "export": "Convert and quantize a model; write artifacts with manifests.",
    "calibrate": "Find the int8 ranges of a model's tensors on data; write a table for export.",
    "benchmark": "Measure artifacts: latency, memory, accuracy; write evidence.",
    "import": "Make logs of other benchmark tools into evidence, for `edgebench report` to judge.",
    "report": "Judge evidence against gates; write the verdict and the HTML report.",
    "compare": "Say whether one measurement is faster or slower than another, and how sure that is.",
    "results": "Gather the figures of many judged runs in one table.",
    "gates": "Test the gates themselves: that each can pass and can fail.",
    "ladder": "Say where a quantized model's accuracy went, rung by rung and layer by layer.",
    "run": "Do all of a pipeline file: compress, export, benchmark, judge.",
    "demo": "Run the whole path on handwritten digits, from training to verdict.",
    "doctor": "Say what is installed, what each extra adds, and what hardware is here.",
    "devices": "List and examine the devices a benchmark can run on.",
    "init": "Write a commented pipeline file to start from.",
    "completion": "Print the script that completes edgebench's commands in a shell.",
}
_MODULES = {"import": "import_logs"}
"""The modules of verbs that Python keeps for itself."""


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of a user's work."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command `cmd_name`, imported now; None where there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = importlib.import_module(f"edgebench.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs' one-line helps from the table, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; where there is none of that name, the error names the nearest."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, VERBS, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgebench")
def cli() -> None:
    """A trained model in, a deployment decision out.

    Exit codes: 0 GO or success, 1 NO-GO, 2 usage or bad input, 3 INCONCLUSIVE or an invalid
    measurement, 4 device or infrastructure failed, 130 interrupted.
    """


def main() -> NoReturn:
    """Run the command line; every expected failure is one line, a hint and an exit code."""
    sys.exit(call(sys.argv[1:]))


def call(argv: list[str]) -> int:
    """Run the command line on `argv` and return its exit code."""
    try:
        code = _invoke(argv)
    except EdgebenchError as err:
        from edgebench.cli.terminal import fit_to_show

        click.echo(f"edgebench: error: {fit_to_show(str(err))}", err=True)
        return err.exit_code
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("edgebench: interrupted; what was finished is kept", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return code if isinstance(code, int) else 0


def _invoke(argv: list[str]) -> object:
    """Return what the command returns; click's `main` would give a reader that left the code of NO-GO."""
    if "_EDGEBENCH_COMPLETE" in os.environ:  # the shell asks for words
        return cli.main(argv, prog_name="edgebench")
    try:
        with cli.make_context("edgebench", list(argv), auto_envvar_prefix="EDGEBENCH") as context:
            code: object = cli.invoke(context)
    except click.exceptions.Exit as err:
        code = err.exit_code
    if sys.stdout is not None:  # it is None where the shell closed it
        sys.stdout.flush()
    return code
