"""ForecastSpec: what to forecast and how. One type for the command line, manifests and the library."""

from __future__ import annotations

import codecs
import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.core.calendars import parse_frequency
from pipeline.core.request_key import canonical_json

Mode = Literal["additive", "multiplicative"]
MAX_HORIZON = 100_000
MAX_PATH_POINTS = 20_000_000  # simulated numbers a series, 8 bytes each and several times over


def _split(value: object) -> object:
    """Read a command line's `a,b` or `["a","b"]` as a list; leave everything else to pydantic."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"starts like a JSON list, but is not one: {error}") from None
    return [part.strip() for part in value.split(",")] if value.strip() else []


def _switch(value: object) -> object:
    """Read `auto`, a truth value or a Fourier order as Prophet does: 1 is an order, true is a switch."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return text == "true"
        if text.isdigit():
            return int(text)
        return text
    return value


def _number_or_name(value: object) -> object:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value.strip()
    return value


def _regressors(value: object) -> object:
    parts = _split(value)
    if isinstance(parts, list):
        return [{"name": part} if isinstance(part, str) else part for part in parts]
    return parts


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_split)]
Seasonality = Annotated[Literal["auto"] | bool | Annotated[int, Field(ge=0, le=1000)], BeforeValidator(_switch)]
Capacity = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(min_length=1)],
    BeforeValidator(_number_or_name),
]


class Regressor(BaseModel):
    """A column that helps to explain the value; Prophet's add_regressor under its own names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="The column's name.")
    prior_scale: Positive | None = Field(None, description="Default: holidays_prior_scale.")
    standardize: Literal["auto"] | bool = Field("auto", description="Standardise unless binary.")
    mode: Mode | None = Field(None, description="Default: seasonality_mode.")


class ForecastSpec(BaseModel):
    """What to forecast and how. Cannot hold an invalid value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # what to forecast
    horizon: int = Field(28, ge=1, le=MAX_HORIZON, description="How many periods to forecast.")
    frequency: str | None = Field(
        None,
        description="Calendar of the series, in pandas' words: D, B, W-SUN, MS, ME, QS, YE, h, 15min, ... "
        "Default: inferred for each series from its dates.",
        examples=["D", "MS", "W-SUN"],
    )
    level: Annotated[tuple[float, ...], BeforeValidator(_split)] = Field(
        (80.0,), description="Levels of the prediction intervals in percent, separated by commas."
    )

    # how to read the CSV
    date_column: str | None = Field(None, min_length=1, description="Name of the date column.")
    value_column: Names | None = Field(
        None,
        min_length=1,
        description="Name of the value column. Several, or * for all that are left, make a wide table: "
        "each becomes a series named after its column.",
    )
    id_columns: Names | None = Field(
        None, description="Names of the columns that tell series apart; 'none' if there are none."
    )
    encoding: str = Field("utf-8", description="Encoding of the file, in Python's words.")
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="What separates cells; 'tab' for a tab. Default: comma, "
        "semicolon, tab or bar, whichever the header has.",
    )
    decimal: Literal[".", ","] = Field(".", description="The decimal mark.")
    thousands: Literal[".", ",", " ", "'", "_"] | None = Field(
        None, description="The mark between thousands, if there is one."
    )
    date_format: str | None = Field(
        None,
        min_length=1,
        description="Format of the dates if it is not ISO: strptime codes such as %d/%m/%Y, or "
        "epoch_seconds, epoch_milliseconds.",
    )
    header: bool = Field(True, description="false if the first line is data; columns are then column_1, ...")
    duplicates: Literal["error", "first", "last", "mean", "sum"] = Field(
        "error",
        description="What to do with several rows of one series and date. Rows that agree always count once.",
    )

    # Prophet's own parameters, under Prophet's own names
    engine: Literal["stan"] = Field("stan", description="Who solves the model: stan is the prophet package.")
    growth: Literal["linear", "flat", "logistic"] = Field("linear", description="Trend; logistic needs a cap.")
    cap: Capacity | None = Field(None, description="Capacity of logistic growth: a number, or a column.")
    floor: Capacity | None = Field(None, description="Floor of logistic growth: a number, or a column.")
    n_changepoints: int = Field(25, ge=0, le=1000, description="Number of potential changepoints.")
    changepoint_range: float = Field(0.8, gt=0, le=1, description="Share of the history that may hold them.")
    changepoint_prior_scale: Positive = Field(0.05, description="Flexibility of the trend.")
    yearly_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    weekly_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    daily_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    seasonality_mode: Mode = Field("additive", description="How seasonality joins the trend.")
    seasonality_prior_scale: Positive = Field(10.0, description="Strength of the seasonalities.")
    country_holidays: str | None = Field(
        None,
        min_length=2,
        max_length=3,
        description="Country whose public holidays count, as ISO code: US, DE.",
    )
    holidays_prior_scale: Positive = Field(10.0, description="Strength of the holidays.")
    holidays_mode: Mode | None = Field(None, description="Default: seasonality_mode.")
    regressors: Annotated[tuple[Regressor, ...], BeforeValidator(_regressors)] = Field(
        (),
        description="Columns that explain the value, with values on the dates to forecast: names, or "
        'JSON such as [{"name":"promo","mode":"multiplicative"}].',
    )
    scaling: Literal["absmax", "minmax"] = Field("absmax", description="How the value is scaled for the fit.")
    uncertainty_samples: int = Field(
        1000, ge=10, le=1_000_000, description="Paths that the stan engine simulates for the intervals."
    )

    # what to do with the result
    forecast_lower_bound: float | None = Field(
        None, allow_inf_nan=False, description="No forecast or interval goes below this: 0 for counts."
    )
    forecast_upper_bound: float | None = Field(
        None, allow_inf_nan=False, description="No forecast or interval goes above this."
    )
    score: bool = Field(
        False,
        description="Also hold out the last horizon and report its MASE against a seasonal naive forecast; "
        "doubles the work of the stan engine.",
    )

    @field_validator("frequency")
    @classmethod
    def _known_frequency(cls, value: str | None) -> str | None:
        return None if value is None else parse_frequency(value).name

    @field_validator("level")
    @classmethod
    def _levels(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("needs at least one level, such as 80")
        if any(not 0 < level < 100 for level in value):
            raise ValueError("levels are percentages between 0 and 100, such as 80,95")
        return tuple(sorted(set(value)))

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)  # refuses codecs that are not text encodings
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError("no such encoding; common ones: utf-8, utf-16, latin-1, cp1252") from None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = "\t" if value in ("tab", "\\t") else value
        if value is not None and (len(value) != 1 or value in '"\r\n' or not value.isascii()):
            raise ValueError("must be one ASCII character, or 'tab'")
        return value

    @field_validator("date_format")
    @classmethod
    def _date_format_has_a_day(cls, value: str | None) -> str | None:
        if value is not None and "%Z" in value:
            raise ValueError("names of time zones (%Z) are ambiguous; write offsets (%z), or leave them out")
        if value is not None and value not in ("epoch_seconds", "epoch_milliseconds") and "%" not in value:
            raise ValueError("must have strptime codes such as %d/%m/%Y, or be epoch_seconds or epoch_milliseconds")
        return value

    @field_validator("id_columns")
    @classmethod
    def _none_is_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return () if value is not None and [v.lower() for v in value] == ["none"] else value

    @field_validator("country_holidays")
    @classmethod
    def _known_country(cls, value: str | None) -> str | None:
        if value is None:
            return None
        from holidays import list_supported_countries  # slow to import, and seldom needed

        if value.upper() not in list_supported_countries():
            raise ValueError(f"the holidays package knows no country {value!r}; use an ISO code such as US")
        return value.upper()

    @model_validator(mode="after")
    def _fields_agree(self) -> ForecastSpec:
        problems = []
        if self.growth == "logistic" and self.cap is None:
            problems.append("growth=logistic needs cap: a number, or the name of a column")
        if self.growth != "logistic" and (self.cap is not None or self.floor is not None):
            problems.append("cap and floor need growth=logistic")
        if isinstance(self.cap, float) and self.cap <= (self.floor if isinstance(self.floor, float) else -np.inf):
            problems.append("cap must be greater than floor")
        lower, upper = self.forecast_lower_bound, self.forecast_upper_bound
        if lower is not None and upper is not None and lower >= upper:
            problems.append("forecast_lower_bound must be less than forecast_upper_bound")
        if self.horizon * self.uncertainty_samples > MAX_PATH_POINTS:
            problems.append(f"horizon times uncertainty_samples must not exceed {MAX_PATH_POINTS:,}")
        if self.decimal == self.thousands:
            problems.append("decimal and thousands must differ")
        names = [regressor.name for regressor in self.regressors]
        if len(set(names)) < len(names):
            problems.append("regressors must have different names")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def to_json(self) -> str:
        """Return canonical JSON of the fields that differ from their defaults."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True))

    @classmethod
    def from_json(cls, text: str) -> ForecastSpec:
        """Return the spec that `to_json` wrote.

        Raises:
            pydantic.ValidationError: if a field is unknown or out of range.
        """
        return cls.model_validate_json(text)

    def extra_columns(self) -> tuple[str, ...]:
        """Return the columns, beside date and value, whose numbers the model needs."""
        columns = [regressor.name for regressor in self.regressors]
        columns += [name for name in (self.cap, self.floor) if isinstance(name, str)]
        return tuple(dict.fromkeys(columns))


def option_errors(errors: list[Any]) -> list[str]:
    """Return pydantic's errors as lines that begin with the option's name."""
    lines = []
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else ""
        message = str(error["msg"]).removeprefix("Value error, ")
        given = "" if not name or isinstance(error["input"], dict) else f" (given: {error['input']!r})"
        lines.append(f"--{name}: {message}{given}" if name else message)
    return list(dict.fromkeys(lines))
