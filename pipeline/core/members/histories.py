"""What the members of one series are given: its calendar's season and its values without gaps."""

from __future__ import annotations

from typing import NamedTuple

YEARLY, MONTHLY, FINER = 0, 1, 2
"""How often a series has a value: once a year or less; some times a year (months, quarters); more often."""


class Pace(NamedTuple):
    """How often a series has a value.

    Attributes:
        kind: YEARLY, MONTHLY or FINER.
        season: number of values in its season; 1 if it has none.
        long_season: number of values in a longer season, such as a week of hours; 0 if there is none.
        level_rows: how many of the last values say by how much the level has changed since a long season ago.
    """

    kind: int
    season: int
    long_season: int
    level_rows: int
