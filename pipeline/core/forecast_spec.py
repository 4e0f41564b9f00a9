"""ForecastSpec: what to forecast and how. One type for the command line, manifests and the library."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.core.dates.aggregate import period_calendar
from pipeline.core.dates.date_style import EPOCHS
from pipeline.core.dates.frequencies import parse_frequency
from pipeline.core.dates.timezones import zone_named
from pipeline.core.errors import shorten
from pipeline.core.request_key import canonical_json

Mode = Literal["additive", "multiplicative"]
MAX_HORIZON = 100_000
DEFAULT_LEVELS = (80.0,)
MEDIAN = 0.5
LEAST_QUANTILE = 1e-6  # of the lowest quantile, and of the highest from 1
LEAST_FROM_MEDIAN = 0.005  # quantiles nearer to it belong to no level of 1 % or more
# Options of Prophet's model, which other models have no use for.
PROPHETS_OWN = (
    "engine", "growth", "cap", "floor", "changepoints", "n_changepoints", "changepoint_range",
    "changepoint_prior_scale",
    "yearly_seasonality", "weekly_seasonality", "daily_seasonality", "seasonality_mode", "seasonality_prior_scale",
    "seasonalities", "holidays", "country_holidays", "holidays_prior_scale", "holidays_mode", "regressors", "scaling",
    "mcmc_samples", "uncertainty_samples", "components", "save_models", "models",
)  # fmt: skip
# Python's names for what is no encoding of a file: of host names, of its own source
_NOT_OF_FILES = ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")
MAX_SKIPPED_LINES = 10_000  # above and below a table
MAX_PATH_POINTS = 20_000_000  # simulated numbers per series, 8 bytes each, in several copies


def _split(value: object) -> object:
    """Parse a command line's `a,b` or `["a","b"]` as a list; leave everything else to pydantic."""
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


def _objects(value: object) -> object:
    """Parse a command line's JSON list; leave everything else to pydantic."""
    return _split(value) if isinstance(value, str) else value


# Prophet's columns of a forecast, which cannot be names of seasonalities or holidays
_RESERVED = frozenset({
    f"{name}{end}"
    for name in ("trend", "additive_terms", "daily", "weekly", "yearly", "holidays", "zeros", "yhat",
                 "extra_regressors_additive", "extra_regressors_multiplicative", "multiplicative_terms")
    for end in ("", "_lower", "_upper")
} | {"ds", "y", "cap", "floor", "y_scaled", "cap_scaled"})  # fmt: skip

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PriorScale = Annotated[float, Field(ge=1e-8, le=1e8)]
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
    prior_scale: PriorScale | None = Field(None, description="Default: holidays_prior_scale.")
    standardize: Literal["auto"] | bool = Field("auto", description="Standardise unless binary.")
    mode: Mode | None = Field(None, description="Default: seasonality_mode.")


class CustomSeasonality(BaseModel):
    """A custom seasonality; Prophet's add_seasonality under its own names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="Its name, for components.")
    period: Positive = Field(description="Its length in days.")
    fourier_order: int = Field(ge=1, le=1000, description="Number of Fourier terms.")
    prior_scale: PriorScale | None = Field(None, description="Default: seasonality_prior_scale.")
    mode: Mode | None = Field(None, description="Default: seasonality_mode.")
    condition_name: str | None = Field(
        None, min_length=1, description="A column of 0 and 1 that says on which dates it applies."
    )


class Holiday(BaseModel):
    """Days with their own effect, and perhaps days around them; Prophet's holidays under its own names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holiday: str = Field(min_length=1, description="Its name.")
    ds: Annotated[tuple[date, ...], BeforeValidator(_split)] = Field(min_length=1, description="Its dates, ISO.")
    lower_window: int = Field(0, ge=-366, le=0, description="Days before it that have their own effects, negative.")
    upper_window: int = Field(0, ge=0, le=366, description="Days after it that have their own effects.")
    prior_scale: PriorScale | None = Field(None, description="Default: holidays_prior_scale.")


class ForecastSpec(BaseModel):
    """What to forecast and how. Cannot hold an invalid value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # what to forecast
    horizon: int = Field(28, ge=1, le=MAX_HORIZON, description="How many periods to forecast.")
    frequency: str | None = Field(
        None,
        description="Frequency of the series, as a pandas alias: D, B, W-SUN, MS, ME, QS, YE, h, 15min, ...; "
        "h-open for opening hours. Default: inferred for each series from its dates.",
        examples=["D", "MS", "W-SUN"],
    )
    level: Annotated[tuple[float, ...], BeforeValidator(_split)] = Field(
        DEFAULT_LEVELS, description="Levels of the prediction intervals in percent, separated by commas."
    )

    quantiles: Annotated[tuple[float, ...], BeforeValidator(_split)] | None = Field(
        None,
        description="Quantiles to forecast instead of intervals, separated by commas: 0.1,0.5,0.9. In tables they are "
        "ends of intervals: 0.1 is the lower end of level 80.",
    )

    feed: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Name of the data that the file is a version of, such as sales for sales-2024-01.csv and "
        "sales-2024-02.csv: forecasts are compared with the values of later files. Default: the file's own name.",
    )

    # how to read the CSV
    date_column: str | None = Field(
        None, min_length=1, description="Name of the date column; Date,Time joins two, the day and the time of day."
    )
    value_column: Names | None = Field(
        None,
        min_length=1,
        description="Name of the value column. Several names, or * for all remaining columns, mean a wide table: "
        "each column becomes a series named after it.",
    )
    id_columns: Names | None = Field(
        None, description="Names of the columns that tell series apart; 'none' if there are none."
    )
    encoding: str = Field("utf-8", description="Encoding of the file, by Python's name for it.")
    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="What separates cells; 'tab' for a tab. Default: comma, "
        "semicolon, tab or bar, whichever the header has.",
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="The decimal mark. Default: inferred from all numbers of the file together."
    )
    thousands: Literal[".", ",", " ", "'", "_"] | None = Field(
        None,
        description="The thousands separator, if there is one; a space also means narrow spaces, ' also means ’. "
        "Default: inferred, as for decimal.",
    )
    missing_values: Names = Field(
        (),
        description="More texts that mean a missing value, besides empty cells, NA, NaN, null, None, '.', '?' and "
        "the like: for example '-' or -999.",
    )
    date_format: str | None = Field(
        None,
        min_length=1,
        description="Format of the dates if it is not ISO: strptime codes such as %d/%m/%Y, or "
        "epoch_seconds, epoch_milliseconds, epoch_microseconds, epoch_nanoseconds.",
    )
    timezone: str | None = Field(
        None,
        description="Time zone in whose local time the series is forecast, such as Europe/Berlin: dates without an "
        "offset are taken to be in it, others are converted to it.",
    )
    skip_rows: int = Field(
        0, ge=0, le=MAX_SKIPPED_LINES, description="Lines to skip above the header: titles, comments, blank lines."
    )
    skip_footer: int = Field(
        0, ge=0, le=MAX_SKIPPED_LINES, description="Lines to skip at the end of the file: totals, comments."
    )
    header: bool = Field(True, description="false if the first line is data; columns are then column_1, ...")
    duplicates: Literal["error", "first", "last", "mean", "sum"] = Field(
        "error",
        description="What to do with several rows of one series and date. Identical rows always count once.",
    )
    aggregate: str | None = Field(
        None,
        description="Add up the rows of each period, such as transactions: D, W-MON, MS and the like; a period is "
        "named by its first date.",
    )
    aggregation: Literal["sum", "mean"] = Field("sum", description="How aggregate combines the rows of a period.")
    fill_missing: Literal["none", "zero"] = Field(
        "none", description="zero if a date without a row means 0, up to the series' last value."
    )

    # Prophet's own parameters, under Prophet's own names
    model: Literal["prophet", "auto"] = Field(
        "prophet",
        description="What forecasts a series: prophet is Prophet's model; auto combines simpler models, weighted by "
        "how they did in the series' own past.",
    )
    engine: Literal["native", "stan"] = Field(
        "native",
        description="What fits Prophet's model: native is this project's exact solver, stan the prophet package.",
    )
    growth: Literal["linear", "flat", "logistic"] = Field("linear", description="Trend; logistic needs a cap.")
    cap: Capacity | None = Field(None, description="Capacity of logistic growth: a number, or a column.")
    floor: Capacity | None = Field(None, description="Floor of logistic growth: a number, or a column.")
    n_changepoints: int = Field(25, ge=0, le=1000, description="Number of potential changepoints.")
    changepoints: Annotated[tuple[datetime, ...], BeforeValidator(_split)] | None = Field(
        None, description="Dates at which the trend may change, instead of automatic ones; [] for none."
    )
    changepoint_range: float = Field(0.8, gt=0, le=1, description="Share of the history that may have changepoints.")
    changepoint_prior_scale: PriorScale = Field(0.05, description="Flexibility of the trend.")
    yearly_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    weekly_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    daily_seasonality: Seasonality = Field("auto", description="auto, true, false or a Fourier order.")
    seasonality_mode: Mode = Field("additive", description="How seasonality combines with the trend.")
    seasonality_prior_scale: PriorScale = Field(10.0, description="Strength of the seasonalities.")
    seasonalities: Annotated[tuple[CustomSeasonality, ...], BeforeValidator(_objects)] = Field(
        (),
        description='Further seasonalities, as JSON such as [{"name":"monthly","period":30.5,"fourier_order":5}].',
    )
    holidays: Annotated[tuple[Holiday, ...], BeforeValidator(_objects)] = Field(
        (),
        description="Days with an effect, as JSON such as "
        '[{"holiday":"sale","ds":["2024-11-29","2025-11-28"],"upper_window":3}].',
    )
    country_holidays: str | None = Field(
        None,
        min_length=2,
        max_length=3,
        description="Country whose public holidays have effects, as an ISO code: US, DE.",
    )
    holidays_prior_scale: PriorScale = Field(10.0, description="Strength of the holidays.")
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
    mcmc_samples: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Sample the posterior instead of maximising it, which takes minutes per series; always done by "
        "the stan engine.",
    )
    components: bool = Field(
        False, description="Also output the forecast's components: trend, seasonalities, holidays, regressors."
    )
    save_models: str | None = Field(
        None, min_length=1, description="Folder to save the fitted models in, for --models; native engine only."
    )
    models: str | None = Field(
        None,
        min_length=1,
        description="Folder of models saved by --save_models, or one model as Prophet's own JSON: forecast with "
        "these, without fitting.",
    )
    score: bool | None = Field(
        None,
        description="Also hold out the last horizon and report its MASE against a seasonal naive forecast. Default: "
        "true with the native engine; false with stan, where it doubles the work.",
    )

    hint: bool = Field(
        True,
        description="Whether to try auto on 1 % of a file's series, 3 to 50, and tell if it would have been better. "
        "Files of fewer than 100 series get no hint.",
    )

    @field_validator("frequency")
    @classmethod
    def _known_frequency(cls, value: str | None) -> str | None:
        return None if value is None else parse_frequency(value).name

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        return None if value is None else zone_named(value).key

    @field_validator("aggregate")
    @classmethod
    def _known_period(cls, value: str | None) -> str | None:
        return None if value is None else period_calendar(value).name

    @field_validator("level")
    @classmethod
    def _levels(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("needs at least one level, such as 80")
        if any(not 0 < level < 100 for level in value):
            raise ValueError("levels are percentages between 0 and 100, such as 80,95")
        if any(level < 1 for level in value):  # as BigQuery and Prophet write them
            raise ValueError(f"levels are in percent: {min(value) * 100:g}, not {min(value):g}")
        return tuple(sorted(set(value)))

    @field_validator("quantiles")
    @classmethod
    def _quantiles(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is None:
            return None
        value = tuple(round(quantile, 10) for quantile in value)  # as many digits as the name of a column has
        if not value or any(not LEAST_QUANTILE <= quantile <= 1 - LEAST_QUANTILE for quantile in value):
            raise ValueError("quantiles are probabilities between 0 and 1, such as 0.1,0.5,0.9")
        if any(0 < abs(quantile - MEDIAN) < LEAST_FROM_MEDIAN for quantile in value):
            raise ValueError("besides 0.5 itself, quantiles must be 0.005 away from it or more")
        return tuple(sorted(set(value)))

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)  # refuses codecs that are not text encodings
            if codecs.lookup(value).name in _NOT_OF_FILES:
                raise LookupError(value)
            return codecs.lookup(value).name
        except (LookupError, UnicodeError):
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
        if value is not None and value not in EPOCHS and "%" not in value:
            raise ValueError(f"must have strptime codes such as %d/%m/%Y, or be one of {', '.join(EPOCHS)}")
        if value is not None and value not in EPOCHS and not re.search("%[YyGcxs]", value):
            raise ValueError("has no year, without which dates cannot be ordered; write it into the file, as %Y")
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
            raise ValueError(f"the holidays package does not know country {value!r}; use an ISO code such as US")
        return value.upper()

    @model_validator(mode="before")
    @classmethod
    def _levels_of_quantiles(cls, data: Any) -> Any:
        """Set the levels whose intervals end at the quantiles, unless they are given: then they must agree."""
        if not isinstance(data, dict) or data.get("quantiles") is None or data.get("level") is not None:
            return data
        try:
            levels = levels_of(tuple(float(quantile) for quantile in _split(data["quantiles"])))  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            return data  # the field says what is wrong
        return {**data, "level": levels} if levels and all(1 <= level < 100 for level in levels) else data

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
        if self.solver == "stan" and self.horizon * self.uncertainty_samples > MAX_PATH_POINTS:
            problems.append(f"horizon times uncertainty_samples must not exceed {MAX_PATH_POINTS:,}")
        if self.thousands is not None and self.thousands == self.decimal:
            problems.append("decimal and thousands must differ")
        if self.aggregate is not None and self.duplicates != "error":
            problems.append("duplicates cannot be combined with aggregate, for which every row counts")
        if self.aggregate is None and self.aggregation != "sum":
            problems.append("aggregation needs aggregate")
        if self.quantiles is not None and self.level != (levels_of(self.quantiles) or DEFAULT_LEVELS):
            problems.append("choose level or quantiles")
        problems += self._clashing_names()
        if self.model == "auto":
            given = [name for name in PROPHETS_OWN if getattr(self, name) != type(self).model_fields[name].default]
            problems += [f"{name} is for model=prophet" for name in given]
        if self.save_models is not None and self.solver != "native":
            problems.append("save_models needs engine=native, without mcmc_samples")
        if self.models is not None and (self.solver != "native" or self.save_models is not None or self.score):
            problems.append("models fits nothing: it needs engine=native, without mcmc_samples, save_models and score")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _clashing_names(self) -> list[str]:
        problems = []
        regressors = [regressor.name for regressor in self.regressors]
        if len(set(regressors)) < len(regressors):
            problems.append("regressors must have different names")
        seasonalities = [seasonality.name for seasonality in self.seasonalities]
        if len(set(seasonalities)) < len(seasonalities):
            problems.append("seasonalities must have different names")
        holidays = {holiday.holiday for holiday in self.holidays}
        own = {"daily", "weekly", "yearly"}
        for name in sorted({*seasonalities, *holidays}):
            if "_delim_" in name or (name in _RESERVED and not (name in own and name in seasonalities)):
                problems.append(f"{name!r} is a name that Prophet reserves; choose another")
        problems += [f"{name!r} is both a seasonality and a holiday" for name in sorted(holidays & set(seasonalities))]
        if any(len({h.prior_scale for h in self.holidays if h.holiday == name}) > 1 for name in holidays):
            problems.append("a holiday must have the same prior_scale everywhere")
        return problems

    @property
    def scored(self) -> bool:
        """Whether to compute a score."""
        return self.solver != "stan" and self.models is None if self.score is None else self.score

    @property
    def has_median(self) -> bool:
        """Whether the median is among the quantiles."""
        return self.quantiles is not None and MEDIAN in self.quantiles

    @property
    def backtested(self) -> bool:
        """Whether a forecast comes with backtests."""
        return self.model == "auto"

    @property
    def solver(self) -> str:
        """The engine that does the work: stan does what native does not cover."""
        if self.model == "auto":
            return "auto"
        return "stan" if self.mcmc_samples else self.engine

    def to_json(self) -> str:
        """Return canonical JSON of the fields that differ from their defaults."""
        return canonical_json(self.stated(mode="json"))

    def stated(self, mode: Literal["json", "python"] = "python") -> dict[str, Any]:
        """Return the fields that differ from their defaults; levels that follow from quantiles are not among them."""
        fields = self.model_dump(mode=mode, exclude_defaults=True)
        if self.quantiles is not None:
            fields.pop("level", None)
        return fields

    def under(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields that were given, over those that this spec states; level or quantiles replace both."""
        base = self.stated()
        if {"level", "quantiles"} & {*fields}:
            base = {name: value for name, value in base.items() if name not in ("level", "quantiles")}
        return {**base, **fields}

    @classmethod
    def from_json(cls, text: str) -> ForecastSpec:
        """Return the spec that `to_json` wrote.

        Raises:
            pydantic.ValidationError: if a field is unknown or out of range.
        """
        return cls.model_validate_json(text)

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the components that a forecast may have: the trend, then the others in Prophet's order."""
        if not self.components:
            return ()
        own = [(name, getattr(self, f"{name}_seasonality")) for name in ("yearly", "weekly", "daily")]
        names = ["trend", *(seasonality.name for seasonality in self.seasonalities)]
        names += [name for name, wanted in own if wanted is not False and wanted != 0]
        names += ["holidays"] if self.holidays or self.country_holidays is not None else []
        return tuple(dict.fromkeys([*names, *(regressor.name for regressor in self.regressors)]))

    def extra_columns(self) -> tuple[str, ...]:
        """Return the columns, besides date and value, whose numbers the model needs."""
        columns = [regressor.name for regressor in self.regressors]
        columns += [name for name in (self.cap, self.floor) if isinstance(name, str)]
        columns += [s.condition_name for s in self.seasonalities if s.condition_name is not None]
        return tuple(dict.fromkeys(columns))


def levels_of(quantiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return the levels of the intervals, in percent, that end at some quantiles; the median is in none."""
    return tuple(sorted({round(100 * abs(2 * quantile - 1), 9) for quantile in quantiles} - {0.0}))


def option_errors(errors: list[Any], mark: str = "--") -> list[str]:
    """Return pydantic's errors as lines that begin with the option's name.

    Args:
        errors: as pydantic lists them.
        mark: prefix of the name: that of an option on the command line, or nothing.
    """
    lines = []
    for error in errors:
        name = str(error["loc"][0]) if error["loc"] else ""
        message = _in_our_words(error)
        given = (
            "" if not name or isinstance(error["input"], dict) else f" (given: {shorten(repr(error['input']), 100)})"
        )
        lines.append(f"{mark}{name}: {message}{given}" if name else message)
    return list(dict.fromkeys(lines))


def _in_our_words(error: Any) -> str:
    """Return the problem with a value, for people who do not know pydantic."""
    limits = error.get("ctx") or {}
    if error["type"] == "greater_than_equal":
        return f"must be {limits['ge']} or more"
    if error["type"] == "less_than_equal":
        return f"must be {limits['le']} or less"
    if error["type"] == "greater_than":
        return f"must be more than {limits['gt']}"
    if error["type"] in ("float_parsing", "int_parsing", "int_from_float", "float_type", "int_type"):
        return "must be a whole number" if error["type"].startswith("int") else "must be a number"
    if error["type"] in ("bool_parsing", "bool_type"):
        return "must be true or false"
    if error["type"] == "extra_forbidden":
        return "unknown option"
    return str(limits["error"]) if error["type"] == "value_error" else str(error["msg"])


def fallback_notes(spec: ForecastSpec) -> list[str]:
    """Return a note for the owner if an engine other than the requested one does the work."""
    if spec.solver in (spec.engine, "auto"):
        return []
    return [f"the {spec.engine} engine does not sample (mcmc_samples); {spec.solver} did the work"]
