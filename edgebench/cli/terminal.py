"""How verbs talk: progress on stderr, answers on stdout, options that several verbs share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edgebench.doctor import Finding

Command = TypeVar("Command", bound=Callable[..., Any])
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def json_option(command: Command) -> Command:
    """Add `--json`: the answer as JSON on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(command)


def quiet_option(command: Command) -> Command:
    """Add `--quiet`: no progress."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")(command)


class StderrProgress:
    """Progress on stderr: one line rewritten on a terminal, one line a message elsewhere."""

    def __init__(self) -> None:
        plain = "CI" in os.environ or os.environ.get("TERM") == "dumb"
        self._live = sys.stderr.isatty() and not plain
        self._last = ""

    def __call__(self, message: str, *, done: int | None = None, total: int | None = None) -> None:
        """Show `message`; on a terminal with a count and, in place, over the line before."""
        message = fit_to_show(message)
        count = "" if done is None or total is None else f"[{done}/{total}] "
        if self._live:
            width = max(20, _terminal_width() - 1)
            click.echo(f"\r\x1b[K{(count + message)[:width]}", err=True, nl=False)
        elif message != self._last:
            click.echo(f"{count}{message}", err=True)
        self._last = message

    def close(self) -> None:
        """End the line that was being rewritten."""
        if self._live and self._last:
            click.echo("\r\x1b[K", err=True, nl=False)


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def talk(quiet: bool) -> Any:
    """Return the progress of a verb: silent where it was asked for."""
    from edgebench.progress import silent

    if quiet:
        return silent
    progress = StderrProgress()
    click.get_current_context().call_on_close(progress.close)
    return progress


def print_json(record: object) -> None:
    """Print a record as JSON on stdout."""
    from edgebench.storage import encode_json

    click.echo(encode_json(record).decode(), nl=False)


def print_findings(findings: tuple[Finding, ...]) -> None:
    """Print what a doctor found, and what adds what is missing."""
    for finding in findings:
        mark = "ok     " if finding.present else "missing"
        click.echo(fit_to_show(f"{mark} {finding.name:<18} {finding.detail}"))
        if finding.remedy:
            click.echo(fit_to_show(f"        {finding.remedy}"))


def tell(lines: tuple[str, ...] | list[str]) -> None:
    """Print notes on stderr, one line each."""
    for line in lines:
        click.echo(f"note: {fit_to_show(line)}", err=True)


def fit_to_show(text: str) -> str:
    """Return text without the control characters by which a file's content could steer a terminal."""
    return _CONTROL.sub("\ufffd", text)
