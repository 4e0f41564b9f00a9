"""The names of a forecast's columns in frames: those of Prophet, and of Nixtla's libraries."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.outputs.forecast_csv import level_text


@dataclass(frozen=True)
class Names:
    """The names of a forecast's columns: Nixtla's if there is a unique_id, otherwise Prophet's.

    Attributes:
        many: whether there is more than one level.
        with_ids: whether series have ids.
    """

    many: bool
    with_ids: bool

    @property
    def forecast(self) -> str:
        """The forecast itself."""
        return "Dropcast" if self.with_ids else "yhat"

    def ends(self, spec: ForecastSpec) -> list[str]:
        """Return the names of the ends of each interval, lower and upper, or of each quantile."""
        if spec.quantiles is None:
            return [name(level) for level in spec.level for name in (self.lower, self.upper)]
        prefix = "Dropcast-q-" if self.with_ids else "yhat_q"
        return [f"{prefix}{level_text(100 * quantile)}" for quantile in spec.quantiles]

    def lower(self, level: float) -> str:
        """The lower end of an interval."""
        return self._end("lo", "lower", level)

    def upper(self, level: float) -> str:
        """The upper end of an interval."""
        return self._end("hi", "upper", level)

    def _end(self, short: str, long: str, level: float) -> str:
        if self.with_ids:
            return f"Dropcast-{short}-{level_text(level)}"
        return f"yhat_{long}{f'_{level_text(level)}' if self.many else ''}"
