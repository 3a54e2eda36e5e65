"""What every benchmark here shares: the machine's name, a table, JSON, and the exit code."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the bound it has to keep. holds: whether it does."""

    name: str
    value: float
    bound: str
    holds: bool


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark: --json FILE and --quick."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under 60 s")
    return parser


def machine() -> str:
    """Return processor, cores, system and Python of this machine in one line."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    system = f"{platform.system()} {platform.release()}"
    return f"{processor}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned text, the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def finish(title: str, figures: dict[str, Any], goals: Sequence[Goal], json_file: Path | None) -> NoReturn:
    """Print the goals, write the JSON, and exit 0 where every goal holds, else 1."""
    for goal in goals:
        print(f"{'holds ' if goal.holds else 'BROKEN'} {goal.name}: {goal.value:.4g} (goal: {goal.bound})")
    if json_file is not None:
        record = {
            "benchmark": title,
            "machine": machine(),
            "figures": figures,
            "goals": [{"name": g.name, "value": g.value, "bound": g.bound, "holds": g.holds} for g in goals],
        }
        json_file.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(0 if all(goal.holds for goal in goals) else 1)
