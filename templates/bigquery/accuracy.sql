-- How auto and each of its members did in the past of each series: means over the cutoffs of the latest backtests.
SELECT
  source,
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
  JOIN (
    SELECT request_key
    FROM receipts
    WHERE status IN ('complete', 'partial')
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY source, output
      ORDER BY SAFE_CAST(version AS INT64) DESC NULLS LAST, source_time DESC, attempt DESC, finished_at DESC, request_key
    ) = 1
  ) AS latest ON latest.request_key = backtests.request_key
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY
      backtests.request_key, backtests.series_id, backtests.cutoff, backtests.model,
      CAST(backtests.confidence_level AS STRING)
    ORDER BY backtests.mase
  ) = 1
) AS once
GROUP BY source, output, series_id, frequency, model, confidence_level
