-- What still needs to be fixed, each once: dead letters of the most recent request of each source and output,
-- and of messages that never became a request.
SELECT
  dead_letters.*
FROM dead_letters
LEFT JOIN latest_receipts ON latest_receipts.request_key = dead_letters.request_key
WHERE
  dead_letters.scope = 'message'
  OR latest_receipts.status = 'failed'
  OR (latest_receipts.status = 'partial' AND dead_letters.scope = 'series')
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY dead_letters.request_key, dead_letters.scope, dead_letters.series_id
  ORDER BY dead_letters.code
) = 1
