-- The values from which the latest forecasts were made, each once; empty unless the run had --history.
SELECT
  history.*
FROM history
JOIN current_requests
  ON current_requests.request_key = history.request_key
  AND current_requests.source = history.source
  AND current_requests.source_time = history.source_time
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY
    history.source, history.source_time, history.request_key, history.series_id, history.history_timestamp
  ORDER BY history.history_value
) = 1
