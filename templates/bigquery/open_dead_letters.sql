-- What is still to be mended, each once: dead letters of the most recent request of each source and output, and
-- of what never became a request.
SELECT
  dead_letters.*
FROM dead_letters
LEFT JOIN latest_receipts ON latest_receipts.request_key = dead_letters.request_key
WHERE latest_receipts.request_key IS NOT NULL OR dead_letters.scope = 'message'
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY dead_letters.request_key, dead_letters.scope, dead_letters.series_id
  ORDER BY dead_letters.code
) = 1
