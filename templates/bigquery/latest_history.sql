-- The values from which the latest forecasts were made, each once; empty unless the run had --history.
SELECT
  history.*
FROM history
JOIN (SELECT DISTINCT request_key FROM latest_forecasts) AS latest ON latest.request_key = history.request_key
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY history.request_key, history.series_id, history.history_timestamp
  ORDER BY history.history_value
) = 1
