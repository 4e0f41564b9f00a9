-- The rows of the current requests, each once: no unfinished requests, no series that were deleted since. The join and
-- the window name source and source_time, so that a filter on these reaches the table's blocks and partitions.
SELECT
  forecasts.*
FROM forecasts
JOIN current_requests
  ON current_requests.request_key = forecasts.request_key
  AND current_requests.source = forecasts.source
  AND current_requests.source_time = forecasts.source_time
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY
    forecasts.source, forecasts.source_time, forecasts.request_key, forecasts.series_id, forecasts.step,
    CAST(forecasts.confidence_level AS STRING)
  ORDER BY forecasts.model
) = 1
