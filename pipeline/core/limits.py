"""What an operator allows one file to cost. Each limit has an option and a dead letter's code."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Bounds on a file, whatever its owner asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(
        20_000_000_000, ge=1, description="Largest file in bytes, after decompression (TOO_MANY_BYTES)."
    )
    max_work_bytes: int = Field(
        15_000_000_000,
        ge=1,
        description="Most bytes of a file's rows on the worker's disk: 24 for each row and 8 for each number of an "
        "extra column, beyond what fits into memory. As much again for the copy of a Parquet file (TOO_MANY_BYTES).",
    )
    max_query_bytes: int = Field(
        100_000_000_000,
        ge=1,
        description="Most bytes that BigQuery may bill for one query of a manifest (TOO_MANY_BYTES).",
    )
    max_rows: int = Field(1_000_000, ge=2, description="Maximum rows of one series (TOO_MANY_ROWS).")
    max_series: int = Field(
        1_000_000, ge=1, le=2_000_000_000, description="Maximum series in one file (TOO_MANY_SERIES)."
    )
    max_id_length: int = Field(1024, ge=1, le=1_000_000, description="Maximum characters of an id (ID_TOO_LONG).")
    max_features: int = Field(
        1000,
        ge=2,
        le=20_000,
        description="Maximum columns of a series' model: changepoints, two for each Fourier term, one for each day "
        "of a holiday's window, regressors (TOO_MANY_FEATURES).",
    )
    max_levels: int = Field(20, ge=1, le=1000, description="Maximum number of interval levels (TOO_MANY_LEVELS).")
    max_outputs: int = Field(
        2_000_000,
        ge=1,
        le=100_000_000,
        description="Maximum numbers of a series' forecast: horizon times one for itself, two for each level, one for "
        "each component (FORECAST_TOO_LARGE).",
    )
    max_forecast_rows: int = Field(
        1_000_000_000,
        ge=1,
        description="Maximum rows of a file's forecast: series times horizon times levels (FORECAST_TOO_LARGE).",
    )
    max_fit_seconds: float = Field(
        60, gt=0, le=86_400, description="Maximum seconds for the fit of one series (FIT_TIMEOUT)."
    )
