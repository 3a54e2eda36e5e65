"""`litert-benchmark` as ai-edge-litert ships it, its JSON unrounded; fidelity.py runs it with its options.

The program rounds the median to 0.01 ms, a third of a model of 30 µs. It does so by `round` after the
last call; with a `round` that keeps every digit the rest of the program is as it was, and what it prints
is rounded still, so that fidelity.py can check the one against the other.
"""

from __future__ import annotations

from ai_edge_litert.tools import benchmark_litert_model as program

program.round = lambda value, _digits=None: value

if __name__ == "__main__":
    program.main()
