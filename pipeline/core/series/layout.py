"""The layout of a request's forecast."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from pipeline.core.csv_reading.dialect import PLAIN, CsvDialect
from pipeline.core.dates.date_style import DateStyle
from pipeline.core.forecast_spec import ForecastSpec


@dataclass(frozen=True)
class Layout:
    """The layout of a request's forecast; the same for all its blocks.

    Attributes:
        id_columns: names of the id columns in the output.
        value_name: name of the value column, which names the series if the file has only one.
        style: how dates are written.
        extras: names of the extra columns.
        notes: what the owner should know about how the file was read.
        mixed_offsets: whether dates with several UTC offsets were converted to UTC.
        dialect: of the CSV, and of its forecast.
        extras_ahead: whether extra columns must have numbers on the dates to forecast; otherwise their last number is
            repeated, for uses that need only the history.
    """

    id_columns: tuple[str, ...]
    value_name: str
    style: DateStyle
    extras: tuple[str, ...]
    notes: tuple[str, ...] = ()
    mixed_offsets: bool = False
    dialect: CsvDialect = PLAIN
    extras_ahead: bool = True

    def to_json(self) -> str:
        """Return the layout as JSON."""
        fields = dataclasses.asdict(self)
        fields["date_style"] = self.style.to_text()
        del fields["style"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Return what `to_json` wrote."""
        fields = json.loads(text)
        for name in ("id_columns", "extras", "notes"):
            fields[name] = tuple(fields[name])
        fields["dialect"] = CsvDialect(**fields["dialect"])
        fields["style"] = DateStyle.from_text(fields.pop("date_style"))
        return cls(**fields)

    def on_its_clock(self, spec: ForecastSpec) -> ForecastSpec:
        """Return options with the time zone of the dates, which their type may have named."""
        return spec.model_copy(update={"timezone": self.style.timezone or None})
