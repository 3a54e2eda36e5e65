"""Channels that are wide or dead: found where they are, and not where they are not."""

from __future__ import annotations

import numpy as np

from edgebench.calibration.channel_notes import dead_channels, some_channels, wide_channels

EVEN = np.linspace(0.8, 1.2, 32)


def test_one_wide_channel_is_named_with_what_it_costs() -> None:
    """Channel 17, forty times the median: named, and the range is 33 times what the others need."""
    high = EVEN.copy()
    high[17] = 40.0
    found = wide_channels(np.zeros(32), high)
    assert found is not None
    assert found.channels == (17,)
    assert found.words("x") == (
        "channel 17 of x is 40 times wider than the median channel: "
        "the tensor's range is 33.3 times what the other channels need"
    )


def test_two_wide_channels_are_named_widest_first() -> None:
    """Of 32 channels two may be wide; with a third they are no exception any more."""
    low = -EVEN
    low[3], low[9] = -50.0, -70.0
    found = wide_channels(low, EVEN)
    assert found is not None
    assert found.channels == (9, 3)
    assert "channels 9, 3 of x are up to 35 times wider" in found.words("x")
    low[20] = -60.0
    assert wide_channels(low, EVEN) is None


def test_even_channels_are_not_called_wide() -> None:
    """Nor are those of a smooth spread, a wide one that costs nothing, or three channels alone."""
    assert wide_channels(-EVEN, EVEN) is None
    assert wide_channels(np.zeros(32), np.linspace(0.1, 10, 32)) is None
    assert wide_channels(np.zeros(3), np.array([1.0, 1.0, 99.0])) is None
    high = np.full(32, 0.1)
    high[:15], high[15] = 0.9, 1.0
    assert wide_channels(np.zeros(32), high) is None


def test_dead_channels_have_one_value() -> None:
    """Always zero or always the same: dead; a tensor that is dead as a whole is told elsewhere."""
    assert dead_channels([0.0, -1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]) == (0, 2)
    assert dead_channels([0.0, 0.0], [0.0, 0.0]) == ()


def test_many_channels_are_counted() -> None:
    """The first three are named."""
    assert some_channels((1, 2, 3, 4, 5)) == "1, 2, 3 and 2 more"
