-- Sources whose forecast is out of date because a newer version of the file failed.
SELECT
  latest_receipts.source,
  latest_receipts.output,
  latest_receipts.source_time AS failed_source_time,
  latest_receipts.code AS failed_code,
  MAX(good.source_time) AS forecast_source_time
FROM latest_receipts
JOIN receipts AS good
  ON good.source = latest_receipts.source
  AND good.output = latest_receipts.output
  AND good.status IN ('complete', 'partial')
WHERE latest_receipts.status = 'failed'
GROUP BY latest_receipts.source, latest_receipts.output, latest_receipts.source_time, latest_receipts.code
