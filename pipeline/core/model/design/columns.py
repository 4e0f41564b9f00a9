"""The columns of a model's design besides its trend, in Prophet's order: seasonalities, holidays, regressors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.core.arrays import Bools, Floats, Ints
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.model.design.structure import HolidayColumn, Seasonality


@dataclass(frozen=True)
class ColumnLayout:
    """What each column of beta is.

    Attributes:
        seasonalities: two columns for each term of a Fourier series.
        holidays: a column each.
        regressors: names, a column each.
        multiplicative: whether each column multiplies the trend, shape (K,).
        prior_scales: of each column's coefficient, shape (K,).
    """

    seasonalities: tuple[Seasonality, ...]
    holidays: tuple[HolidayColumn, ...]
    regressors: tuple[str, ...]
    multiplicative: Bools
    prior_scales: Floats

    @classmethod
    def of(
        cls, spec: ForecastSpec, seasonalities: tuple[Seasonality, ...], holidays: tuple[HolidayColumn, ...]
    ) -> ColumnLayout:
        """Return the layout of a model with the regressors of a spec."""
        widths = [2 * seasonality.fourier_order for seasonality in seasonalities]
        modes = [s.mode for s, width in zip(seasonalities, widths, strict=True) for _ in range(width)]
        modes += [spec.holidays_mode or spec.seasonality_mode] * len(holidays)
        modes += [regressor.mode or spec.seasonality_mode for regressor in spec.regressors]
        scales = [s.prior_scale for s, width in zip(seasonalities, widths, strict=True) for _ in range(width)]
        scales += [holiday.prior_scale for holiday in holidays]
        scales += [regressor.prior_scale or spec.holidays_prior_scale for regressor in spec.regressors]
        return cls(
            seasonalities,
            holidays,
            tuple(regressor.name for regressor in spec.regressors),
            np.array([mode == "multiplicative" for mode in modes], dtype=np.bool_),
            np.array(scales, dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.multiplicative)

    @cached_property
    def of_seasonalities(self) -> tuple[slice, ...]:
        """The columns of each seasonality."""
        ends = np.cumsum([2 * seasonality.fourier_order for seasonality in self.seasonalities], dtype=np.int64).tolist()
        return tuple(slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)) if ends else ()

    @cached_property
    def of_holidays(self) -> slice:
        """The columns of all holidays."""
        start = self.of_seasonalities[-1].stop if self.of_seasonalities else 0
        return slice(start, start + len(self.holidays))

    def of_regressor(self, i: int) -> slice:
        """Return the column of the i-th regressor."""
        start = self.of_holidays.stop + i
        return slice(start, start + 1)

    @property
    def of_dates(self) -> slice:
        """The columns that follow from dates alone, those of the feature table."""
        return slice(0, self.of_holidays.stop)

    @cached_property
    def conditions(self) -> list[str]:
        """The names of the extra columns that say when a seasonality applies."""
        return list(dict.fromkeys(s.condition_name for s in self.seasonalities if s.condition_name is not None))

    @cached_property
    def condition_of_columns(self) -> Ints:
        """For each column of the feature table the number of its condition, or -1."""
        numbers = np.full(self.of_dates.stop, -1, dtype=np.int64)
        for seasonality, columns in zip(self.seasonalities, self.of_seasonalities, strict=True):
            if seasonality.condition_name is not None:
                numbers[columns] = self.conditions.index(seasonality.condition_name)
        return numbers

    def conditions_met(self, extras: dict[str, Floats], rows: int) -> Floats:
        """Return whether each condition holds, as 0 or 1, shape (rows, C): any number but 0 meets it.

        Args:
            extras: numbers of the extra columns, `rows` each.
            rows: how many dates there are.
        """
        if not self.conditions:
            return np.empty((rows, 0))
        return np.column_stack([extras[name].ravel() != 0 for name in self.conditions]).astype(np.float64)

    @property
    def names(self) -> list[str]:
        """Prophet's name of each column."""
        names = [f"{s.name}_delim_{j + 1}" for s in self.seasonalities for j in range(2 * s.fourier_order)]
        return [*names, *(holiday.key for holiday in self.holidays), *self.regressors]
