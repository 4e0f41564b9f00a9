-- What was forecast, beside the value that a later file of the same feed brought: one row per forecast date and level.
-- Of each version of a file the newest attempt counts. A file that names no feed is compared output by output: each may
-- be another quantity.
WITH counted AS (
  SELECT
    request_key,
    source,
    feed,
    IF(feed = source, output, '') AS own_output,
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
    counted.own_output,
    counted.source_time,
    actuals.series_id,
    actuals.frequency,
    actuals.actual_timestamp,
    actuals.actual_value
  FROM actuals
  JOIN counted
    ON counted.request_key = actuals.request_key
    AND counted.source = actuals.source
    AND counted.source_time = actuals.source_time
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY counted.feed, counted.own_output, actuals.series_id, actuals.frequency, actuals.actual_timestamp
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
JOIN counted
  ON counted.request_key = forecasts.request_key
  AND counted.source = forecasts.source
  AND counted.source_time = forecasts.source_time
JOIN came
  ON came.feed = counted.feed
  AND came.own_output = counted.own_output
  AND came.source_time > counted.source_time
  AND came.series_id = forecasts.series_id
  AND came.frequency = forecasts.frequency
  AND came.actual_timestamp = forecasts.forecast_timestamp
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY
    forecasts.source, forecasts.source_time, forecasts.request_key, forecasts.series_id, forecasts.step,
    CAST(forecasts.confidence_level AS STRING)
  ORDER BY forecasts.model
) = 1
