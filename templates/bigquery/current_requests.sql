-- For each source and output the request whose forecast is the current one: of its newest version and attempt with a
-- complete or partial receipt.
SELECT
  request_key,
  source,
  source_time,
  output
FROM receipts
WHERE status IN ('complete', 'partial')
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY source, output
  ORDER BY SAFE_CAST(version AS INT64) DESC NULLS LAST, source_time DESC, attempt DESC, finished_at DESC, request_key
) = 1
