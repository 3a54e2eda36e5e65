"""What every test may ask for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder of real models and data; skip, saying how to enable, where it is absent."""
    folder = Path(os.environ.get("EDGEBENCH_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not (folder / "MANIFEST.md").exists():
        pytest.skip(f"real assets are not at {folder}: set EDGEBENCH_ASSETS to their folder")
    return folder


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a state folder of its own, made where it is needed: no failure counts elsewhere."""
    state = tmp_path_factory.getbasetemp() / f"state-{secrets.token_hex(4)}"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
