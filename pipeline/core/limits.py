"""What an operator allows one file to cost. Each limit has an option and a dead letter's code."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Bounds on a file, whatever its owner asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(
        10_000_000_000, ge=1, description="Largest file in bytes, after decompression (TOO_MANY_BYTES)."
    )
    max_rows: int = Field(1_000_000, ge=2, description="Most rows of one series (TOO_MANY_ROWS).")
    max_series: int = Field(1_000_000, ge=1, description="Most series in one file (TOO_MANY_SERIES).")
    max_fit_seconds: float = Field(
        60, gt=0, le=86_400, description="Longest time for the fit of one series (FIT_TIMEOUT)."
    )
