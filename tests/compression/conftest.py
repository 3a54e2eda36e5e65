"""Training in tests: on one thread, which small networks want and a shared machine gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Have PyTorch use one thread, and give back what it had."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebench[torch]'")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
