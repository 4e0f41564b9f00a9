-- The most recent receipt of each source and output.
SELECT
  *
FROM receipts
WHERE status <> 'superseded'
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY source, output
  ORDER BY SAFE_CAST(version AS INT64) DESC NULLS LAST, source_time DESC, attempt DESC, finished_at DESC, request_key
) = 1
