-- How auto and each of its members did in the past of each series: means over the cutoffs of the latest backtests.
SELECT
  source,
  source_time,
  output,
  series_id,
  frequency,
  model,
  confidence_level,
  MAX(weight) AS weight,
  COUNT(cutoff) AS cutoffs,
  SUM(steps) AS steps,
  AVG(mase) AS mase,
  AVG(smape) AS smape,
  AVG(rmsse) AS rmsse,
  AVG(pinball) AS pinball,
  AVG(coverage) AS coverage
FROM (
  SELECT
    backtests.*
  FROM backtests
  JOIN current_requests
    ON current_requests.request_key = backtests.request_key
    AND current_requests.source = backtests.source
    AND current_requests.source_time = backtests.source_time
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY
      backtests.source, backtests.source_time, backtests.request_key, backtests.series_id, backtests.cutoff,
      backtests.model, CAST(backtests.confidence_level AS STRING)
    ORDER BY backtests.mase
  ) = 1
) AS once
GROUP BY source, source_time, output, series_id, frequency, model, confidence_level
