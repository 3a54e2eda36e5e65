"""What each pass before int8 is worth: all of them, and all but one, on training data held back.

The passes are chosen here, so no evaluation data is looked at. Models and held-back samples are those of
observers.py, with the depthwise keyword spotter beside them where ../shared is; a quarter of its
calibration samples is held back. Figures: output signal over quantization noise against the fp32 file in
the same runtime, dB, and seconds that quantizing takes.

Goals: in the mean over models and runtimes no pass costs anything (0.1 dB), and all together bring at
least 3 dB; each one but the balancing of layer normalization, which needs a transformer, brings at least
1 dB on one model. Needs the extras edgebench[torch] and, for some models, [tensorflow].
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import int8_models
import numpy as np
import observers
from bench import Goal, arguments, finish, machine, table

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.recipe import ALL_PASSES, Pass
from edgebench.calibration.samples import write_samples
from edgebench.calibration.table import GraphTable
from edgebench.calibration.target import local_target
from edgebench.exporters import parity
from edgebench.exporters.conversion import convert
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.source import open_source

WITHOUT = (Pass.ROUND, Pass.EQUALIZE, Pass.FLOAT_ENDS)
RECIPES: dict[str, Collection[Pass]] = {
    "all": ALL_PASSES,
    "none": frozenset(),
    **{f"no {left_out}": ALL_PASSES - {left_out} for left_out in WITHOUT},
}
COSTS_DB, TOGETHER_DB, ONCE_DB = 0.1, 3.0, 1.0


def trials(folder: Path, *, quick: bool) -> Iterator[observers.Trial]:
    """Yield the models of observers.py and, with ../shared, the keyword spotter."""
    yield from observers.trials(folder, quick=quick)
    if quick or not int8_models.ASSETS.is_dir():
        return
    case = int8_models.keyword_spotter()
    held = len(case.calibration) // 4
    yield observers.Trial(_fewer(case, held), case.calibration[-held:])


def _fewer(case: int8_models.Case, held: int) -> int8_models.Case:
    from dataclasses import replace

    return replace(case, calibration=case.calibration[:-held])


def measure(trial: observers.Trial, fmt: Format, folder: Path) -> dict[str, tuple[float, float]]:
    """Return SQNR in dB and the seconds that quantizing took, by recipe."""
    case = trial.case
    shape = (1, *case.images.shape[1:])
    source = open_source(case.source, weights=case.weights, input_shapes=[shape])
    base = convert(source, fmt, folder, None, None).base
    samples = folder / "samples"
    write_samples(samples, len(case.calibration), [[case.calibration]])
    ranges = find_ranges(RangesJob(base, fmt, samples, DEFAULT_METHOD)).table
    wanted = parity.answers(base, fmt, (trial.held_back,))
    figures = {}
    for name, passes in RECIPES.items():
        out = folder / f"{name}.{fmt}"
        start = time.perf_counter()
        _quantize(base, out, ranges, samples, passes)
        seconds = time.perf_counter() - start
        found = parity.compare("held back", wanted, parity.answers(out, fmt, (trial.held_back,)))
        figures[name] = (float("inf") if found.sqnr_db is None else found.sqnr_db, seconds)
    return figures


def _quantize(base: Path, out: Path, ranges: GraphTable, samples: Path, passes: Collection[Pass]) -> None:
    job = QuantizationJob(
        base=base,
        out=out,
        precision=Precision.W8A8,
        target=local_target(),
        table=ranges,
        samples=samples,
        method=DEFAULT_METHOD,
        passes=frozenset(passes),
    )
    with contextlib.redirect_stdout(io.StringIO()):  # ai-edge-quantizer prints sizes
        observers.QUANTIZERS[ranges.runtime](job)


def goals(figures: list[dict[str, float]], *, everything: bool) -> list[Goal]:
    """Return the goals; those of one model alone where every model was measured."""
    gains = {name: [entry["all"] - entry[name] for entry in figures] for name in RECIPES if name != "all"}
    together = float(np.mean(gains["none"]))
    name = "all passes together, mean dB"
    found = [Goal(name, together, f">= {TOGETHER_DB}", together >= TOGETHER_DB)] if everything else []
    for left_out in WITHOUT:
        mean, most = float(np.mean(gains[f"no {left_out}"])), max(gains[f"no {left_out}"])
        found.append(Goal(f"{left_out}, mean dB", mean, f">= -{COSTS_DB}", mean >= -COSTS_DB))
        if everything:
            found.append(Goal(f"{left_out}, most dB", most, f">= {ONCE_DB}", most >= ONCE_DB))
    return found


def main() -> None:
    """Measure all models, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    rows, figures = [], []
    with tempfile.TemporaryDirectory(prefix="edgebench-bench-") as name:
        for trial, fmt, folder in observers.each(trials(Path(name), quick=options.quick), Path(name)):
            found = measure(trial, fmt, folder)
            cells = (f"{found[recipe][0]:.1f} / {found[recipe][1]:.1f}" for recipe in RECIPES)
            rows.append([f"{trial.case.name} {fmt}", *cells])
            print(" ".join(rows[-1]), flush=True)
            figures.append({"model": trial.case.name, "format": fmt, "figures": found})
    plain = [{recipe: entry["figures"][recipe][0] for recipe in RECIPES} for entry in figures]
    rows.append(["mean", *(f"{np.mean([entry[recipe] for entry in plain]):.1f}" for recipe in RECIPES)])
    print(f"{machine()}; {local_target()}; dB of signal over noise / seconds\n")
    print(table(["model", *RECIPES], rows), "\n", sep="")
    everything = not options.quick and int8_models.ASSETS.is_dir()
    finish("passes", {"cases": figures}, goals(plain, everything=everything), options.json)


if __name__ == "__main__":
    main()
