-- Dead letters of the most recent request of each source and output, each once: what is still to be mended.
SELECT
  dead_letters.*
FROM dead_letters
JOIN latest_receipts ON latest_receipts.request_key = dead_letters.request_key
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY dead_letters.request_key, dead_letters.scope, dead_letters.series_id
  ORDER BY dead_letters.code
) = 1
