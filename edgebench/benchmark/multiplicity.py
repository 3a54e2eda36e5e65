"""Which FAILs stand when several gates are asked at once.

GO needs every gate to pass, so a wrong GO needs a wrong PASS of the gate that is truly broken: each gate
at its own confidence is enough (the intersection-union test, Berger, Technometrics 24, 1982, 295–300).
NO-GO needs one FAIL, so of many gates that are all kept one may fail by chance: FAILs are corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def standing_fails(fails_at: Sequence[Callable[[float], bool]], confidences: Sequence[float]) -> list[bool]:
    """Return which gates fail so clearly that any wrong FAIL among all is as rare as one gate's is to be.

    fails_at: for each gate that can err, whether it fails with bounds at a confidence. confidences: the
    gates' own. Holm's step-down method (Scandinavian Journal of Statistics 6, 1979, 65–70): each of m
    gates is asked at an error of 1/m of its own; those that fail are out, and the rest, being fewer, are
    asked again. The chance of any wrong FAIL is at most the largest of 1 − confidence. Gates that pass may
    be left out beforehand: where all are just kept that makes 5 % into 5.3 %, and else it costs nothing
    (Finner and Gontscharuk, JRSS B 71, 2009, 1031–1048).
    """
    stands = [False] * len(fails_at)
    while left := [index for index, stood in enumerate(stands) if not stood]:
        found = [i for i in left if fails_at[i](shared(confidences[i], len(left)))]
        if not found:
            break
        for index in found:
            stands[index] = True
    return stands


def shared(confidence: float, gates: int) -> float:
    """Return the confidence of each of so many statements that hold together at `confidence` (Bonferroni)."""
    return 1 - (1 - confidence) / gates
