-- What was forecast, beside the value that a later file of the same feed brought: one row per forecast date and level.
-- Of each version of a file the newest attempt counts.
WITH counted AS (
  SELECT
    request_key,
    feed,
    source_time
  FROM receipts
  WHERE status IN ('complete', 'partial')
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY source, version, output ORDER BY attempt DESC, finished_at DESC, request_key
  ) = 1
),
came AS (
  SELECT
    counted.feed,
    actuals.series_id,
    actuals.actual_timestamp,
    actuals.actual_value
  FROM actuals
  JOIN counted ON counted.request_key = actuals.request_key
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY counted.feed, actuals.series_id, actuals.actual_timestamp
    ORDER BY counted.source_time DESC, actuals.request_key
  ) = 1
)
SELECT
  counted.feed,
  forecasts.source,
  forecasts.version,
  forecasts.source_time,
  forecasts.output,
  forecasts.series_id,
  forecasts.frequency,
  forecasts.forecast_timestamp,
  forecasts.step,
  forecasts.model,
  forecasts.forecast_value,
  came.actual_value,
  came.actual_value - forecasts.forecast_value AS error,
  forecasts.confidence_level,
  came.actual_value BETWEEN forecasts.prediction_interval_lower_bound AND forecasts.prediction_interval_upper_bound
    AS inside_interval
FROM forecasts
JOIN counted ON counted.request_key = forecasts.request_key
JOIN came
  ON came.feed = counted.feed
  AND came.series_id = forecasts.series_id
  AND came.actual_timestamp = forecasts.forecast_timestamp
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY forecasts.request_key, forecasts.series_id, forecasts.step, forecasts.confidence_level
  ORDER BY forecasts.model, forecasts.source_time
) = 1
