"""What `edgebench --help` costs beside `python -c "import click"`, interleaved in one run.

Goal: at most 1.5 times, in CPU time (user + system) and in wall time.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import Goal, arguments, finish, machine, table

LIMIT = 1.5


def cost(argv: list[str]) -> tuple[float, float]:
    """Return (CPU seconds, wall seconds) of one run of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Measure both commands in turn, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    script = Path(sys.executable).with_name("edgebench")
    commands = {
        "import click": [sys.executable, "-c", "import click"],
        "edgebench --help": [str(script), "--help"],
        "edgebench export --help": [str(script), "export", "--help"],
    }
    rounds = 20 if options.quick else 60
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for index in range(rounds + 2):
        for name, argv in commands.items():
            measured = cost(argv)
            if index >= 2:  # the first two fill the page cache and write the bytecode
                costs[name].append(measured)
    floor = costs["import click"]
    rows, ratios = [], {}
    for name, measured in costs.items():
        cpu, wall = (statistics.median(column) for column in zip(*measured, strict=True))
        ratios[name] = tuple(
            statistics.median(a[i] / b[i] for a, b in zip(measured, floor, strict=True)) for i in (0, 1)
        )
        rows.append(
            [
                name,
                f"{cpu * 1e3:.0f}",
                f"{wall * 1e3:.0f}",
                f"{ratios[name][0]:.2f}",
                f"{ratios[name][1]:.2f}",
            ]
        )
    print(f"{machine()}; medians of {rounds} interleaved runs\n")
    print(table(["command", "cpu ms", "wall ms", "cpu ratio", "wall ratio"], rows), "\n", sep="")
    cpu_ratio, wall_ratio = ratios["edgebench --help"]
    goals = [
        Goal("edgebench --help / import click, CPU", cpu_ratio, f"<= {LIMIT}", cpu_ratio <= LIMIT),
        Goal("edgebench --help / import click, wall", wall_ratio, f"<= {LIMIT}", wall_ratio <= LIMIT),
    ]
    finish("startup", {"rounds": rounds, "ratios": ratios}, goals, options.json)


if __name__ == "__main__":
    main()
