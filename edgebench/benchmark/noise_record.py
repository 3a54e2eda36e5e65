"""The record of a device's noise floor."""

from __future__ import annotations

from dataclasses import dataclass, field

PERCENTILES = {"p50": 0.5, "p95": 0.95}
"""The percentiles whose floor is measured, by name."""

NOISE_SCHEMA = 1
"""1: the first."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far one artifact seemed to differ from itself on a device, timed in turn.

    fingerprint, device: whose it is, and by which name it was reached. model, model_sha256: what was timed.
    sessions, calls: of each side of a comparison, and timed in a session. floors: by percentile, the share
    below which 95 % of the comparisons' ratios stayed. log_ratios: the natural logarithm of each ratio.
    """

    fingerprint: str
    device: str
    measured_utc: str
    tool_version: str
    model: str
    model_sha256: str
    sessions: int
    calls: int
    threads: int | None
    affinity: tuple[int, ...]
    validity: str
    floors: dict[str, float]
    log_ratios: dict[str, tuple[float, ...]] = field(default_factory=dict)
    schema: int = NOISE_SCHEMA

    def at(self, q: float) -> float | None:
        """Return the floor for the quantile `q`, 0–1: that of the nearest percentile that lies above it.

        None beyond the last one: tails are noisier than what was measured.
        """
        for name, known in sorted(PERCENTILES.items(), key=lambda item: item[1]):
            if q <= known and name in self.floors:
                return self.floors[name]
        return None

    @property
    def words(self) -> str:
        """Return the floor in one line."""
        shares = ", ".join(f"{name} {100 * share:.2g} %" for name, share in self.floors.items())
        count = len(next(iter(self.log_ratios.values()), ()))
        return (
            f"{shares}: 95 % of {count} A/A comparisons of {self.model} stayed below, "
            f"{self.sessions} sessions of {self.calls} calls each, {self.measured_utc[:10]}"
        )
