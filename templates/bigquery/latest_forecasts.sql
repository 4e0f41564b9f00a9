-- For each source and output the rows of its newest version and attempt with a complete or partial
-- receipt, each row once: no unfinished requests, no series that were deleted since.
SELECT
  forecasts.*
FROM forecasts
JOIN (
  SELECT request_key
  FROM receipts
  WHERE status IN ('complete', 'partial')
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY source, output
    ORDER BY SAFE_CAST(version AS INT64) DESC NULLS LAST, source_time DESC, attempt DESC, finished_at DESC, request_key
  ) = 1
) AS latest ON latest.request_key = forecasts.request_key
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY forecasts.request_key, forecasts.series_id, forecasts.step, CAST(forecasts.confidence_level AS STRING)
  ORDER BY forecasts.model, forecasts.source_time
) = 1
