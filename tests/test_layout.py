"""The rooms of the package and the direction in which they import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "edgebench"
BELOW = {
    "devices": set[str](),
    "calibration": set[str](),
    "compression": set[str](),
    "benchmark": {"devices"},
    "reports": {"benchmark"},
    "exporters": {"calibration"},
}
"""What each room may import, besides itself and the records at the top of the package."""
ON_NUMBERS = {
    "edgebench.benchmark.accuracy",
    "edgebench.benchmark.planning",
    "edgebench.benchmark.statistics",
}
"""Functions of numbers, which any room may use."""
TYPES_ONLY = {("devices", "benchmark")}
"""Devices describe themselves with the evidence's record of facts."""
TOP_OF_PACKAGE = {
    "api",
    "calibrate",
    "check_gates",
    "cli",
    "deciding",
    "device_doctor",
    "device_state",
    "doctor",
    "export",
    "gather_results",
    "import_logs",
    "ladder",
    "options",
    "pipeline",
    "pipeline_compress",
    "pipeline_file",
    "pipeline_plan",
    "pipeline_run",
    "workload_options",
}
"""Modules above the rooms; no room imports them."""


def imported(path: Path) -> set[str]:
    """Return the second part of every `edgebench.X` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [node.module] if node.module != "edgebench" else [f"edgebench.{a.name}" for a in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("edgebench.") and n not in ON_NUMBERS}
    return found


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_one_way(room: str) -> None:
    """No room imports a room above or beside it, nor the pipeline or the command line."""
    allowed = {room} | BELOW[room] | {b for a, b in TYPES_ONLY if a == room}
    for path in (PACKAGE / room).rglob("*.py"):
        rooms = imported(path) & (set(BELOW) | TOP_OF_PACKAGE)
        assert rooms <= allowed, f"{path.relative_to(PACKAGE)} imports {rooms - allowed}"


def test_there_is_no_room_for_odds_and_ends() -> None:
    """Folders say what the tool does: none is called utils, common or helpers."""
    assert not {p.stem for p in PACKAGE.rglob("*")} & {"utils", "common", "helpers", "misc"}


def test_no_two_test_modules_share_a_name() -> None:
    """Test modules are imported by their file names alone: two of one name stop the whole run."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
